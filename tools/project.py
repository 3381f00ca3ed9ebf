# SPDX-License-Identifier: GPL-2.0-or-later
"""What pyproject.toml and CHANGELOG.md say about this version, for the files beside this one.

engine/build.py reads the version itself, because it also works from an archive of the sources,
which has no tools/.
"""

import re
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CHANGELOG = ROOT / "CHANGELOG.md"
# A heading of CHANGELOG.md such as `## 0.1.0 - 2026-01-31`.
RELEASE = re.compile(r"^## \[?\d+\.[\w.]+\]?.*?(\d{4}-\d{2}-\d{2})", re.MULTILINE)


def settings() -> dict[str, Any]:
    """All of pyproject.toml."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def version() -> str:
    return str(settings()["project"]["version"])


def maintainer() -> str:
    """As in a letter's address: NAME <ADDRESS>."""
    first = settings()["project"]["maintainers"][0]
    return f"{first['name']} <{first['email']}>"


def newest_release() -> date | None:
    """Its date; None before the first release."""
    found = RELEASE.search(CHANGELOG.read_text())
    return date.fromisoformat(found[1]) if found else None

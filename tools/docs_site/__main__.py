# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the site: docs/, and a reference that is made of the sources, as web pages.

    PYTHONPATH=tools build/venv/bin/python -m docs_site FOLDER

FOLDER gets the site; the pages as Sphinx reads them lie in FOLDER-source, and what Sphinx remembers
in FOLDER-cache. It needs no network, and neither does its reader. It fails at the first
thing that Sphinx warns of, such as a link that leads nowhere.
"""

import subprocess
import sys
from pathlib import Path

from docs_site import reference
from docs_site.pages import SiteError, stage

HERE = Path(__file__).resolve().parent


def sphinx(source: Path, target: Path) -> list[str]:
    """The command that makes web pages of the pages in `source`."""
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--jobs=2"]
    cache = target.with_name(f"{target.name}-cache")
    return [*command, "-c", str(HERE), "-d", str(cache), str(source), str(target)]


def make(folder: Path) -> int:
    """Returns Sphinx's exit status."""
    source = folder.with_name(f"{folder.name}-source")
    stage(source, reference.pages(), {"Reference": reference.ROWS})
    return subprocess.run(sphinx(source, folder), check=False).returncode


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: docs_site FOLDER", file=sys.stderr)
        return 2
    try:
        return make(Path(sys.argv[1]).resolve())
    except (SiteError, OSError) as error:
        print(f"docs_site: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

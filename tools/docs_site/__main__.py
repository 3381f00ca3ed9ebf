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

from docs_site.pages import SiteError, stage

HERE = Path(__file__).resolve().parent


def make(folder: Path) -> int:
    """Returns Sphinx's exit status."""
    source, cache = (folder.with_name(f"{folder.name}-{each}") for each in ("source", "cache"))
    stage(source, {})
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--jobs=2"]
    places = ["-c", str(HERE), "-d", str(cache), str(source), str(folder)]
    return subprocess.run([*command, *places], check=False).returncode


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

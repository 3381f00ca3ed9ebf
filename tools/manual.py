# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes all manual pages into a folder.

    python3 tools/manual.py FOLDER

Those of the C library (section 3) are made by manual_library.py, that of the engine (section 7) by
manual_engine.py, and those of the commands (section 1) by manual_commands.py. roff.py knows the
language of the pages. `make man` calls this file. It prints nothing.
"""

import sys
from pathlib import Path

import manual_commands
import manual_engine
import manual_library


def write(folder: Path) -> None:
    for each in (manual_library, manual_engine, manual_commands):
        each.write(folder)


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: manual.py FOLDER", file=sys.stderr)
        return 2
    try:
        write(Path(sys.argv[1]))
    except (manual_library.ManualError, OSError) as error:
        print(f"manual: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

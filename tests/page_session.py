# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands of a page as one shell script, in the order in which a reader types them.

A fenced block of sh is a command to be run. The words after `sh` say what it needs: `needs-disk`,
a back-end at /tmp/vhost.0; `background`, to run beside all that follows, and to serve that socket;
`no-test: REASON`, to be left out. `python -m tests.page_session PAGE` prints the script, so that a
page can be tried on a clean machine.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

SOCKET = "/tmp/vhost.0"  # noqa: S108 - as the pages have it
FENCE = re.compile(r"^```(\w+)(?: ([^\n]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NEEDS_DISK = "needs-disk"
BACKGROUND = "background"
NO_TEST = "no-test: "

# What runs in the background ends with the script.
_BEGINNING = """\
set -euo pipefail
trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
"""
_SERVED = f"""\
until [ -S {SOCKET} ]; do kill -0 $!; sleep 0.02; done
"""


@dataclass(frozen=True)
class Block:
    """A fenced block of sh of a page, which begins on this line."""

    page: Path
    line: int
    needs: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.name}, line {self.line}"

    @property
    def is_run(self) -> bool:
        return not self.needs.startswith(NO_TEST)


def shell_blocks(page: Path) -> list[Block]:
    """In the page's order."""
    text = page.read_text()
    return [
        Block(page, text.count("\n", 0, match.start()) + 1, match[2] or "", match[3])
        for match in FENCE.finditer(text)
        if match[1] == "sh"
    ]


def script(blocks: list[Block]) -> str:
    """Runs the blocks in one shell, and ends at the first command that fails.

    Stderr says at which block it is.
    """
    return _BEGINNING + "".join(map(_step, filter(lambda block: block.is_run, blocks)))


def _step(block: Block) -> str:
    announced = f"echo '--- {block.place}' >&2\n"
    if block.needs != BACKGROUND:
        return announced + block.text
    return f"{announced}{block.text.rstrip()} &\n{_SERVED}"


if __name__ == "__main__":
    sys.stdout.write(script(shell_blocks(Path(sys.argv[1]))))

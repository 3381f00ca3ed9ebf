# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads which options a tree of fio's sources has, and where struct thread_options keeps them.

fio/layout.c compares them with the options of the fio that loads the engine. They are read from the
text of options.c, because the binary may have been configured with other libraries than the tree:
an option below an #if is missing, or has no offset, in some binaries.
"""

import re
from dataclasses import dataclass
from pathlib import Path

_TABLE = re.compile(r"^struct fio_option fio_options\[.*?^\};", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_PART = re.compile(
    r"^[ \t]*#[ \t]*(?P<directive>if|endif)"
    r'|\.name\s*=\s*"(?P<name>[^"]+)"'
    r"|\.off(?P<number>[1-6])\s*=\s*offsetof\(\s*struct\s+thread_options\s*,"
    r"\s*(?P<member>[\w.\[\]]+)\s*\)",
    re.MULTILINE,
)
_OFFSET = re.compile(r"\.off[1-6]\s*=")


class OptionTableError(Exception):
    """The message is a sentence for people: options.c is missing or has another form."""


@dataclass
class Option:
    name: str
    always: bool  # it is not below an #if, so every binary has it
    members: dict[int, str]  # key: 1 to 6, as in .off1 to .off6

    def initializer(self) -> str:
        """One element of the array in C."""
        offsets = ", ".join(
            f"[{number - 1}] = offsetof(struct thread_options, {member})"
            for number, member in sorted(self.members.items())
        )
        always = "true" if self.always else "false"
        return f'{{ "{self.name}", {always}, {{ {offsets} }} }},'


def read(tree: Path) -> list[Option]:
    """The options in the order of options.c; one that an #else repeats is there twice."""
    source = tree / "options.c"
    if not source.exists():
        raise OptionTableError(f"{tree} has no options.c: it is not a tree of fio's sources")
    table = _TABLE.search(_COMMENT.sub("", source.read_text()))
    if table is None:
        raise OptionTableError(f"{source} has no array named fio_options")
    options = _parse(table[0])
    found = sum(len(option.members) for option in options)
    if not options or found != len(_OFFSET.findall(table[0])):
        raise OptionTableError(f"{source} gives the offsets of options in an unknown form")
    return options


def _parse(table: str) -> list[Option]:
    depth = 0
    options: list[Option] = []
    for part in _PART.finditer(table):
        if part["directive"]:
            depth += 1 if part["directive"] == "if" else -1
        elif part["name"]:
            options.append(Option(part["name"], depth == 0, {}))
        elif options:
            options[-1].members[int(part["number"])] = part["member"]
    return options


def header(tree: Path) -> str:
    """The text of fio_known_options.h, which fio/layout.c includes."""
    lines = [option.initializer() for option in read(tree)]
    return "\n".join(["static const struct known_option known_options[] = {", *lines, "};", ""])

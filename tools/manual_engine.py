# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes fio_virtio(7): what a user of plain fio wants to know about the engine.

The options come from the table of docs/options.md, and their ranges from the engine's own table,
engine/fio/options.c. The rest of the page is engine/fio/fio_virtio.7.in.
"""

import re
from pathlib import Path

import project
import roff

PAGE = project.ROOT / "docs" / "options.md"
TABLE = project.ROOT / "engine" / "fio" / "options.c"
TEXT = project.ROOT / "engine" / "fio" / "fio_virtio.7.in"
SECTION = re.compile(r"^\.SH (.+)\n((?:(?!\.SH ).*\n)*)", re.MULTILINE)
# Names in options.c that stand for numbers, and where they are defined.
CONSTANTS = project.ROOT / "engine" / "api.h"


def ranges() -> dict[str, tuple[int, int]]:
    """The least and the greatest value of each number."""
    found = {}
    for entry in re.split(r'OPTION\("', TABLE.read_text())[1:]:
        if most := re.search(r"\.maxval = (\w+)", entry):
            least = re.search(r"\.minval = (\d+)", entry)
            found[entry.partition('"')[0]] = (int(least[1]) if least else 0, number(most[1]))
    return found


def number(word: str) -> int:
    if word.isdecimal():
        return int(word)
    found = re.search(rf"\b{word}\b[ =]+(\d+)", CONSTANTS.read_text())
    if not found:
        raise ValueError(f"{CONSTANTS} has no number {word}")
    return int(found[1])


def plain(cell: str) -> str:
    """A cell of the table without its marks. Pages of docs/ are not installed, so links go."""
    cell = re.sub(r": see \[[^]]+\]\([^)]+\)", "", cell)
    cell = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", cell)
    return re.sub(r"\*\*|`", "", cell).replace("µs", "microseconds").strip()


def rows() -> list[tuple[str, str, str]]:
    """The options, their values and their meaning, as docs/options.md has them."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    return [tuple(line.strip("|").split(" | ")) for line in lines]  # type: ignore[misc]


def described(names: str, values: str, meaning: str) -> tuple[str, str]:
    found = re.findall(r"`(\w+)`", names)
    default = re.search(r"\*\*(\w+)\*\*", values)
    limits = {ranges()[name] for name in found if name in ranges()}
    text = plain(meaning)
    # The name of a value keeps its spelling.
    begin = text[0] if meaning.strip().startswith("`") else text[0].upper()
    sentences = [f"{begin}{text[1:]}."]
    for least, most in limits if len(limits) == 1 else ():
        sentences.append(f"The range is {least} to {most}.")
    if default:
        sentences.append(f"The default is {default[1]}.")
    term = ", ".join(rf"\fB{name}\fP" for name in found)
    return f"{term}=\\fI{kinds(values)}\\fP", "\n".join(map(roff.filled, sentences))


def kinds(values: str) -> str:
    """What stands for a value: a list of words, or a kind or unit of a number."""
    words = [plain(word) for word in values.split(", ")]
    chosen = [word for word in words if not word.isdecimal()]
    units = {"s": "seconds"}
    return roff.escaped("|".join(units.get(word, word) for word in chosen))


def options() -> str:
    return roff.tagged([described(*row) for row in rows()])


def sections() -> dict[str, str]:
    found = {title: text.rstrip("\n") for title, text in SECTION.findall(TEXT.read_text())}
    return {title: text.replace("@OPTIONS@", options()) for title, text in found.items()}


def write(folder: Path) -> None:
    roff.write(folder, "fio_virtio", 7, sections())

# SPDX-License-Identifier: GPL-2.0-or-later
"""Trees of fio's headers that a patch changed, and the members of fio's structures that we use.

A tree here is what an engine needs of fio's sources: headers, options.c, and what tells the
release, which stays that of the installed fio. Trees share unchanged files by hard links.
"""

import os
import re
import shutil
from pathlib import Path

import fio_headers

ROOT = Path(__file__).resolve().parent.parent.parent
ENGINE = ROOT / "engine"

# Where each structure is defined.
HEADERS = {
    "thread_data": "fio.h",
    "thread_options": "thread_options.h",
    "io_u": "io_u.h",
    "fio_file": "file.h",
    "ioengine_ops": "ioengines.h",
    "fio_option": "parse.h",
}
# What the engine reaches by way of fio's macros and inline functions, or of an array.
_INDIRECT = {
    "thread_data": {"files", "files_index", "verror"},
    "io_u": {"issue_time"},
    "fio_file": {"flags"},
}


def copy_of_installed(target: Path) -> Path:
    """The headers of the fio in PATH, or of FIO_SOURCE_DIR if that is set."""
    tree = fio_headers.configured_tree(ROOT / "build")
    for path in tree.rglob("*"):
        wanted = path.suffix == ".h" or path.name in ("options.c", "FIO-VERSION-GEN")
        if wanted and path.is_file():
            copy = target / path.relative_to(tree)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    return target


def linked(tree: Path, target: Path) -> Path:
    return Path(shutil.copytree(tree, target, copy_function=os.link))


def rewrite(path: Path, text: str) -> None:
    """Replaces a file that other trees may share."""
    assert text != path.read_text(), f"{path} is as it was"
    path.unlink()
    path.write_text(text)


def insert_before(tree: Path, structure: str, member: str, declaration: str) -> None:
    """Puts one more member in front of another, and in front of its union if it is in one."""
    path = tree / HEADERS[structure]
    lines = path.read_text().splitlines(keepends=True)
    rewrite(path, "".join(_with_inserted(lines, structure, member, f"\t{declaration};\n")))


def _with_inserted(lines: list[str], structure: str, member: str, inserted: str) -> list[str]:
    declares = re.compile(rf"\(\*{member}\)\(|\b{member}(\[\w+\])?( __attribute__.*)?;")
    begin = lines.index(f"struct {structure} {{\n")
    union = None
    for number in range(begin + 1, len(lines)):
        line = lines[number]
        if line.startswith("};"):
            break
        if line.strip() == "union {":
            union = number
        elif line.startswith("\t}"):
            union = None
        if declares.search(line):
            place = number if union is None else union
            return [*lines[:place], inserted, *lines[place:]]
    raise AssertionError(f"struct {structure} has no member {member}")


def remove_option(tree: Path, name: str) -> None:
    """As if the sources were those of a fio that lacks the option."""
    path = tree / "options.c"
    entry = rf'^\t\{{\n\t\t\.name\t= "{name}",.*?^\t\}},\n'
    rewrite(path, re.sub(entry, "", path.read_text(), flags=re.MULTILINE | re.DOTALL))


def used_members() -> list[tuple[str, str]]:
    """What of fio's structures the engine's hooks touch, as their sources say."""
    room = ENGINE / "fio"
    sources = [path for path in sorted(room.glob("*.[ch]")) if path.name != "rehearsal.c"]
    text = "\n".join(path.read_text() for path in sources)
    found = {
        "thread_data": set(re.findall(r"\btd->(\w+)", text)),
        "io_u": set(re.findall(r"\bio_u->(\w+)", text)),
        "fio_file": set(re.findall(r"\b(?:f|io_u->file)->(\w+)", text)),
        "ioengine_ops": set(re.findall(r"^\t\.(\w+) = ", _operations(text), re.MULTILINE)),
        "thread_options": set(re.findall(r"\btd->o\.(\w+)", text)),
    }
    return [
        (structure, member)
        for structure, members in found.items()
        for member in sorted(members | _INDIRECT.get(structure, set()))
    ]


def _operations(text: str) -> str:
    match = re.search(r"^static struct ioengine_ops operations = \{.*?^\};", text, re.M | re.S)
    assert match
    return match[0]

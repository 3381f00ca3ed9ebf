# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the reference of the C library: a manual page of section 3 for each function.

Everything comes from the comments of pyfio_virtio.h, which follow these rules:

- The comment of a function stands directly before it. If several declarations follow a comment
  without an empty line, it belongs to all of them.
- A sentence that begins with one of THREADS says which threads may call; otherwise any may. One
  that begins with one of RETURNS is about the returned value, and so are the others behind it in
  its paragraph. All others are the description.
- A line `/* ---- title ---- */` begins a section. A comment of its own in a section, which begins
  with an empty line, is valid for all functions of this section and of those behind it.
- The name of an argument ends in its unit.
- The first comment of the header says what is so in general, in the paragraphs of common().

write() fails if a function lacks something.
"""

import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import project
import roff

LIBRARY = project.ROOT / "engine" / "library"
HEADER, VERSIONS = LIBRARY / "pyfio_virtio.h", LIBRARY / "pyfio_virtio_version.h"
OVERVIEW = "pyfio_virtio"
RETURNS = ("Returns ", "Fails ", "After success", "After a failure", "-E", "A call that fails")
THREADS = ("Any thread", "One thread", "No thread", "Any number of threads")
# The life of a disk, with the functions that a reader looks up next.
LIFE = (
    "pyfio_device_attach() connects to a socket, shares memory with the back-end, and starts the "
    "queues. From then on, any number of threads may read and write at any offset. "
    "After the last call has returned and each async is closed, pyfio_device_detach() ends it; "
    "pyfio_device_shutdown() makes calls that are under way fail at once.",
    "Each operation has two forms. Functions such as pyfio_device_read() wait until it has "
    "completed. An async, from pyfio_async_open(), keeps many operations in flight: "
    "pyfio_async_submit_many() submits them and pyfio_async_collect() collects those that have "
    "completed.",
    "Data in memory from pyfio_device_alloc() or pyfio_device_register_memory() moves without a "
    "copy. Other data is copied through memory that the back-end can reach.",
)
UNITS = {"bytes": "bytes", "ms": "milliseconds", "us": "microseconds"}

SECTION = re.compile(r"^/\* -{3,} (.+?) -{3,} \*/$", re.MULTILINE)
COMMENT = r"/\*((?:[^*]|\*(?!/))*)\*/\n"
PROTOTYPE = r"[a-z][\w ]*[ *]pyfio_\w+\([^()]*\);\n"
FUNCTIONS = re.compile(rf"^(?:{COMMENT})?((?:{PROTOTYPE})+)", re.MULTILINE)
FOR_ALL = re.compile(r"^/\*\n((?: \*.*\n)+?) \*/\n", re.MULTILINE)
# A structure or an enumeration with its members, and the comment before it.
TYPE = re.compile(rf"^(?:{COMMENT})?(?:struct|enum) (pyfio_\w+) {{\n(?:.*\n)*?}};\n", re.MULTILINE)
NAME = re.compile(r"\b(pyfio_\w+)\(")


class ManualError(Exception):
    """The message is a sentence for people."""


@dataclass(frozen=True)
class Page:
    """What one function's page says. Texts are paragraphs."""

    name: str
    prototype: str
    description: tuple[str, ...]
    returns: tuple[str, ...]
    threads: tuple[str, ...]
    notes: tuple[str, ...]  # of its section
    types: tuple[str, ...]  # as the header defines them
    since: str
    others: tuple[str, ...]  # functions to see also
    of_all: Mapping[str, str]  # what common() returns

    @property
    def arguments(self) -> list[str]:
        return re.findall(r"(\w+)(?:, |\))", self.prototype.partition("(")[2])

    def returned(self) -> list[str]:
        if self.prototype.startswith("void "):
            return ["It returns nothing.", *self.returns]
        return [*self.returns, self.of_all["Return values"]]

    def units(self) -> list[str]:
        units = {name: UNITS.get(name.rpartition("_")[2]) for name in self.arguments}
        found = [f"{name} is in {unit}." for name, unit in units.items() if unit]
        if self.prototype.startswith("int64_t"):
            found.append("The returned count is in bytes.")
        return [*found, self.of_all["Units"]]

    def missing(self) -> list[str]:
        """The sections for which the header says nothing."""
        has_value = not self.prototype.startswith("void ")
        return [
            *(["description"] if not self.description + self.returns else []),
            *(["return value"] if has_value and not self.returns else []),
            *(["since"] if not self.since else []),
        ]


def plain(comment: str) -> list[str]:
    """The paragraphs of a comment."""
    lines = [line.strip().removeprefix("*").strip() for line in comment.splitlines()]
    paragraphs = "\n".join(lines).strip().split("\n\n")
    return [" ".join(each.split()) for each in paragraphs if each.strip()]


def sorted_out(paragraphs: list[str]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The description, the returned value and the threads."""
    description: list[str] = []
    returns: list[str] = []
    threads: list[str] = []
    for paragraph in paragraphs:
        rest: list[str] = []
        target = rest
        for sentence in re.split(r"(?<=\.) ", paragraph):
            if sentence.startswith(RETURNS):
                target = returns
            (threads if sentence.startswith(THREADS) else target).append(sentence)
        if rest:
            description.append(" ".join(rest))
    return tuple(description), (" ".join(returns),) if returns else (), tuple(threads)


def releases() -> dict[str, str]:
    """For each function, the release that brought it."""
    release, since = "", {}
    for name in re.findall(r"^#define PYFIO_(\w+) 1$", VERSIONS.read_text(), re.MULTILINE):
        if name.startswith("RELEASE_"):
            release = name.removeprefix("RELEASE_").replace("_", ".")
        else:
            since[f"pyfio_{name.removeprefix('HAS_').lower()}"] = release
    return since


def introduction(header: str) -> Iterator[tuple[str, bool]]:
    """The paragraphs of the header's first comment. Those that are code (True) keep their lines."""
    begin = FOR_ALL.search(header)
    if not begin:
        raise ManualError(f"{HEADER}: it has no first comment")
    for paragraph in begin[1].rstrip("\n").split("\n *\n"):
        lines = [line.removeprefix(" *").rstrip() for line in paragraph.splitlines()]
        if lines[0].startswith("   "):
            yield textwrap.dedent("\n".join(lines)), True
        else:
            yield " ".join(plain(paragraph)), False


def common(header: str) -> dict[str, str]:
    """What the beginning of the header says of all functions, by the title of the paragraph."""
    found = {}
    for title in ("Return values", "Threads", "Units"):
        text = re.search(rf"^ \* {title}\. ((?:.+\n)+?) \*\n", header, re.MULTILINE)
        if not text:
            raise ManualError(f"{HEADER}: its first comment has no paragraph `{title}.`")
        found[title] = " ".join(plain(text[1]))
    return found


def named(text: str, types: dict[str, str]) -> tuple[str, ...]:
    """The definitions of the types that a text names, and of those that these name."""
    found: dict[str, str] = {}
    left = [text]
    while left:
        for name in re.findall(r"(?:struct|enum) (pyfio_\w+)", left.pop(0)):
            if name in types and name not in found:
                found[name] = types[name]
                left.append(types[name])
    return tuple(found.values())


def pages(header: str) -> list[Page]:
    """In the order of the header."""
    types = {found[2]: found[0].rstrip() for found in TYPE.finditer(header)}
    since, of_all = releases(), common(header)
    starts = [match.start() for match in SECTION.finditer(header)]
    sections = [header[a:b] for a, b in zip(starts, [*starts[1:], None], strict=True)]
    found: list[Page] = []
    notes: tuple[str, ...] = ()
    for section in sections:
        own = tuple(p for match in FOR_ALL.finditer(section) for p in plain(match[1]))
        notes = own or notes
        siblings = NAME.findall(re.sub(COMMENT, "", section))
        for match in FUNCTIONS.finditer(section):
            comment = match[1] or ""
            description, returns, threads = sorted_out(plain(comment))
            for prototype in re.findall(PROTOTYPE, match[2]):
                name = NAME.findall(prototype)[0]
                others = dict.fromkeys((*siblings, *NAME.findall(comment)))
                found.append(
                    Page(
                        name,
                        " ".join(prototype.split()),
                        description,
                        returns,
                        threads,
                        notes,
                        named(prototype, types),
                        since.get(name, ""),
                        tuple(each for each in others if each != name),
                        of_all,
                    )
                )
    return found


# ---- roff --------------------------------------------------------------------------------------


def see_also(page: Page) -> str:
    return roff.references([f"{each}(3)" for each in (*page.others, OVERVIEW)])


def summary(page: Page) -> str:
    """The beginning of the first sentence, for NAME."""
    text = (*page.description, *page.returns)[0]
    first = re.split(r"[.,:;](?: |$)| \(", text, maxsplit=1)[0]
    return first[0].lower() + first[1:]


def synopsis(page: Page) -> str:
    lines = textwrap.wrap(page.prototype, 72, subsequent_indent="    ")
    bold = "\n".join(f'.B "{roff.escaped(line)}"' for line in lines)
    return f".nf\n.B #include <pyfio_virtio.h>\n.PP\n{bold}\n.fi"


def sections(page: Page) -> dict[str, str]:
    described = [roff.paragraphs(page.description or page.returns), *map(roff.verbatim, page.types)]
    return {
        "NAME": f"{page.name} \\- {roff.escaped(summary(page))}",
        "SYNOPSIS": synopsis(page),
        "DESCRIPTION": "\n.PP\n".join(described),
        "RETURN VALUE": roff.paragraphs(page.returned()),
        "THREADS": roff.paragraphs(page.threads or [page.of_all["Threads"]]),
        "UNITS": roff.paragraphs(page.units()),
        "NOTES": roff.paragraphs(page.notes),
        "SINCE": f"Release {page.since}.",
        "SEE ALSO": see_also(page),
    }


def groups(header: str, found: list[Page]) -> str:
    """The functions of each section of the header, with what each does."""
    summaries = {page.name: summary(page) for page in found}
    summaries = {name: f"{text[0].upper()}{text[1:]}." for name, text in summaries.items()}
    texts = []
    starts = [*SECTION.finditer(header)]
    for start, after in zip(starts, [*starts[1:], None], strict=True):
        section = re.sub(COMMENT, "", header[start.end() : after.start() if after else None])
        names = [name for name in NAME.findall(section) if name in summaries]
        terms = [(f".BR {name} (3)", roff.filled(summaries[name])) for name in names]
        title = f"{start[1][0].upper()}{start[1][1:]}"
        texts.append(f".SS {roff.escaped(title)}\n{roff.tagged(terms)}")
    return "\n".join(texts)


def overview(header: str, found: list[Page]) -> dict[str, str]:
    """pyfio_virtio(3): what the header says of all functions, and a list of them."""
    begin, *general = [
        roff.example(text) if is_code else roff.filled(text)
        for text, is_code in introduction(header)
    ]
    return {
        "NAME": f"{OVERVIEW} \\- C library for virtio disks behind vhost\\-user sockets",
        "SYNOPSIS": ".nf\n.B #include <pyfio_virtio.h>\n.PP\n"
        ".B cc program.c $(pkg\\-config \\-\\-cflags \\-\\-libs pyfio\\-virtio)\n.fi",
        "DESCRIPTION": "\n.PP\n".join([begin, roff.paragraphs(LIFE)]),
        "CONVENTIONS": "\n.PP\n".join(general),
        "FUNCTIONS": groups(header, found),
        "SEE ALSO": roff.references(["fio_virtio(7)", "pyfio-virtio(1)"]),
    }


def write(folder: Path) -> None:
    header = HEADER.read_text()
    roff.write(folder, OVERVIEW, 3, overview(header, pages(header)))
    for page in pages(header):
        if missing := page.missing():
            raise ManualError(f"{HEADER}: the comment of {page.name}() lacks: {', '.join(missing)}")
        roff.write(folder, page.name, 3, sections(page))

# SPDX-License-Identifier: GPL-2.0-or-later
"""How fio read job files, from its debug output (fio.parsed()): so fio itself reads the numbers,
units and variables.

fio takes many texts that it reads only in part (iodepth=1-8 is 1); misread() finds them. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from pyfio_virtio.fio.job import canonical

_SAID = re.compile(
    r"^parse +\d+ +(?:Parsing section \[(?P<section>.*)\]"
    r"|handle_option=(?P<name>[\w-]+), ptr=(?P<text>.*)"
    r"|__handle_option=[\w-]+, type=(?P<kind>\w+), ptr=.*"
    r"|ret=\d+, out=(?P<number>\d+))$",
    re.MULTILINE,
)
_NUMERIC = ("OPT_INT", "OPT_ULL", "OPT_STR_VAL", "OPT_STR_VAL_TIME", "OPT_STR_VAL_ZONE")
# These have a number for each direction, or a range. Of the others fio keeps the first number.
_SEVERAL = (
    *("bs", "ba", "percentage_random", "rate", "rate_min", "rate_iops", "rate_iops_min"),
    *("startdelay", "filesize", "max_latency"),
)
_SIZE = re.compile(r"[+-]?(0x[0-9a-f]+|[0-9]+)([kmgtp](i?b|i)?|b|%)?", re.IGNORECASE)
_TIME = re.compile(r"([+-]?[0-9]+)(?:(us|ms)[a-z]*|([smhd]))", re.IGNORECASE)
_SECOND_US = 1_000_000
_UNITS_US = {
    "us": 1,
    "ms": 1000,
    "s": _SECOND_US,
    "m": 60 * _SECOND_US,
    "h": 3600 * _SECOND_US,
    "d": 86400 * _SECOND_US,
}
_ZONES = re.compile(r"[0-9]+z")
_INT_LIMIT = 1 << 32


@dataclass
class Reading:
    """How fio read an option of a section."""

    section: str
    name: str
    text: str
    kind: str = ""  # such as OPT_INT
    numbers: list[int] = field(default_factory=list)


@dataclass
class Section:
    """A section of a job file; "global" is one, too."""

    name: str
    options: list[Reading] = field(default_factory=list)


def sections(said: str) -> list[Section]:
    """The sections of a job file, each with its options, in their order."""
    found: list[Section] = []
    for each in _SAID.finditer(said):
        if each["section"] is not None:
            found.append(Section(each["section"]))
        elif not found:
            continue  # an option of the command line
        elif each["name"] is not None:
            found[-1].options.append(Reading(found[-1].name, each["name"], each["text"]))
        elif not found[-1].options:
            continue
        elif each["kind"] is not None:
            found[-1].options[-1].kind = each["kind"]
        else:
            found[-1].options[-1].numbers.append(int(each["number"]))
    return found


def every(said: str) -> Iterator[Reading]:
    """All options of a job file."""
    return (option for section in sections(said) for option in section.options)


@dataclass(frozen=True)
class Misread:
    """A number that fio understands otherwise than it is written."""

    option: str  # NAME=TEXT
    number: str  # as fio reads it
    advice: str


def misread(reading: Reading) -> Misread | None:
    """How fio misreads a number without a word; None if it reads all of it."""
    if reading.kind not in _NUMERIC or not reading.numbers:
        return None
    name, text, number = canonical(reading.name), reading.text, reading.numbers[0]
    parts = [text[1:]] if text.startswith("-") else re.split("[,:-]", text)
    if len(parts) > 1 and name not in _SEVERAL:
        advice = f"for several values, write {','.join(filter(None, parts))}"
    elif not all(_is_read(part, reading) for part in parts if part):
        advice = "write a whole number, with a unit if it has one"
    elif reading.kind == "OPT_ULL" and text.startswith("-"):
        advice = "it must not be negative"
    elif reading.kind == "OPT_INT" and max(reading.numbers) >= _INT_LIMIT and text[0] != "-":
        number, advice = number % _INT_LIMIT, f"it must be below {_INT_LIMIT}"
    else:
        return None
    unit = " us" if reading.kind == "OPT_STR_VAL_TIME" else ""
    return Misread(f"{name}={text}", f"{number}{unit}", advice)


def _is_read(text: str, reading: Reading) -> bool:
    """Whether fio reads all of one number and its unit."""
    if _SIZE.fullmatch(text) or (reading.kind == "OPT_STR_VAL_ZONE" and _ZONES.fullmatch(text)):
        return True
    # Some options have a unit of time. fio does not say which, but its number shows it.
    time = _TIME.fullmatch(text)
    if not time:
        return False
    return int(time[1]) * _UNITS_US[(time[2] or time[3]).lower()] in reading.numbers

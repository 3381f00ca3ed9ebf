# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether fio takes the options of a job file, and how it reads their numbers.

fio only parses the file: it opens no disk and runs no job, but it loads the engines that the jobs
choose. fio takes many texts that it reads only in part (iodepth=1-8 is 1), so its debug output is
read, too: misread() says which numbers fio understands otherwise than they are written. Any thread
may call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pyfio_virtio.fio import fio as fios
from pyfio_virtio.fio.fio import Fio
from pyfio_virtio.fio.job import canonical
from pyfio_virtio.fio.words import reason

_SAID = re.compile(
    r"^parse +\d+ +(?:Parsing section \[(?P<section>.*)\]"
    r"|handle_option=(?P<name>[\w-]+), ptr=(?P<text>.*)"
    r"|__handle_option=[\w-]+, type=(?P<kind>\w+), ptr=.*"
    r"|ret=\d+, out=(?P<number>\d+))$",
    re.MULTILINE,
)
# A variable that is not set stays as it is written.
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_NEAR = re.compile(r"^Did you mean (\S+)\?$", re.MULTILINE)
# fio lists the values that an option may have, one a line.
_CHOICE = re.compile(r"^\s*(?:valid values)?: (\S+)", re.MULTILINE)

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


@dataclass(frozen=True)
class Answer:
    """What fio said about a job file."""

    refusal: str = ""  # why it refuses the file; "" if it takes it
    choices: tuple[str, ...] = ()  # the values that the refused option may have
    near: str = ""  # an option with a similar name
    readings: tuple[Reading, ...] = ()  # none if this fio has no debug output

    def advice(self) -> str:
        """What to write instead of what fio refuses; "" if fio does not say."""
        if variable := _VARIABLE.search(self.refusal):
            return f"set the environment variable {variable[1]}"
        if self.near:
            return f"did you mean {self.near}?"
        if not self.choices:
            return ""
        *others, last = self.choices
        return f"use {', '.join(others)} or {last}" if others else f"use {last}"


def ask(
    fio: Fio, text: bytes, environment: Mapping[str, str], arguments: Sequence[str] = ()
) -> Answer:
    """Asks fio about the text of a job file. `environment` is added to ours, and `arguments` are
    options of the program."""
    asked = fios.parse_only(fio, text, arguments, environment)
    said = asked.stdout.decode("utf-8", "surrogateescape")
    if asked.returncode == 0:
        return Answer(readings=tuple(readings(said)))
    words = asked.stderr.decode("utf-8", "replace")
    near = _NEAR.search(words)
    choices = tuple(_CHOICE.findall(said))
    return Answer(reason(words) or "fio does not say why", choices, near[1] if near else "")


def readings(said: str) -> Iterator[Reading]:
    """How fio read the options, from its debug output."""
    section, last = "", None
    for each in _SAID.finditer(said):
        if each["section"] is not None:
            section = each["section"]
        elif each["name"] is not None:
            if last:
                yield last
            last = Reading(section, each["name"], each["text"])
        elif last and each["kind"] is not None:
            last.kind = each["kind"]
        elif last:
            last.numbers.append(int(each["number"]))
    if last:
        yield last


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

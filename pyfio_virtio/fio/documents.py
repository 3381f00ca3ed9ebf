# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds fio's JSON document in a file, and checks the types of the values that are read from it.

Owns which part of a text is the document: fio's notes may stand around it, and with
--status-interval there are several. Also owns the checked access to its fields, whose errors name
the place. Everything is pure except read_text(). Any thread may call it. output.py knows what the
fields mean.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeGuard

from pyfio_virtio import files
from pyfio_virtio.errors import PyfioVirtioError

ALL_CLIENTS = "All clients"
_FIO_S = {"fio version", "jobs", "client_stats"}
# fio counts in 64 bits, and a table of results has signed numbers.
_LARGEST = float(1 << 63)
# The seconds by which the start of a run may seem to differ between its documents, because fio
# rounds the time that has passed.
_SAME_START_S = 2.0
_ENCODINGS = {
    codecs.BOM_UTF16_LE: "utf-16",  # Windows PowerShell writes this for `fio > file`
    codecs.BOM_UTF16_BE: "utf-16",
}
# fio prints a float that is not a number as C does, and JSON has no such word.
_C_FLOAT = re.compile(r"(:\s*)-?(?:nan|inf)(?=\s*[,}\]])")


class FioJsonError(PyfioVirtioError):
    """A file that should hold fio's JSON does not, or it lacks something."""


class _Several(tuple[Any, ...]):
    """The values of a key that occurs more than once in an object."""


def read_text(path: Path) -> str:
    """The text of a file, whatever its encoding."""
    try:
        data = files.read(path)
    except OSError as failure:
        raise FioJsonError(f"cannot read {path}", failure.strerror or str(failure)) from failure
    return data.decode(_ENCODINGS.get(data[:2], "utf-8-sig"), errors="replace")


def find(text: str, source: str) -> Section:
    """The last document. fio's notes may stand before, between and after the documents."""
    found = [each for each in _documents(text, source) if _FIO_S & each.keys()]
    if not found or not all(_entries(each) for each in found):
        raise FioJsonError(
            f"{source} is not fio's JSON",
            "it has no complete document with jobs in it",
            "run fio with --output-format=json+",
        )
    for earlier, later in pairwise(found):
        _check_same_run(earlier, later, source)
    return Section(found[-1], source)


def jobs(document: Section) -> list[Section]:
    """The entries of jobs. The sum of several clients is left out, except if it is all there is."""
    entries = _entries(document.values)
    odd = [each for each in entries if not isinstance(each, dict)]
    if odd:
        raise document.refusal("a job", "is not an object")
    every = [
        Section(each, f"{document.place}, job {number}") for number, each in enumerate(entries, 1)
    ]
    single = [each for each in every if each.values.get("jobname") != ALL_CLIENTS]
    return single or every


def _entries(document: Mapping[str, Any]) -> list[Any]:
    entries = document.get("jobs") or document.get("client_stats")
    return entries if isinstance(entries, list) else []


def _documents(text: str, source: str) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    text = _C_FLOAT.sub(r"\1NaN", text)
    start = _next_document(text, 0)
    while start >= 0:
        try:
            document, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            if _begins_an_object(text, start):
                raise _cut_off(source) from None
            end = start + 1
        else:
            yield document
        start = _next_document(text, end)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        for key in made:
            values = [value for name, value in pairs if name == key]
            if any(value != values[0] for value in values):
                made[key] = _Several(values)
    return made


def _next_document(text: str, start: int) -> int:
    """The place of the next document, which begins with { at the start of a line; -1: none.

    If no line of the text begins with {, its first { counts.
    """
    if start == 0:
        return 0 if text.startswith("{") else max(text.find("\n{") + 1, 0) or text.find("{")
    following = text.find("\n{", start)
    return following + 1 if following >= 0 else -1


def _begins_an_object(text: str, start: int) -> bool:
    return re.compile(r'\{\s*(?:"|$)').match(text, start) is not None


def _cut_off(source: str) -> FioJsonError:
    return FioJsonError(
        f"{source} is not whole",
        "one of its documents is cut off or is no JSON",
        "wait until fio has ended, or run it again",
    )


def _check_same_run(earlier: Mapping[str, Any], later: Mapping[str, Any], source: str) -> None:
    """With --status-interval all documents are of one run, and the last one counts."""
    if _names(earlier) == _names(later):
        first, second = _start_s(earlier), _start_s(later)
        if first is None or second is None or abs(second - first) <= _SAME_START_S:
            return
    raise FioJsonError(
        f"{source} has the results of several runs", "only one can be read", "use a file for each"
    )


def _names(document: Mapping[str, Any]) -> list[Any]:
    return [each.get("jobname") for each in _entries(document) if isinstance(each, dict)]


def _start_s(document: Mapping[str, Any]) -> float | None:
    """The time at which fio started, as far as the document tells it."""
    now = document.get("timestamp")
    passed = [each.get("elapsed") for each in _entries(document) if isinstance(each, dict)]
    known = [each for each in passed if _is_number(each)]
    return float(now) - max(known) if _is_number(now) and known else None


def _is_number(value: object) -> TypeGuard[float]:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and abs(value) < _LARGEST
        and math.isfinite(value)
    )


class Section:
    """An object of the document. Its methods refuse values of the wrong type, and say where."""

    def __init__(self, values: Mapping[str, Any], place: str) -> None:
        self.values = values
        self.place = place

    def refusal(self, what: str, why: str, next_step: str = "") -> FioJsonError:
        """The error for something in this object."""
        return FioJsonError(f"{self.place}: {what} {why}", "", next_step)

    def number(self, key: str) -> float | None:
        """A number that is not negative; None if there is none."""
        value = self.values.get(key)
        if value is None:
            return None
        if not _is_number(value):
            raise self.refusal(key, f"is {_shown(value)}, which is not a number that fio writes")
        if value < 0:
            raise self.refusal(key, f"is {value}, which is negative")
        return float(value)

    def required(self, key: str) -> float:
        """A number that fio always writes."""
        value = self.number(key)
        if value is None:
            raise self.refusal(key, "is missing", "run fio with --output-format=json+")
        return value

    def text(self, key: str) -> str:
        """A text that fio always writes."""
        value = self.values.get(key)
        if not isinstance(value, str):
            raise self.refusal(key, "is missing" if value is None else "is not a text")
        return value

    def section(self, key: str) -> Section | None:
        """An object; None if there is none."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.refusal(key, f"is {_shown(value)} and not an object")
        return Section(value, f"{self.place}, {key}")

    def options(self, key: str) -> dict[str, str]:
        """fio's options. Of an option that is given twice, the last value counts, as in fio."""
        found = self.section(key)
        every = found.values if found else {}
        last = {
            name: value[-1] if isinstance(value, _Several) else value
            for name, value in every.items()
        }
        for name, value in last.items():
            if isinstance(value, (dict, list)):
                raise self.refusal(f"{key}, {name}", "is not a text")
        return {name: str(value) for name, value in last.items()}

    def numbers(self) -> dict[float, float]:
        """The entries whose name is a number, ascending. Other entries are left out."""
        found = {}
        for name in self.values:
            try:
                place = float(name) if name.isascii() else math.nan
            except ValueError:
                continue
            if math.isfinite(place):
                found[place] = self.required(name)
        return dict(sorted(found.items()))


def _shown(value: object) -> str:
    for kind, name in ((_Several, "given twice"), (dict, "an object"), (list, "a list")):
        if isinstance(value, kind):
            return name
    text = json.dumps(value) if isinstance(value, (str, bool)) else f"{value!r:.40}"
    return text if len(text) <= 40 else f"{text[:36]} ..."

# SPDX-License-Identifier: GPL-2.0-or-later
"""The values of options: which of them mean the same, in which order they are, which are numbers.

Owns the kinds of values and the rules by which fio reads them: 4096, 4k and 4ki are the same size
(unless kb_base is 1000), 500ms and 1s are times, 4k/50:8k/50 is a list. A value is always shown as
the user wrote it; only grouping, sorting and numeric axes use the forms of this file. Pure; any
thread may call it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

SIZE, TIME, COUNT, PERCENTAGE = "size", "time", "count", "percentage"
LIST, WORD, MISSING = "list", "word", "missing"
NUMBERS = (SIZE, TIME, COUNT, PERCENTAGE)
_RANKS = {SIZE: 0, TIME: 0, COUNT: 0, PERCENTAGE: 1, LIST: 2, WORD: 3, MISSING: 4}

# The µs of a time without a unit.
_SECOND = 1_000_000
_TIMES = {
    **dict.fromkeys(("runtime", "timeout", "ramp_time", "startdelay", "thinktime_iotime"), _SECOND),
    **dict.fromkeys(("thinktime", "thinktime_spin", "max_latency"), 1),
    **dict.fromkeys(("latency_target", "latency_window"), 1),
}
_TIME_UNITS = {"s": _SECOND, "m": 60 * _SECOND, "h": 3600 * _SECOND, "d": 86400 * _SECOND}
_SIZES = frozenset(
    [
        "bs",
        "ba",
        "bsrange",
        "bssplit",
        "size",
        "io_size",
        "filesize",
        "file_size_increment",
        "offset",
        "offset_increment",
        "offset_align",
        "rate",
        "rate_min",
        "zonesize",
        "zonerange",
        "zoneskip",
        "verify_interval",
    ]
)
# fio uses one of these, so the default of bs= holds only if none is given.
BLOCK_SIZES = ("bs", "bsrange", "bssplit")
# Options and columns whose values may look like numbers, but are names.
_NAMES = frozenset(
    [
        "way",
        "engine",
        "ioengine",
        "jobname",
        "name",
        "hostname",
        "filename",
        "directory",
        "cpus",
        "cpus_allowed",
        "serve",
        "device",
        "description",
        "backend",
        "folder",
        "backend_name",
        "engine_build",
        "fio_program",
        "wait",
        # 0x00ff and 0xff are patterns of different lengths.
        "buffer_pattern",
        "verify_pattern",
    ]
)
# Names of the same value.
_ALIASES = {("rw", "readwrite"): "rw", ("rw", "randreadwrite"): "randrw"}
_NUMBER = re.compile(r"([+-]?(?:0[xX][0-9a-fA-F]+|[0-9]+))(\.[0-9]+)?([a-zA-Z%]*)")
_SEPARATORS = re.compile(r"[,:/-]")
_POWERS = ("", "k", "m", "g", "t", "p")
_BYTES = re.compile(r"(?:([kmgtp])(i?b|i)?|b)?")

Value = object
Order = tuple[int, tuple[tuple[float, str], ...]]


def kind(name: str, value: Value) -> str:
    """The kind of a value of this option."""
    return _read(name, value, 1024)[0]


def number(name: str, value: Value, kb_base: int = 1024) -> float | None:
    """Its place on an axis of numbers: bytes, µs, a count or percents. None if it is no number."""
    found, form = _read(name, value, kb_base)
    return form[0][0] if found in NUMBERS else None


def canonical(name: str, value: Value, kb_base: int = 1024) -> str:
    """A text that is equal for values with the same meaning."""
    found, form = _read(name, value, kb_base)
    group = "number" if found in (SIZE, TIME, COUNT) else found
    return f"{group}:" + ";".join(f"{place:.17g}{text}" for place, text in form)


def order(name: str, value: Value, kb_base: int = 1024) -> Order:
    """A key to sort by: numbers, percentages, lists, words, and then what is missing."""
    found, form = _read(name, value, kb_base)
    return _RANKS[found], _natural(form) if found == WORD else form


def distinct(name: str, values: Sequence[str], kb_base: int = 1024) -> list[str]:
    """The values without those that mean the same as an earlier one."""
    first: dict[str, str] = {}
    for value in values:
        first.setdefault(canonical(name, value, kb_base), value)
    return list(first.values())


def is_missing(value: Value) -> bool:
    """Whether an option was not given."""
    return value is None or value == "" or value != value


def _read(name: str, value: Value, kb_base: int) -> tuple[str, tuple[tuple[float, str], ...]]:
    """The kind of a value, and its numbers or its text."""
    if is_missing(value):
        return MISSING, ()
    if isinstance(value, float):
        # pandas makes floats of whole numbers if one is missing in their column.
        text = str(int(value)) if value.is_integer() else repr(value)
    else:
        text = str(int(value)) if isinstance(value, bool) else str(value)
    text = _ALIASES.get((name, text), text)
    if name in _NAMES:
        return WORD, ((0.0, text),)
    single = _single(name, text, kb_base)
    if single:
        return single[0], ((single[1], ""),)
    parts = _SEPARATORS.split(text)
    numbers = [_single(name, part, kb_base) if part else (COUNT, -1.0) for part in parts]
    known = [each for each in numbers if each]
    if len(parts) > 1 and len(known) == len(parts) and any(parts):
        marks = [*_SEPARATORS.findall(text), ""]
        return LIST, tuple((each[1], mark) for each, mark in zip(known, marks, strict=True))
    return WORD, ((0.0, text),)


def _single(name: str, text: str, kb_base: int) -> tuple[str, float] | None:
    """The kind and the value of one number with its unit."""
    match = _NUMBER.fullmatch(text)
    # fio takes no fraction with a unit.
    if match is None or (match[2] and match[3] not in ("", "%")):
        return None
    whole, fraction, unit = match[1], match[2] or "", match[3].lower()
    plain = float(int(whole, 16)) if "x" in whole.lower() else float(whole + fraction)
    if not math.isfinite(plain):
        return None
    if unit == "%":
        return PERCENTAGE, plain
    if name in _TIMES:
        factor = _time_unit(unit) if unit else _TIMES[name]
        return (TIME, plain * factor) if factor else None
    size = _BYTES.fullmatch(unit)
    if size is None:
        return None
    is_size = name in _SIZES or bool(unit)
    return (SIZE if is_size else COUNT), plain * _multiplier(size[1], size[2], kb_base)


def _time_unit(unit: str) -> int | None:
    if unit.startswith("us"):
        return 1
    return 1000 if unit.startswith("ms") else _TIME_UNITS.get(unit)


def _multiplier(letter: str | None, rest: str | None, kb_base: int) -> int:
    """fio's rule: "ib" means powers of 1024 only with kb_base=1000; otherwise it means 1000."""
    base = {1000: 1024, 1024: 1000}.get(kb_base, kb_base) if rest == "ib" else kb_base
    return int(base ** _POWERS.index(letter or ""))


def _natural(form: tuple[tuple[float, str], ...]) -> tuple[tuple[float, str], ...]:
    """Numbers inside a word sort as numbers, so zipf:9 comes before zipf:10."""
    parts = [part for _, text in form for part in re.split(r"([0-9]+)", text) if part]
    return tuple(
        (float(part[:300]), "") if part.isascii() and part.isdigit() else (math.inf, part)
        for part in parts
    )

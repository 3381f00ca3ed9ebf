# SPDX-License-Identifier: GPL-2.0-or-later
"""The values that the options of a back-end can have, so that a wrong one starts nothing.

Owns the lists of fixed values, and which options are numbers or times. What is not listed here is
left to the back-end. Pure; any thread may call.
"""

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction

from pyfio_virtio.errors import UsageError, did_you_mean
from pyfio_virtio.sizes import parse_size

# qemu also accepts these spellings, of which only the first is proposed.
_ON, _OFF = ("on", "yes", "true", "y"), ("off", "no", "false", "n")
_OF_QSD = {
    "aio": ("threads", "native", "io_uring"),
    "cache.direct": ("on", "off"),
    "cache.no-flush": ("on", "off"),
    "detect-zeroes": ("off", "on", "unmap"),
}
_OF_BUILTIN = {
    "device": ("blk", "scsi"),
    "serve": ("poll", "event", "adaptive"),
    "profile": ("builtin", "spdk", "qemu", "rust-vmm", "minimal"),
    "populate": ("auto", "on", "off", "huge"),
    "aio": ("auto", "io_uring", "threads", "off"),
    "direct": ("on", "off"),
}
FIXED: Mapping[str, Mapping[str, Sequence[str]]] = {"builtin": _OF_BUILTIN, "qsd": _OF_QSD}
_SWITCHES = ("cache.direct", "cache.no-flush")
_WHOLE = (
    *("queue-size-max", "targets", "luns", "size-max", "seg-max", "discard-sectors-max"),
    *("discard-segments-max", "threads", "clients", "explain"),
    *("latency-ns", "aio-max-batch", "poll-grow", "poll-shrink"),
    *("thread-pool-max", "thread-pool-min"),
)
# The units of the built-in back-end, the longest first, in nanoseconds.
_UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_SIMILAR = 0.5


def check_storage(storage: str) -> None:
    kind, colon, path = storage.partition(":")
    if storage in ("null", "memory") or (kind in ("memory", "file") and path):
        return
    if kind in ("memory", "file"):
        usual = "write memory, or memory:PATH" if kind == "memory" else "write file:PATH"
        raise UsageError(f"storage {storage} needs a path", "", usual)
    if kind == "null":
        raise UsageError(f"unusable storage {storage}", "null keeps no data", "write null")
    if not colon and ("." in kind or "/" in kind):
        advice = f"did you mean file:{kind}?"
    else:
        meant = did_you_mean(kind.lower(), ("null", "memory", "file"))
        advice = f"{meant}say null, memory, memory:PATH or file:PATH"
    raise UsageError(f"unknown storage {storage!r}", "", advice)


def check(kind: str, options: Sequence[str]) -> None:
    """Refuses values that this kind of back-end does not accept."""
    for option in options:
        key, _, value = option.partition("=")
        if not value and key in ("latency", "fault", *_WHOLE):
            raise UsageError(
                f"option {key} of the back-end needs a value", "", f"write {key}=VALUE"
            )
        if known := FIXED.get(kind, {}).get(key):
            _check_fixed(key, value, known)
        elif key in _WHOLE:
            _check_whole(key, value)
        elif key in ("latency", "fault") and kind == "builtin":
            for each in _times(key, value):
                _check_time(option, each)
    if kind == "qsd":
        _check_native(dict(each.partition("=")[::2] for each in options))


def _check_fixed(key: str, value: str, known: Sequence[str]) -> None:
    if value in known or (key in _SWITCHES and value in (*_ON, *_OFF)):
        return
    advice = did_you_mean(value.lower(), known, _SIMILAR)
    listed = f"{', '.join(known[:-1])} or {known[-1]}"
    raise UsageError(f"{key} cannot be {value!r}", "", f"{advice}use {listed}")


def _check_whole(key: str, value: str) -> None:
    if re.fullmatch(r"\d+|0x[0-9a-f]+", value, re.ASCII | re.IGNORECASE):
        return
    try:
        advice = f"write {key}={parse_size(value)}"
    except UsageError:
        advice = "write digits alone"
    raise UsageError(f"{key} cannot be {value!r}", "it is not a whole number", advice)


def _times(key: str, value: str) -> list[str]:
    """The times in a latency, such as 10us,100us/1s, or in a fault, such as delay:for=1ms."""
    if value in ("trace", "trace:"):
        raise UsageError(f"{key}={value} needs a file", "", f"write {key}=trace:FILE")
    if key == "fault":
        return re.findall(r"[:,]for=([^,\s]*)", value)
    return [] if value == "none" or value.startswith("trace:") else re.split("[,/]", value)


def _check_time(option: str, text: str) -> None:
    if re.fullmatch(r"\d+(ns|us|ms|s)?", text, re.ASCII | re.IGNORECASE):
        return
    proposed = _whole_time(text)
    advice = f"write {proposed}" if proposed else "write a whole number with ns, us, ms or s"
    key = option.partition("=")[0]
    where = f"{key} cannot be {text!r}" if option == f"{key}={text}" else f"cannot use {option}"
    raise UsageError(where, f"{text!r} is not a whole number like 20us", advice)


def _whole_time(text: str) -> str:
    """The same time as the back-end reads it, such as 1250us for 1.25ms; "" if there is none."""
    match = re.fullmatch(r"(\d*\.?\d+)\s*([nuµμm]?s)", text.strip().lower(), re.ASCII)
    if match is None:
        return ""
    ns = Fraction(match[1]) * _UNITS[match[2].replace("µ", "u").replace("μ", "u")]
    exact = [unit for unit, factor in _UNITS.items() if (ns / factor).denominator == 1]
    return f"{ns / _UNITS[exact[0]]}{exact[0]}" if exact else ""


def _check_native(given: Mapping[str, str]) -> None:
    if given.get("aio") == "native" and given.get("cache.direct", "off") not in _ON:
        raise UsageError(
            "aio cannot be 'native' without cache.direct=on",
            "qemu then refuses to open the file",
            "add --backend-option cache.direct=on",
        )

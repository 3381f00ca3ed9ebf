# SPDX-License-Identifier: GPL-2.0-or-later
"""The options that users may give to a back-end itself, as KEY=VALUE: which ones each kind has.

Owns the lists of keys, how one text with several options is split, and where each option belongs in
the command line, which command_lines.py writes. Pure; any thread may call.
"""

from collections.abc import Iterator, Sequence

from pyfio_virtio.backends import option_values
from pyfio_virtio.errors import UsageError, did_you_mean

# Options of the built-in back-end that have no flag of their own in our commands.
_BUILTIN = (
    *("device", "queue-size-max", "targets", "luns", "size-max", "seg-max"),
    *("discard-sectors-max", "discard-segments-max", "latency", "serve", "threads", "profile"),
    *("clients", "fault", "control", "cpus", "stats-file", "populate"),
    *("aio", "direct", "explain", "explain-file"),
)
# Only a file that is not mapped has these.
_BUILTIN_OF_FILES = ("aio", "direct")
# Options of the disk in qemu-storage-daemon, as its block layer wants them.
_QSD_NODE = {
    "aio": "file.aio={}",
    "cache.direct": "cache.direct={0},file.cache.direct={0}",
    "cache.no-flush": "cache.no-flush={0},file.cache.no-flush={0}",
    "detect-zeroes": "detect-zeroes={}",
    "latency-ns": "latency-ns={}",
}
# Only a file has these, and only a disk without a file has that one.
_QSD_OF_FILES = ("aio", "cache.direct", "cache.no-flush")
_QSD_OF_NULL = ("latency-ns",)
# Options of the thread that serves the disk.
_QSD_THREAD = ("aio-max-batch", "poll-grow", "poll-shrink", "thread-pool-max", "thread-pool-min")
# Options of the program, which are passed on as they are.
_QSD_PROGRAM = ("chardev", "monitor", "object", "pidfile", "trace")
KEYS = {"builtin": _BUILTIN, "qsd": (*_QSD_NODE, *_QSD_THREAD, *_QSD_PROGRAM)}
# A comma belongs to the value of these, so it does not separate two values.
WITH_COMMAS = ("latency", "fault", "cpus", *_QSD_PROGRAM)
# With these the back-end would serve another disk or socket than the one that is shown.
_OF_THE_COMMAND = (
    *("socket", "socket-fd", "storage", "daemonize"),
    *("blockdev", "export", "nbd-server", "vhost-user"),
)
# Each of these counts, if it is given several times.
REPEATED = ("fault", "chardev", "monitor", "object", "trace")


def key_of(option: str) -> str:
    """The key of KEY=VALUE."""
    return option.partition("=")[0]


def value_of(key: str, options: Sequence[str]) -> str | None:
    """The value of an option; None if it is not given. If it is given twice, the last counts."""
    given = [each for each in options if key_of(each) == key]
    return given[-1].partition("=")[2] if given else None


def check(kind: str, options: Sequence[str], storage: str) -> None:
    """Refuses options that this kind of back-end, or its storage, does not have, and values that
    it does not accept.
    """
    check_keys(kind, options)
    for key in map(key_of, options):
        if other := _storage_of(kind, key, storage):
            raise UsageError(
                f"{key} has no meaning for storage {storage}", "", f"use storage {other}"
            )
    option_values.check(kind, options)


def _storage_of(kind: str, key: str, storage: str) -> str:
    """The storage with which the option has a meaning; "" if it has one with this storage."""
    if kind == "builtin" and key in _BUILTIN_OF_FILES:
        return "" if storage.startswith("file:") else "file:PATH"
    if kind == "qsd" and key in _QSD_OF_FILES and storage == "null":
        return "memory or file:PATH"
    return "null" if kind == "qsd" and key in _QSD_OF_NULL and storage != "null" else ""


def check_keys(kind: str, options: Sequence[str]) -> None:
    """Refuses options that this kind of back-end does not have with any storage."""
    known = KEYS.get(kind, ())
    for option in options:
        key = key_of(option)
        # qemu-storage-daemon also accepts an abbreviated name.
        if key not in known and any(each.startswith(key.lstrip("-")) for each in _OF_THE_COMMAND):
            raise UsageError(
                f"cannot pass {option} to the back-end",
                "the back-end could serve another disk than the one that is shown",
                "use the command's own flag, which asks before a disk is overwritten",
            )
        if key not in known:
            raise UsageError(
                f"{kind} has no option {key}",
                "",
                f"{did_you_mean(key, known)}it has {', '.join(sorted(known)) or 'none'}",
            )


def split(kind: str, text: str) -> tuple[str, ...]:
    """The options in KEY=VALUE,KEY=VALUE. A comma may belong to the value before it."""
    found: list[str] = []
    for part in text.split(","):
        continues = bool(found) and key_of(part) not in KEYS[kind]
        if continues and key_of(found[-1]) in WITH_COMMAS:
            found[-1] += f",{part}"
        else:
            found.append(part)
    return tuple(found)


def of_qsd_node(options: Sequence[str]) -> Iterator[str]:
    """What the options add to the description of qemu's disk."""
    for option in options:
        key, _, value = option.partition("=")
        if key in _QSD_NODE:
            yield _QSD_NODE[key].format(escaped(value))


def of_qsd_thread(options: Sequence[str]) -> Iterator[str]:
    """What the options add to the description of qemu's thread."""
    return (escaped(each) for each in options if key_of(each) in _QSD_THREAD)


def of_program(kind: str, options: Sequence[str]) -> Iterator[str]:
    """The options that the program of a back-end takes by itself."""
    placed = (*_QSD_NODE, *_QSD_THREAD) if kind == "qsd" else ()
    return (each for each in options if key_of(each) not in placed)


def escaped(text: str) -> str:
    """A text in a list of qemu's options, where a comma would begin the next one."""
    return text.replace(",", ",,")

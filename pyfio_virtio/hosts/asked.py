# SPDX-License-Identifier: GPL-2.0-or-later
"""What a client may ask for: the disk of a job, and which files of this host it may be on.

Whoever reaches the host is allowed to run jobs, but not to overwrite its files by way of a
back-end. So a disk keeps its blocks in memory, nowhere, or in a file of the session, unless the
file was allowed by name. Pure but for the paths that are looked up.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from pyfio_virtio.backends.kinds import VHOST_USER_KINDS
from pyfio_virtio.backends.option_keys import key_of
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.errors import PyfioVirtioError, UsageError, did_you_mean
from pyfio_virtio.machine import memory
from pyfio_virtio.sizes import format_size

# A file that the session makes, and removes at its end.
SCRATCH = "file"
SCRATCH_NAME = "disk.img"
_MOST_OPTIONS = 64
_LONGEST = 4096
_LARGEST = (1 << 63) - 1
# With these a back-end opens files or sockets, or starts objects, that the client names.
_OF_THE_HOST = ("control", "stats-file", "explain-file", "chardev", "monitor", "object", "pidfile")
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "kind": str,
    "storage": str,
    "size_bytes": int,
    "queues": int,
    "block_size": int,
    "read_only": bool,
    "poll_max_ns": (int, type(None)),
    "cpus": (str, type(None)),
    "options": (list, tuple),
}


@dataclass(frozen=True)
class Asked:
    """A disk that is started, the socket of one that runs, or none at all."""

    spec: BackendSpec | None = None
    socket: str = ""

    def describe(self) -> str:
        return self.spec.describe() if self.spec else self.socket or "no disk"


def of_message(given: Mapping[str, Any]) -> Asked:
    """What a message `prepare` asks for."""
    backend, socket = given.get("backend"), given.get("socket")
    if backend is not None and socket is not None:
        raise _unusable("it names both a back-end to start and a socket", "name one of them")
    if backend is not None:
        return Asked(_spec(backend))
    if socket is None:
        return Asked()
    if not isinstance(socket, str) or not socket.startswith("/") or not _is_plain(socket):
        raise _unusable(f"{socket!r:.60} is no absolute path of a socket", "")
    return Asked(socket=socket)


def _unusable(why: str, advice: str) -> UsageError:
    return UsageError("cannot prepare a disk", why, advice)


def _spec(given: object) -> BackendSpec:
    if not isinstance(given, Mapping):
        raise _unusable("the back-end is no object", "")
    known = [each.name for each in fields(BackendSpec)]
    for name, value in given.items():
        if name not in known:
            advice = f"{did_you_mean(name, known)}it has {', '.join(known)}"
            raise _unusable(f"a back-end has no {name!r:.40}", advice)
        if not _is_usable(name, value):
            raise _unusable(f"its {name} cannot be {value!r:.60}", "")
    return BackendSpec(**{**given, "options": tuple(given.get("options", ()))})


def _is_usable(name: str, value: object) -> bool:
    if isinstance(value, bool) and name != "read_only":
        return False
    if isinstance(value, int) and not 0 <= value <= _LARGEST:
        return False
    if isinstance(value, str) and not _is_plain(value):
        return False
    if isinstance(value, Sequence) and not isinstance(value, str):
        texts = all(isinstance(each, str) and _is_usable("storage", each) for each in value)
        return name == "options" and len(value) <= _MOST_OPTIONS and texts
    return isinstance(value, _TYPES[name])


def _is_plain(text: str) -> bool:
    """Whether the system takes a text as a word of a command, or as a path."""
    try:
        return len(text) <= _LONGEST and b"\0" not in os.fsencode(text)
    except UnicodeError:
        return False


def permitted(asked: Asked, allowed: Sequence[Path], folder: Path) -> Asked:
    """The same with its scratch file in `folder`. Refuses what this host does not do for others."""
    spec = asked.spec
    if spec is None:
        return asked
    if spec.kind not in VHOST_USER_KINDS:
        kinds = ", ".join(VHOST_USER_KINDS)
        raise UsageError(f"unknown back-end {spec.kind!r:.40}", "", f"use {kinds}")
    if spec.storage == SCRATCH:
        spec = replace(spec, storage=f"file:{folder / SCRATCH_NAME}")
    elif spec.file is not None and not _is_allowed(spec.file, allowed):
        raise _forbidden(f"use {spec.file} as storage", f"pyfio-virtio serve --allow {spec.file}")
    for option in spec.options:
        if key_of(option) in _OF_THE_HOST or "trace" in option:
            advice = "leave it out, or start the back-end there and name its socket"
            raise _forbidden(f"give {option:.80} to a back-end", advice)
    spec.check()
    if spec.storage == "memory" and spec.size_bytes > (free := memory.free_bytes()):
        size, room = format_size(spec.size_bytes), format_size(free >> 20 << 20)
        raise PyfioVirtioError(
            f"cannot make a disk of {size} in memory", f"{room} are free here", "use a smaller one"
        )
    return replace(asked, spec=spec)


def _is_allowed(file: Path, allowed: Sequence[Path]) -> bool:
    """Whether a file, or a folder above it, was named. Symbolic links are followed before."""
    found = file.resolve()
    return any(found.is_relative_to(each) for each in allowed)


def _forbidden(what: str, advice: str) -> PyfioVirtioError:
    return PyfioVirtioError(f"will not {what}", "this host does not do so for its clients", advice)

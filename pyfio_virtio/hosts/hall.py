# SPDX-License-Identifier: GPL-2.0-or-later
"""What all sessions of one `pyfio-virtio serve` share, and the notes that each leaves for --status.

Owns the note of a session, a small file in its private folder: who has connected, since when, and
what runs. Reading and writing are for any process of this user.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pyfio_virtio import files
from pyfio_virtio.fio.fio import Fio
from pyfio_virtio.hosts.asked import Asked

_NOTE = "session.json"
_LONGEST_NOTE = 64 << 10


@dataclass(frozen=True)
class Hall:
    """Made once, before the first client comes."""

    fio: Fio
    protocol: int  # the version of fio's protocol that this fio speaks
    engine: str  # the engine's version; "" if this fio does not load it
    problem: str  # why it does not
    allowed: tuple[Path, ...]  # files and folders that back-ends may use
    folder: Path  # the sessions' folders are in it
    pid: int  # of serve
    read_flags: Callable[[str], Asked]  # of the first line of a plain client's job
    tell: Callable[[str], None]  # prints a line


@dataclass(frozen=True)
class Note:
    """What --status shows of a session."""

    peer: str
    since_ns: int
    doing: str = "waits for its client"
    backend: str = ""
    pid: int = 0  # of the session
    serve_pid: int = 0


def leave(note: Note, folder: Path) -> None:
    """Writes the note. On a full disk, --status shows the former one."""
    temporary = folder / f".{_NOTE}"
    with suppress(OSError):
        files.write(temporary, json.dumps(asdict(note)))
        temporary.replace(folder / _NOTE)


def notes(folder: Path, serve_pid: int) -> list[Note]:
    """The notes of the sessions of one serve."""
    found = []
    for path in sorted(folder.glob(f"run-*/{_NOTE}")):
        with suppress(OSError, ValueError, TypeError):
            note = Note(**json.loads(files.read_text(path, _LONGEST_NOTE)))
            if note.serve_pid == serve_pid:
                found.append(note)
    return sorted(found, key=lambda each: each.since_ns)


def beginning(peer: str, serve_pid: int, pid: int) -> Note:
    return Note(peer, time.time_ns(), pid=pid, serve_pid=serve_pid)

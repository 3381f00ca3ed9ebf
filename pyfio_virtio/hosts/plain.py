# SPDX-License-Identifier: GPL-2.0-or-later
"""A session whose client is `fio --client`, which knows nothing of us.

Owns how a client of another release is refused in words that it prints, and the first line of its
job, by which it asks for a back-end: `; pyfio-virtio: --backend builtin --storage memory`. All else
is passed on. Used by the loop of a session, in one thread.
"""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Callable

from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.hosts import wire
from pyfio_virtio.hosts.asked import Asked
from pyfio_virtio.hosts.channel import Channel, Over
from pyfio_virtio.hosts.hall import Hall
from pyfio_virtio.hosts.work import Work

# How long a client may be silent before its job runs. Later, it may be so for any time.
_PATIENCE_S = 10.0
_MOST_HELD = 8 << 20
# A client's options without those of jobs come before its job.
_OPCODE_OPTIONS = 4
_BEFORE_JOB = (wire.OPCODE_PROBE, _OPCODE_OPTIONS)
# More text follows in the next frame.
_MORE = 1
# Of the payload of a frame JOB: the length of the text, and the kind of client.
_JOB = struct.Struct("<II")
# Of the payload of a frame TEXT: the level, the length, and a time.
_TEXT = struct.Struct("<IIQQ")
_ERROR_LEVEL = 3
_FLAGS = re.compile(rb"^\s*[;#]\s*pyfio-virtio:(.*)$", re.ASCII)
_COMMENT = re.compile(rb"^\s*([;#].*)?$")


class RefusedError(PyfioVirtioError):
    """The client was told why, so the session ends."""


def flags_of(job: bytes) -> str | None:
    """What follows `; pyfio-virtio:` in the comments above a job; None without such a line."""
    for line in job.splitlines():
        if match := _FLAGS.match(line):
            return match[1].decode("utf-8", "replace").strip()
        if not _COMMENT.match(line):
            break
    return None


def said(version: int, error: PyfioVirtioError) -> bytes:
    """A frame whose text a fio client of that version prints."""
    text = f"pyfio-virtio: {error}\n".encode()
    return wire.framed(
        version, wire.OPCODE_TEXT, _TEXT.pack(_ERROR_LEVEL, len(text), int(time.time()), 0) + text
    )


class Plain:
    def __init__(
        self, here: Hall, connection: Channel, work: Work, tell: Callable[[str, str], None]
    ) -> None:
        """`tell` gets what the session does, and the disk, whenever that changes."""
        self._hall, self._connection, self._work, self._tell = here, connection, work, tell
        self._frames = wire.Frames()
        self._held = bytearray()  # all that the client sent before its disk was ready
        self._job = bytearray()
        self._version = 0  # of the client's protocol; 0 before its first frame
        self._is_job_known = False
        self._waits_since = time.monotonic()

    def received(self, data: bytes) -> None:
        if (stream := self._work.stream) is not None:
            stream.take(data)
            return
        self._held += data
        if len(self._held) > _MOST_HELD:
            raise self._refusal(PyfioVirtioError("a fio client sends too much before its job runs"))
        if not self._is_job_known:
            for frame, payload in self._frames.feed(data):
                self._look_at(frame, payload)

    def _look_at(self, frame: wire.Frame, payload: bytes) -> None:
        if not self._version:
            self._version = frame.version
            self._check_version()
        if self._is_job_known or frame.opcode in _BEFORE_JOB:
            return
        if frame.opcode != wire.OPCODE_JOB:
            self._begin(b"")  # a job of another kind, which has no first line
            return
        self._job += payload
        if not frame.flags & _MORE:
            length = _JOB.unpack_from(self._job)[0] if len(self._job) >= _JOB.size else 0
            # fio sends more than the text: a zero, and bytes of its own memory.
            text = bytes(self._job[_JOB.size : _JOB.size + length])
            self._begin(text.partition(b"\0")[0])

    def _check_version(self) -> None:
        if self._version != self._hall.protocol:
            ours = f"version {self._hall.protocol} of fio's protocol"
            raise self._refusal(
                PyfioVirtioError(
                    f"this host has {self._hall.fio.release}",
                    f"it speaks {ours}, and your fio speaks version {self._version}",
                    "use the same release of fio on both sides",
                )
            )

    def _begin(self, job: bytes) -> None:
        """The job is known, so the disk for it is made."""
        self._is_job_known = True
        flags = flags_of(job)
        try:
            wanted = Asked() if flags is None else self._hall.read_flags(flags)
            self._work.prepare(wanted, job)
        except PyfioVirtioError as error:
            raise self._refusal(error) from error
        self._tell("makes its disk", wanted.describe())

    def prepared(self) -> None:
        """The disk is made, so fio gets what was held."""
        try:
            ready = self._work.take_ready()
            stream = self._work.begin_stream()
        except PyfioVirtioError as error:
            raise self._refusal(error) from error
        self._tell("runs a job", ready.asked.describe())
        self._waits_since = time.monotonic()
        stream.take(bytes(self._held))
        self._held.clear()

    def from_fio(self, data: bytes) -> None:
        self._connection.push(data)

    def fio_ended(self, said: str) -> None:
        raise Over

    def is_lost(self) -> bool:
        """Whether the client does not run its job. Once it does, it may be silent for any time."""
        stream = self._work.stream
        if self._work.making.is_busy or (stream is not None and stream.run_ns):
            return False
        return time.monotonic() - self._waits_since > _PATIENCE_S

    def tick(self) -> None:
        """A fio client gets nothing that fio does not send."""

    def refuse(self, error: PyfioVirtioError) -> None:
        """Lets the client print why its session ends."""
        self._connection.push(said(self._version or self._hall.protocol, error))

    def _refusal(self, error: PyfioVirtioError) -> RefusedError:
        self.refuse(error)
        return RefusedError(error.what, error.why, error.next_step)

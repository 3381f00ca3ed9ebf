# SPDX-License-Identifier: GPL-2.0-or-later
"""The conversation of a controller with `pyfio-virtio serve`, and the frames of fio's own protocol.

Owns the bytes on a connection, and how they are checked. One connection is one session on the host:
when it ends, everything that was started for it ends. It carries commands, answers, and the stream
of one `fio --client` after the other, so one port (or one tunnel) is enough. Blocking functions
take any socket; Decoder is for those who wait for several. Any thread may use its own connection.

A controller begins with GREETING. A connection that begins otherwise is that of a fio client, which
sends frames at once. After the greeting, both sides send messages: one line of JSON, an object with
"kind", and if it has "bytes" so many bytes follow the line.

The controller sends             serve answers
    hello {version}                  hello {version, fio, engine, problem, memory, facts, ns}
    clock {n}                        clock {n, ns}
    prepare {backend | socket}       prepared {disk, command, pid}, when the disk is served
    fio, with bytes                  fio, with bytes: the stream of a fio client and its server
    fio-end                          fio-end {said}: that stream has ended, and fio's last words
    collect                          collected {run_ns, start_ns, end_ns, died, moments}, with bytes
    release                          released: the back-end has ended, and the files are gone
    status                           status {sessions}
    beat                             beat: each side sends one every BEAT_S without being asked, so
                                     that silence means a lost peer

hello: `version` is VERSION; `fio` the release ("fio-3.33"); `engine` the engine's version, or "" if
    fio does not load it, and then `problem` says why in one sentence (otherwise it is ""); `memory`
    the bytes that are free; `facts` an object of scalars, the columns host_... of records.
ns: CLOCK_REALTIME of the host, at the moment of the answer.
prepare: `socket` is the path of a back-end that runs on the host. `backend` is an object with the
    members of backends.BackendSpec: kind, storage, size_bytes, queues, block_size, read_only,
    poll_max_ns, cpus, options (a list). The storage "file" without a path is a scratch file of the
    session. With neither of them, no disk is needed. One disk is prepared at a time.
prepared: `disk` is the value for filename= (escaped for a job file), and goes into ${DISK};
    `command` and `pid` are the back-end's, "" and 0 if they are not known.
fio: the first one begins a stream. Each side ends it with one fio-end, and answers the other's
    fio-end with its own unless it has sent one; after both, another stream may begin. `said` is
    the end of what fio's server printed to stderr.
collected: of the last stream. `run_ns` and `start_ns` say when serve passed RUN on and when fio's
    SERVER_START came back, `end_ns` when the stream ended (0: never); `died` the back-end's last
    words if it ended by itself, else "". `moments` is a list of at most MOST_MOMENTS lists
    [ns, FIO, BACKEND, stolen_s, machine_s], as machine/sampling.py reads them; FIO (all processes
    of fio) and BACKEND are [user_s, system_s, voluntary, involuntary] or null. The bytes are the
    file counters.jsonl of the folder in which fio ran, if there is one.
status: `sessions` is a list of objects {peer, since_ns, doing, backend, pid, serve_pid}.

Instead of any answer, serve may send refused {what, why, next}. The other side is not trusted:
a line, a piece and a number have limits, and a message that breaks them ends the connection.
"""

from __future__ import annotations

import json
import socket as socket_module
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pyfio_virtio.errors import PyfioVirtioError

VERSION = 1
GREETING = b"pyfio-virtio\n"
BEAT_S = 1.0
# A peer that was silent for so long is lost. Preparing a disk may take longer, but beats go on.
SILENCE_S = 15.0
LONGEST_LINE = 1 << 20
LARGEST_PIECE = 1 << 20
MOST_MOMENTS = 2000  # in collected; with more, serve keeps every second one
_DEEPEST = 32  # brackets within brackets; the JSON parser of Python recurses


class WireError(PyfioVirtioError):
    """A peer sent something that is no message."""


@dataclass(frozen=True)
class Message:
    """One message. `data` are the bytes that follow its line."""

    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    data: bytes = b""

    def encoded(self) -> bytes:
        counted = {"bytes": len(self.data)} if self.data else {}
        line = json.dumps({"kind": self.kind, **self.fields, **counted}, separators=(",", ":"))
        return line.encode() + b"\n" + self.data

    def text(self, name: str, longest: int = 4096) -> str:
        """A field that must be a text."""
        value = self.fields.get(name)
        if not isinstance(value, str) or len(value) > longest:
            raise WireError(f"the message {self.kind!r:.40} has {value!r:.60} as {name!r}")
        return value

    def number(self, name: str, least: int, most: int) -> int:
        """A field that must be a whole number from `least` to `most`."""
        value = self.fields.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise WireError(f"the message {self.kind!r:.40} has {value!r:.60} as {name!r}")
        return value

    def refusal(self) -> PyfioVirtioError:
        """The error that a message `refused` stands for."""
        what, why, following = (self.text(each) for each in ("what", "why", "next"))
        return PyfioVirtioError(what, why, following)


def refused(error: PyfioVirtioError) -> Message:
    """The message that says why serve does not do what it was asked for."""
    words = {"what": error.what[:2000], "why": error.why[:2000], "next": error.next_step[:2000]}
    return Message("refused", words)


class Decoder:
    """Makes messages of the bytes of one connection."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._searched = 0  # so many of them are known to have no end of a line
        self._started: tuple[str, dict[str, Any], int] | None = None

    def feed(self, piece: bytes) -> Iterator[Message]:
        """The messages that these bytes complete. Raises WireError for what is no message."""
        self._bytes += piece
        while (message := self._next()) is not None:
            yield message

    def _next(self) -> Message | None:
        if self._started is None:
            end = self._bytes.find(b"\n", self._searched)
            self._searched = len(self._bytes) if end < 0 else 0
            if max(end, self._searched) > LONGEST_LINE:
                raise WireError("a message is too long", f"more than {LONGEST_LINE} bytes")
            if end < 0:
                return None
            line = bytes(self._bytes[:end])
            del self._bytes[: end + 1]
            self._started = _begun(line)
        kind, fields, count = self._started
        if len(self._bytes) < count:
            return None
        data = bytes(self._bytes[:count])
        del self._bytes[:count]
        self._started = None
        return Message(kind, fields, data)


def _begun(line: bytes) -> tuple[str, dict[str, Any], int]:
    """The kind, the fields and the number of bytes of the message that begins with this line."""
    what = f"a message begins with {line[:40]!r}"
    if line.count(b"[") + line.count(b"{") > LONGEST_LINE // 16 or _depth(line) > _DEEPEST:
        raise WireError(what, "its brackets are too many")
    try:
        fields = json.loads(line)
    except ValueError as failure:
        raise WireError(what, "it is not JSON") from failure
    if not isinstance(fields, dict) or not isinstance(fields.get("kind"), str):
        raise WireError(what, "it has no kind")
    kind, count = fields.pop("kind"), fields.pop("bytes", 0)
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= LARGEST_PIECE:
        raise WireError(what, f"it announces {count!r:.40} bytes")
    return kind, fields, count


def _depth(line: bytes) -> int:
    depth = deepest = 0
    for byte in line:
        depth += (byte in b"[{") - (byte in b"]}")
        deepest = max(deepest, depth)
    return deepest


def send(connection: socket_module.socket, message: Message) -> None:
    """Sends a whole message; the socket's time-out is the limit of each step."""
    connection.sendall(message.encoded())


# ---- fio's own frames --------------------------------------------------------------------------

# version, opcode, flags, tag, length of the payload, two checksums; all little-endian (fio's
# server.h, struct fio_net_cmd). The layout is the same in every release that we know.
FRAME_BYTES = 24
OPCODE_TEXT, OPCODE_PROBE, OPCODE_RUN = 5, 10, 16
OPCODE_JOB, OPCODE_START, OPCODE_STOP, OPCODE_SERVER_START = 3, 11, 12, 14
OPCODE_IOLOG = 17
# What fio's server sends to its client in a run, beside some of these: quit, results of jobs and of
# groups, ETA, disks, a new job, a changed job, an option.
ANSWERS = frozenset(
    (
        *(1, OPCODE_TEXT, 6, 7, 9, OPCODE_PROBE, OPCODE_START, OPCODE_STOP, 13),
        *(OPCODE_SERVER_START, 15, OPCODE_IOLOG, 18, 22),
    )
)
FLAG_MORE = 1  # the payload continues in the next frame
# fio itself splits a payload into pieces of 512 KiB at most, and refuses more than this.
LARGEST_FRAME = 4 << 20


@dataclass(frozen=True)
class Frame:
    """The header of one of fio's frames."""

    version: int  # of the protocol; differs between releases of fio
    opcode: int
    flags: int
    tag: int
    length: int  # of the payload that follows


class Frames:
    """Watches one direction of a fio stream: gives each frame's header and payload, and drops what
    it has given. The bytes themselves are passed on by somebody else.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, piece: bytes) -> Iterator[tuple[Frame, bytes]]:
        """The frames that these bytes complete. Raises WireError for what is no frame."""
        self._bytes += piece
        while len(self._bytes) >= FRAME_BYTES:
            frame = frame_of(bytes(self._bytes[:FRAME_BYTES]))
            if len(self._bytes) < FRAME_BYTES + frame.length:
                return
            payload = bytes(self._bytes[FRAME_BYTES : FRAME_BYTES + frame.length])
            del self._bytes[: FRAME_BYTES + frame.length]
            yield frame, payload


def frame_of(header: bytes) -> Frame:
    """Reads the 24 bytes of a header. Raises WireError if they are none."""
    number = int.from_bytes
    if number(header[20:22], "little") != crc16(header[:20]):
        raise WireError("this is no fio client", "its first bytes are no frame of fio's protocol")
    frame = Frame(
        version=number(header[0:2], "little"),
        opcode=number(header[2:4], "little"),
        flags=number(header[4:8], "little"),
        tag=number(header[8:16], "little"),
        length=number(header[16:20], "little"),
    )
    if frame.length > LARGEST_FRAME:
        raise WireError("a fio client sends a frame that is too long", f"{frame.length} bytes")
    return frame


def framed(version: int, opcode: int, payload: bytes) -> bytes:
    """A whole frame in the protocol of that version."""
    header = b"".join(
        (
            version.to_bytes(2, "little"),
            opcode.to_bytes(2, "little"),
            bytes(12),
            len(payload).to_bytes(4, "little"),
        )
    )
    sums = crc16(header).to_bytes(2, "little") + crc16(payload).to_bytes(2, "little")
    return header + sums + payload


def crc16(data: bytes) -> int:
    """CRC-16 with the polynomial 0x8005, reflected, beginning with 0, as fio's frames have it."""
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0xA001 if value & 1 else 0)
    return value

# SPDX-License-Identifier: GPL-2.0-or-later
"""Records seeds: `python -m tests.fuzz.record` runs fio on real back-ends, through a relay.

The relay sees each message, and it can read the shared memory, because its descriptors pass. From
the messages of fio and the memory come seeds for the target `messages`; from the replies, seeds for
`replies`. Addresses become those of a small memory, so that a seed is the same in each run.
"""

import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pyfio_virtio.backends import backends
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.engine import engine
from pyfio_virtio.fio.fio import library_path
from tests.end_to_end.relay import Message, Relay
from tests.fuzz import seeds
from tests.fuzz.programs import TARGETS
from tests.vhost_numbers import Request

# What messages.c makes: its memory, the numbers of its steps, and of descriptor kinds.
MEMORY_BYTES = 65536
MESSAGE, POKE, SERVE, MESSAGE_WITH_FDS = 0, 1, 2, 5
MEMORY_FD, EVENT_FD = 0, 1
NEED_REPLY, NEED_REPLY_STEP = 8, 64
# What peer.c makes of the byte before a reply: the payload is replaced.
PAYLOAD = 1

# The back-ends: the kind, and options.
RUNS: dict[str, tuple[str, tuple[str, ...]]] = {
    "blk": ("builtin", ()),
    "scsi": ("builtin", ("device=scsi",)),
    "spdk-blk": ("builtin", ("profile=spdk",)),
    "minimal-scsi": ("builtin", ("device=scsi", "profile=minimal")),
    "qsd-blk": ("qsd", ()),
}

BASE = 0x100000
REGION = struct.Struct("<QQQQ")
VRING_ADDRESSES = struct.Struct("<IIQQQQ")


@dataclass
class Recorder:
    """A tamper that changes nothing."""

    asked: list[Message] = field(default_factory=list)
    replies: list[Message] = field(default_factory=list)
    region: tuple[int, int] = (0, 0)  # the user address, and the size
    memory: bytes = b""  # its first part, before the first ring stops
    _file: int = -1

    def __call__(self, message: Message) -> Message:
        if message.is_reply:
            self.replies.append(message)
            return message
        if message.request == Request.GET_VRING_BASE and not self.memory:
            self.memory = os.pread(self._file, MEMORY_BYTES, 0)
        self._keep_region(message)
        self.asked.append(message)
        return message

    def _keep_region(self, message: Message) -> None:
        if message.request not in (Request.ADD_MEM_REG, Request.SET_MEM_TABLE) or self._file >= 0:
            return
        _, size, user, _ = REGION.unpack_from(message.payload, 8)
        self.region = user, size
        self._file = os.dup(message.fds[0])

    def small(self, address: int) -> int:
        """The address in the small memory. The rings lie at its beginning; data is moved there."""
        start, size = self.region
        place = address - start
        if not 0 <= place < size:
            return address
        half = MEMORY_BYTES // 2
        return BASE + (place if place < half else half + place % half)


def _payload(recorder: Recorder, message: Message) -> bytes:
    payload = message.payload
    if message.request in (Request.ADD_MEM_REG, Request.SET_MEM_TABLE):
        # More regions than one would be the same memory again.
        head = payload[:8] if message.request == Request.ADD_MEM_REG else struct.pack("<II", 1, 0)
        return head + REGION.pack(BASE, MEMORY_BYTES, BASE, 0)
    if message.request == Request.SET_VRING_ADDR:
        index, flags, *addresses = VRING_ADDRESSES.unpack(payload)
        return VRING_ADDRESSES.pack(index, flags, *map(recorder.small, addresses))
    return payload


def _message_step(recorder: Recorder, message: Message) -> bytes:
    payload = _payload(recorder, message)
    kind = MESSAGE_WITH_FDS if message.fds else MESSAGE
    needs_reply = NEED_REPLY_STEP if message.flags & NEED_REPLY else 0
    step = struct.pack("<BBBH", kind, 0, message.request | needs_reply, len(payload)) + payload
    if message.fds:
        is_memory = message.request in (Request.ADD_MEM_REG, Request.SET_MEM_TABLE)
        step += bytes([1, MEMORY_FD if is_memory else EVENT_FD])
    return step


def _memory_steps(recorder: Recorder) -> Iterator[bytes]:
    """Writes what fio had written, with addresses in descriptors that fit."""
    half = MEMORY_BYTES // 2
    words = (word for (word,) in struct.iter_unpack("<Q", recorder.memory[:half]))
    memory = struct.pack(f"<{half // 8}Q", *map(recorder.small, words))
    for place in range(0, half, 128):
        piece = memory[place : place + 128].rstrip(b"\0")
        if piece:
            yield struct.pack("<BHB", POKE, place, len(piece)) + piece


def messages_seed(recorder: Recorder, *, is_scsi: bool) -> bytes:
    steps = [bytes([is_scsi, 0])]
    is_stopping = False
    for message in recorder.asked:
        if message.request == Request.GET_VRING_BASE and not is_stopping:
            is_stopping = True
            steps += [*_memory_steps(recorder), bytes([SERVE])]
        steps.append(_message_step(recorder, message))
    return b"".join(steps)


def replies_seed(recorder: Recorder, *, is_scsi: bool) -> bytes:
    """The choices of device_run.c stay at their defaults, with any type."""
    return bytes([is_scsi, 0, 0]) + b"".join(
        bytes([PAYLOAD]) + message.payload for message in recorder.replies
    )


@contextmanager
def _back_end(folder: Path, spec: BackendSpec) -> Iterator[str]:
    socket = str(folder / "disk.sock")
    started = backends.start(spec, socket, str(folder / "disk.log"))
    try:
        yield socket
    finally:
        started.stop()


def record(spec: BackendSpec) -> Recorder:
    recorder = Recorder()
    with tempfile.TemporaryDirectory(prefix="pv-") as name:
        folder = Path(name)
        with _back_end(folder, spec) as socket:
            relay = Relay(folder / "relay.sock", socket, recorder)
            try:
                subprocess.run(
                    [
                        *("fio", "--name=seed", f"--ioengine={engine.NAME}", "--thread=1"),
                        *(f"--filename={relay.path}", "--rw=randrw", "--bs=4k", "--iodepth=2"),
                        *("--queue_size=16", "--number_ios=4", "--output=/dev/null"),
                        "--clocksource=clock_gettime",
                    ],
                    check=True,
                    env={**os.environ, "LD_LIBRARY_PATH": library_path(engine.folder())},
                )
            finally:
                relay.close()
    return recorder


def main() -> int:
    files = {target.name: target.seeds for target in TARGETS}
    messages, replies = seeds.read(files["messages"]), seeds.read(files["replies"])
    for name, (kind, options) in RUNS.items():
        spec = BackendSpec(kind=kind, size_bytes=1 << 20, options=options)
        recorder = record(spec)
        is_scsi = "device=scsi" in options
        messages[f"run-{name}"] = messages_seed(recorder, is_scsi=is_scsi)
        replies[f"run-{name}"] = replies_seed(recorder, is_scsi=is_scsi)
    seeds.write(files["messages"], messages)
    seeds.write(files["replies"], replies)
    return 0


if __name__ == "__main__":
    sys.exit(main())

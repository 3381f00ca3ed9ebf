# SPDX-License-Identifier: GPL-2.0-or-later
"""A file system with one file, whose server answers only what the test wants: linux/fuse.h.

It needs /dev/fuse and the right to mount. A system call whose request is not answered hangs until
the file system is closed. The server is a thread of the test's process.
"""

import contextlib
import ctypes
import errno
import os
import struct
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

LOOKUP, GETATTR, OPEN, READ, WRITE, RELEASE, FSYNC = 1, 3, 14, 15, 16, 18, 20
FLUSH, INIT = 25, 26
NEVER_ANSWERED = {2, 36, 42}  # FORGET, INTERRUPT, BATCH_FORGET
# What it takes to open the file.
TO_OPEN = {INIT, LOOKUP, GETATTR, OPEN, RELEASE}
ROOT, FILE = 1, 2
FILE_BYTES = 1 << 22
MNT_FORCE, MNT_DETACH = 1, 2

libc = ctypes.CDLL(None, use_errno=True)


class NoFuseError(Exception):
    """Why there can be no such file system here."""


def attributes(node: int) -> bytes:
    mode = 0o040755 if node == ROOT else 0o100666
    size = 0 if node == ROOT else FILE_BYTES
    return struct.pack("<6Q10I", node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def answer(opcode: int, node: int) -> bytes:
    if opcode == INIT:
        # FUSE_ASYNC_READ: a read does not wait for the one before it.
        return struct.pack("<4I2H2I2H8I", 7, 31, 0, 1, 16, 12, 4096, 1, 1, 0, *([0] * 8))
    if opcode == LOOKUP:
        # Valid for no time, so that attributes are asked for again.
        return struct.pack("<4Q2I", FILE, 0, 0, 0, 0, 0) + attributes(FILE)
    if opcode == GETATTR:
        return struct.pack("<Q2I", 0, 0, 0) + attributes(node)
    if opcode == OPEN:
        return struct.pack("<Q2I", 0, 0, 0)
    return b""


class Server:
    def __init__(self, device: int) -> None:
        self.device = device
        self.answered: Collection[int] = TO_OPEN
        self.errors: Mapping[int, int] = {}  # what is answered by an errno
        self.is_silent = True  # to all else; or it says that it does not know it
        self.holds_reads = False
        self.held: list[bytes] = []  # reads that wait for let_go()

    def run(self) -> None:
        with contextlib.suppress(OSError):  # it was closed
            while True:
                request = os.read(self.device, 1 << 17)
                _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
                if opcode == READ and self.holds_reads:
                    self.held.append(request)
                    continue
                error = self.errors.get(opcode, 0)
                if not self.is_silent and opcode not in {*self.answered, *NEVER_ANSWERED}:
                    error = error or errno.ENOSYS
                if error:
                    os.write(self.device, struct.pack("<IiQ", 16, -error, unique))
                elif opcode in self.answered:
                    body = answer(opcode, node)
                    os.write(self.device, struct.pack("<IiQ", 16 + len(body), 0, unique) + body)

    def let_go(self) -> None:
        """Answers the held reads, the last one first, with data_at()."""
        self.holds_reads = False
        while self.held:
            request = self.held.pop()
            unique, offset, size = struct.unpack_from("<8xQ32xQI", request)
            self._answer_read(unique, data_at(offset, size))

    def _answer_read(self, unique: int, data: bytes) -> None:
        os.write(self.device, struct.pack("<IiQ", 16 + len(data), 0, unique) + data)


def data_at(offset: int, size: int) -> bytes:
    """What the file holds where reads were held: in each block its number."""
    blocks = range(offset // 512, (offset + size) // 512)
    return b"".join(struct.pack("<Q", block) * 64 for block in blocks)


def mount(folder: Path, device: int) -> None:
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    if libc.mount(b"test", str(folder).encode(), b"fuse", 0, options):
        raise NoFuseError(os.strerror(ctypes.get_errno()))


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """The server of the file system in `folder`."""
    try:
        device = os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        raise NoFuseError(str(error)) from error
    folder.mkdir()
    try:
        mount(folder, device)
    except NoFuseError:
        os.close(device)
        raise
    server = Server(device)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        # Whatever waits for the file system fails.
        libc.umount2(str(folder).encode(), MNT_FORCE | MNT_DETACH)
        thread.join()
        os.close(device)


@contextmanager
def stubborn_file(folder: Path, answered: Collection[int]) -> Iterator[int]:
    """A file descriptor of the file; after it was opened, only `answered` is."""
    with ExitStack() as stack:
        server = stack.enter_context(serving(folder))
        fd = os.open(folder / "file", os.O_RDWR)
        server.answered = answered
        yield fd
        stack.close()
        with contextlib.suppress(OSError):
            os.close(fd)

# SPDX-License-Identifier: GPL-2.0-or-later
"""How files are read and written whose disk may be full, or whose content may have no end.

It knows no format and prints nothing. Every room may use it, from any thread. Failures are
OSErrors: strerror is a reason in words, and filename is always set.
"""

import errno
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# What people write by hand, such as a job or a sweep.
TEXT_BYTES = 4 << 20
# What programs write, such as results.
DATA_BYTES = 1 << 30
_PIECE_BYTES = 1 << 20
_WRITER_S = 5.0  # a shell starts the program that writes to a pipe in far less
_LOOK_S = 0.01


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError of the block that names no file, as that of write(2), names this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def read(path: Path, limit: int = DATA_BYTES) -> bytes:
    """The content of a file, a pipe or a device, unless it has more than `limit` bytes.

    A pipe to which no program writes is refused instead of waiting for ever.
    """
    with naming(path):
        # Without O_NONBLOCK, open(2) waits for somebody who writes to the pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", 0) as file:
            first = _first_of_pipe(descriptor) if _is_pipe(descriptor) else b""
            os.set_blocking(descriptor, True)
            data = bytearray(first)
            while len(data) <= limit and (piece := file.read(_PIECE_BYTES)):
                data += piece
        if len(data) > limit:
            raise OSError(errno.EFBIG, f"it has more than {limit >> 20} MiB", str(path))
        return bytes(data)


def _is_pipe(descriptor: int) -> bool:
    return stat.S_ISFIFO(os.fstat(descriptor).st_mode)


def _first_of_pipe(descriptor: int) -> bytes:
    """What a pipe holds now; nothing if a program will write to it later."""
    deadline = time.monotonic() + _WRITER_S
    while time.monotonic() < deadline:
        try:
            if data := os.read(descriptor, _PIECE_BYTES):
                return data
        except BlockingIOError:  # a program holds its other end
            return b""
        time.sleep(_LOOK_S)  # nobody holds its other end
    raise OSError(errno.EPIPE, "it is a pipe, and no program writes to it")


def read_text(path: Path, limit: int = DATA_BYTES) -> str:
    """The same as text, without a byte order mark. Bytes that are not UTF-8 are replaced."""
    return read(path, limit).decode("utf-8-sig", "replace")


def replace(path: Path, content: str | bytes) -> None:
    """Replaces the file, which has its old or its new content even after a power failure. If the
    new content cannot be written, nothing of it is left.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with naming(path):
        temporary.unlink(missing_ok=True)
        try:
            with temporary.open("xb") as file:
                file.write(_bytes(content))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync(path.parent)


def write(path: Path, content: str | bytes) -> None:
    """Writes a file that no other program knows yet."""
    with naming(path):
        path.write_bytes(_bytes(content))


def append_line(path: Path, line: str) -> None:
    """Adds the line, so that a reader sees the whole line or no newline. If it cannot be written,
    the file is as it was.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with naming(path):
        descriptor = os.open(path, flags, 0o666)
        try:
            before = os.fstat(descriptor).st_size
            try:
                _write(descriptor, line.encode() + b"\n")
                os.fsync(descriptor)
            except BaseException:
                os.ftruncate(descriptor, before)
                raise
        finally:
            os.close(descriptor)


def _bytes(content: str | bytes) -> bytes:
    """Names of files may hold bytes that are not UTF-8."""
    return content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content


def _write(descriptor: int, data: bytes) -> None:
    """Writes all of it. On a disk that is nearly full, write(2) writes a part."""
    while data:
        data = data[os.write(descriptor, data) :]


def sync(path: Path) -> None:
    """Waits until a file or a folder is on the disk."""
    with naming(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# ---- folders for results -------------------------------------------------------------


def check_folder(path: Path, is_own: Callable[[str], bool] = lambda name: True) -> str:
    """Raises if a folder cannot be made or written to. Returns the name of a file in it that is not
    its owner's; "" if there is none. The folder and its parents may be missing, and nothing of this
    check is left.
    """
    made = [each for each in (path, *path.parents) if not each.exists()]
    try:
        for each in reversed(made):
            each.mkdir(exist_ok=True)
        # Permissions do not tell, because root may do anything by them, but not in /sys.
        with naming(path), tempfile.TemporaryFile(dir=path):
            pass
        return min((each.name for each in path.iterdir() if not is_own(each.name)), default="")
    finally:
        with suppress(OSError):  # it was not made, or somebody else uses it by now
            for each in made:
                each.rmdir()

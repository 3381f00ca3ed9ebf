# SPDX-License-Identifier: GPL-2.0-or-later
"""The standard streams of the command, which are safe however it was started.

Called once in a process, before anything else is opened. It prints nothing.
"""

import codecs
import io
import os
import sys
from typing import Any

STDOUT = "standard output"
_IN_WORDS = "pyfio-virtio-in-words"


class _Output(io.FileIO):
    """Standard output. The first failure is raised; nothing is written after it, so that the end of
    the process is quiet.
    """

    _has_failed = False

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer
        if self._has_failed:
            return len(data)
        try:
            return super().write(data)
        except OSError as error:
            self._has_failed = True
            error.filename = STDOUT
            raise


class _Notes(io.FileIO):
    """Standard error. A note that cannot be written is lost, because the work is worth more: a
    terminal may be closed, and a log may be on a full disk, while a sweep runs.
    """

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer
        try:
            return super().write(data) or len(data)
        except OSError:
            return len(data)


def make_safe() -> None:
    """Opens what is closed, and lets no note fail and no character be refused."""
    _open_closed()
    codecs.register_error(_IN_WORDS, _in_words)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - until the end of the process
    sys.stdout = _text(_Output(1, "wb", closefd=False), sys.stdout)
    sys.stderr = _text(_Notes(2, "wb", closefd=False), sys.stderr, line_buffering=True)


def _open_closed() -> None:
    """Opens /dev/null for each standard stream that is closed. Otherwise the next file or socket
    would get its number, and programs that we start would print into it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # open(2) gives the lowest free number, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _text(raw: io.FileIO, former: Any, line_buffering: bool = False) -> io.TextIOWrapper:  # noqa: ANN401
    encoding = getattr(former, "encoding", None) or "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=encoding,
        errors=_IN_WORDS,
        line_buffering=line_buffering or getattr(former, "line_buffering", False),
        write_through=getattr(former, "write_through", False),
    )


def _in_words(error: UnicodeError) -> tuple[str | bytes, int]:
    """Writes a character that the encoding lacks as \\N, and a byte of a file's name as it is."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letter = error.object[error.start]
    if "\udc80" <= letter <= "\udcff":
        return bytes([ord(letter) - 0xDC00]), error.start + 1
    return letter.encode("ascii", "backslashreplace").decode("ascii"), error.start + 1

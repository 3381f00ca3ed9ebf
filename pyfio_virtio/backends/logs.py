# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads what a back-end wrote to its stdout and stderr.

The text is returned in parts, so that a large log needs no memory. Called from the main thread.
Nothing is printed.
"""

import codecs
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pyfio_virtio.backends.control import printable
from pyfio_virtio.backends.records import Record
from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.machine.folders import open_plain

_PART_BYTES = 1 << 16
_INTERVAL_S = 0.1  # between two looks at a log that is followed


def read(record: Record, *, lines: int | None, follow: bool) -> Iterator[str]:
    """The log, or its last `lines`. With `follow`, also what is added until the back-end ends."""
    try:
        file = open_plain(Path(record.backend.log))
    except OSError as error:
        raise PyfioVirtioError(
            f"cannot read the log of {record.name}",
            f"{record.backend.log}: {error.strerror or error}",
        ) from error
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    with file:
        if lines is not None:
            file.seek(_start_of_last(file, lines))
        while True:
            # It is asked first, because it may write its last words before it ends.
            is_over = not follow or not record.backend.is_running()
            while part := file.read(_PART_BYTES):
                yield printable(decoder.decode(part))
            if is_over:
                return
            time.sleep(_INTERVAL_S)


def _start_of_last(file: IO[bytes], lines: int) -> int:
    """The offset at which the last lines of a file begin. It is searched from the end."""
    end = file.seek(0, 2)
    wanted = lines
    if end and lines:
        file.seek(end - 1)
        wanted += file.read(1) == b"\n"  # the end of the last line
    while end and wanted:
        start = max(0, end - _PART_BYTES)
        file.seek(start)
        part = file.read(end - start)
        while wanted and (place := part.rfind(b"\n")) >= 0:
            wanted -= 1
            part = part[:place]
            if not wanted:
                return start + place + 1
        end = start
    return end

# SPDX-License-Identifier: GPL-2.0-or-later
"""Back-ends that are killed under load and started again, and a load that knows what it wrote."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pyfio_virtio.backends import backends
from pyfio_virtio.backends.spec import BackendSpec
from tests import waiting


class Mortal:
    """A back-end that is killed and started again on the same image."""

    def __init__(self, folder: Path, spec: BackendSpec, name: str = "disk") -> None:
        """The image, which the specification's storage names, is made by the caller."""
        self.spec = spec
        self.socket, self._log = str(folder / f"{name}.sock"), str(folder / f"{name}.log")
        self.start()

    def start(self) -> None:
        self.backend = backends.start(self.spec, self.socket, self._log)

    def kill(self) -> None:
        waiting.kill(self.backend.process.pid)
        self.backend.stop()

    def stop(self) -> None:
        self.backend.stop()

    def restart(self) -> None:
        self.kill()
        self.start()

    def image(self) -> bytes:
        """The blocks, as the storage has them. They are flushed."""
        assert self.spec.file
        return self.spec.file.read_bytes()


@dataclass(frozen=True)
class Region:
    """A part of a disk, in bytes, which workers share block by block."""

    start: int
    size: int
    block: int = 512


class Load:
    """Each worker writes its own blocks again and again, until the end.

    A worker writes the next block only when the last one is written, or when it knows that all of
    the round are. So the image must hold what was written last.
    """

    def __init__(self, region: Region, workers: int) -> None:
        self.region, self.workers, self.is_over = region, workers, False
        self._blocks = region.size // region.block
        self._written = [bytes(region.block)] * self._blocks
        self._lock = threading.Lock()
        self.done = 0

    def writes(self, worker: int) -> Iterator[tuple[int, bytes]]:
        """An offset and what to write there."""
        turn = 0
        while not self.is_over:
            number = (worker + self.workers * turn) % self._blocks
            text = f"{number} {turn} ".encode()
            self._written[number] = (text * self.region.block)[: self.region.block]
            yield self.region.start + number * self.region.block, self._written[number]
            turn += 1
            with self._lock:
                self.done += 1

    def per_worker(self) -> int:
        """After so many writes a worker comes to its first block again."""
        return self._blocks // self.workers

    def lost(self, image: bytes) -> list[int]:
        """The offsets of the blocks that are not as they were written."""
        size = self.region.block
        starts = range(self.region.start, self.region.start + self.region.size, size)
        return [
            at
            for at, text in zip(starts, self._written, strict=True)
            if image[at : at + size] != text
        ]

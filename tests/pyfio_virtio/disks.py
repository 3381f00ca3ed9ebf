# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks of every kind for the tests of Python's disks: both block sizes, blk and scsi."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

import pyfio_virtio
from pyfio_virtio import aio
from pyfio_virtio.backends.backends import Backend
from pyfio_virtio.disk.async_disk import Opening
from tests import waiting

DISK_BYTES = 8 << 20


@dataclass(frozen=True)
class Kind:
    """How a back-end is started."""

    backend: str
    block_size: int
    options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        device = "scsi" if "device=scsi" in self.options else "blk"
        return f"{self.backend}-{device}-{self.block_size}"

    def start(self, serve: Callable[..., Backend], **spec: Any) -> Backend:  # noqa: ANN401
        return serve(
            self.backend,
            block_size=self.block_size,
            size_bytes=DISK_BYTES,
            options=self.options,
            **spec,
        )


SCSI = ("device=scsi",)
KINDS = (
    Kind("qsd", 512),
    Kind("qsd", 4096),
    Kind("builtin", 512),
    Kind("builtin", 4096),
    Kind("builtin", 512, SCSI),
    Kind("builtin", 4096, SCSI),
)
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
WAITS = ("event", "busy", "sleepy", "adaptive")


def open_disk(backend: Backend, **options: Any) -> pyfio_virtio.Disk:  # noqa: ANN401
    """Waits for the eventfd, which leaves the CPUs to the back-end."""
    return pyfio_virtio.open(backend.socket, **{"wait": "event", **options})


def open_async_disk(backend: Backend, **options: Any) -> Opening:  # noqa: ANN401
    return aio.open(backend.socket, **{"wait": "event", **options})


class Server:
    """A back-end that can be stopped."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def stop(self) -> None:
        waiting.stop(self.backend.process.pid)

    def go_on(self) -> None:
        waiting.go_on(self.backend.process.pid)

    def kill(self) -> None:
        waiting.kill(self.backend.process.pid)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            self.go_on()

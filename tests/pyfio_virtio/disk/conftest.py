# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk for the tests of this room; a file that needs another one has fixtures of its own."""

from collections.abc import Callable, Iterator

import pytest

from pyfio_virtio import Disk
from pyfio_virtio.backends.backends import Backend
from tests.pyfio_virtio.disks import Kind, open_disk


@pytest.fixture
def backend(serve: Callable[..., Backend]) -> Backend:
    return Kind("builtin", 512).start(serve)


@pytest.fixture
def disk(backend: Backend) -> Iterator[Disk]:
    with open_disk(backend) as opened:
        yield opened

# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio_virtio/__init__.py: what a program that imports the package finds in it."""

import pytest

import pyfio_virtio
from pyfio_virtio.disk.disk import open_disk


def test_each_name_that_the_package_offers_is_there() -> None:
    assert all(hasattr(pyfio_virtio, name) for name in pyfio_virtio.__all__)
    assert set(pyfio_virtio.__all__) <= set(dir(pyfio_virtio))


def test_open_is_that_of_disks() -> None:
    assert pyfio_virtio.open is open_disk


def test_another_name_is_refused_as_by_any_module() -> None:
    with pytest.raises(AttributeError, match="module 'pyfio_virtio' has no attribute 'Disc'"):
        _ = pyfio_virtio.Disc  # type: ignore[attr-defined]

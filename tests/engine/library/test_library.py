# SPDX-License-Identifier: GPL-2.0-or-later
"""The C library: the files that `make install` creates, and a program that uses them."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pyfio_virtio.backends.backends import Backend
from pyfio_virtio.engine import engine
from tests.engine.library.installed import ROOT, build, execute, flags, run
from tests.pyfio_virtio.disks import Kind, open_disk

EXAMPLE = ROOT / "engine" / "examples" / "copy_block.c"


@pytest.fixture(scope="module")
def example(prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("example") / "copy_block"
    return build(prefix, EXAMPLE, target)


def test_five_files_are_installed(prefix: Path) -> None:
    files = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if not path.is_dir()}
    assert files == {
        "include/pyfio_virtio.h",
        "include/pyfio_virtio_version.h",
        "lib/libpyfio_virtio.so",
        "lib/libpyfio_virtio.so.0",
        "lib/pkgconfig/pyfio-virtio.pc",
    }


def test_pkg_config_knows_the_version(prefix: Path) -> None:
    assert flags(prefix, "--modversion") == [engine.version()]


def test_nothing_but_libc_is_needed(prefix: Path) -> None:
    listing = run("readelf", "--dynamic", prefix / "lib" / "libpyfio_virtio.so")
    needed = set(re.findall(r"NEEDED.*\[(.*)\]", listing))
    assert needed <= {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2"}


@pytest.mark.parametrize(("source", "target"), [(0, 4096), (100, 9001)])
def test_the_example_copies(
    prefix: Path, example: Path, serve: Callable[..., Backend], source: int, target: int
) -> None:
    backend = Kind("qsd", 512).start(serve)
    with open_disk(backend) as disk:
        disk.pwrite(b"copied" * 700, source)
    execute(prefix, example, backend.socket, str(source), str(target))
    with open_disk(backend) as disk:
        assert disk.pread(4096, target) == (b"copied" * 700)[:4096]


def test_the_example_says_what_is_wrong(prefix: Path, example: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [example, tmp_path / "nobody", "0", "4096"],
        env={**os.environ, "LD_LIBRARY_PATH": str(prefix / "lib")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "cannot attach" in done.stderr
    assert "no such socket" in done.stderr

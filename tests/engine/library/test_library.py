# SPDX-License-Identifier: GPL-2.0-or-later
"""The C library: the files that `make install` creates, and the memory that it allocates."""

import re
from collections.abc import Callable
from pathlib import Path

from pyfio_virtio.backends.backends import Backend
from pyfio_virtio.engine import engine
from tests.engine.library.installed import ROOT, build, execute, flags, run
from tests.pyfio_virtio.disks import Kind


def test_what_programs_in_c_need_is_installed(prefix: Path) -> None:
    files = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if not path.is_dir()}
    assert files >= {
        "include/pyfio_virtio.h",
        "include/pyfio_virtio_version.h",
        "lib/libpyfio_virtio.so",
        "lib/libpyfio_virtio.so.0",
        "lib/pkgconfig/pyfio-virtio.pc",
        "share/man/man3/pyfio_device_open.3",
    }


def test_pkg_config_knows_the_version(prefix: Path) -> None:
    assert flags(prefix, "--modversion") == [engine.version()]


def test_nothing_but_libc_is_needed(prefix: Path) -> None:
    listing = run("readelf", "--dynamic", prefix / "lib" / "libpyfio_virtio.so")
    needed = set(re.findall(r"NEEDED.*\[(.*)\]", listing))
    assert needed <= {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2"}


def test_no_memory_is_allocated_for_an_operation(
    prefix: Path, tmp_path: Path, serve: Callable[..., Backend]
) -> None:
    """After as many of them as are in flight together have been made once."""
    source = ROOT / "tests" / "engine" / "library" / "allocates.c"
    program = build(prefix, source, tmp_path / "allocates")
    backend = Kind("builtin", 512).start(serve)
    assert execute(prefix, program, backend.socket) == "0\n"

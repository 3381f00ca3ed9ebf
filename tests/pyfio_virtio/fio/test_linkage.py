# SPDX-License-Identifier: GPL-2.0-or-later
"""fio/linkage.py: a fio that can load no engine, because of how it was built, is told in words. It
still runs jobs for its own engines.

Small programs that are linked like that stand for fio. musl's is a program of ours whose loader has
another name.
"""

import subprocess
from pathlib import Path

import pytest

from pyfio_virtio.builds import building, builds
from pyfio_virtio.engine import engine
from pyfio_virtio.errors import MachineError
from pyfio_virtio.fio import fio, linkage
from pyfio_virtio.hosts import serving
from tests.conftest import RunCommand

MUSL = "/lib/ld-musl-x86_64.so.1"


def compiled(folder: Path, *flags: str) -> str:
    """A program that says that it is fio."""
    source, program = folder / "other.c", folder / "other-fio"
    source.write_text('#include <stdio.h>\nint main(void) { return puts("fio-3.33") < 0; }\n')
    subprocess.run(["gcc", *flags, str(source), "-o", str(program)], check=True)
    return str(program)


def test_the_installed_fio_has_no_obstacle() -> None:
    assert linkage.obstacle(fio.find().path) == ""


def test_a_static_program_cannot_load_engines(tmp_path: Path) -> None:
    assert "statically" in linkage.obstacle(compiled(tmp_path, "-static"))
    assert "statically" in linkage.obstacle(compiled(tmp_path, "-static-pie"))


def test_musl_is_told(tmp_path: Path) -> None:
    program = compiled(tmp_path, f"-Wl,--dynamic-linker={MUSL}")
    assert "musl" in linkage.obstacle(program)


def test_a_program_of_32_bits_is_told(tmp_path: Path) -> None:
    path = tmp_path / "other-fio"
    head = bytearray(Path(fio.find().path).read_bytes()[:4096])
    head[4] = 1
    path.write_bytes(head)
    assert "32-bit" in linkage.obstacle(str(path))


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF", b"\x7fELF\x02\x01"])
def test_what_is_no_program_of_a_known_form_says_nothing(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert linkage.obstacle(str(path)) == ""
    assert linkage.obstacle(str(tmp_path / "none")) == ""


def test_no_engine_is_looked_for_or_built(tmp_path: Path) -> None:
    static = fio.find(compiled(tmp_path, "-static"))
    for attempt in (
        lambda: builds.folder(static, print),
        lambda: building.build(static, print, tmp_path),
        lambda: fio.check_engine_loads(static, tmp_path, engine.NAME),
    ):
        with pytest.raises(MachineError, match="it is linked statically") as failed:
            attempt()
        assert str(failed.value).endswith("name another fio with --fio")
    assert builds.known(static) is None


def test_jobs_for_its_own_engines_are_served(tmp_path: Path) -> None:
    found, version, problem = serving.look_at_fio(compiled(tmp_path, "-static"), print)
    assert (found.release, version) == ("fio-3.33", "")
    assert "it is linked statically" in problem


def test_jobs_for_its_own_engines_are_run(command: RunCommand, private: Path) -> None:
    (private / "job.fio").write_text("[job]\nioengine=null\nsize=1m\n")
    static = compiled(private, "-static")
    ended = command("run", "--backend", "none", "--fio", static, str(private / "job.fio"))
    assert ended.status == 0, ended.stderr
    assert "fio-3.33" in ended.stdout

# SPDX-License-Identifier: GPL-2.0-or-later
"""fio/linkage.py: a fio that can load no engine, because of how it was built, is told in words.

Small programs that are linked like that stand for fio. musl's is a program of ours whose loader has
another name.
"""

import subprocess
from pathlib import Path

import pytest

from pyfio_virtio.errors import MachineError
from pyfio_virtio.fio import fio, linkage

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


def test_no_command_builds_an_engine_for_it(tmp_path: Path) -> None:
    static = compiled(tmp_path, "-static")
    with pytest.raises(MachineError, match="it is linked statically") as failed:
        fio.find(static)
    assert str(failed.value).endswith("name another fio with --fio")

# SPDX-License-Identifier: GPL-2.0-or-later
"""sweep/programs.py: which fio goes with which build, and how both are called."""

import shutil
from pathlib import Path

import pytest

from pyfio_virtio.engine import engine
from pyfio_virtio.errors import MachineError, PyfioVirtioError
from pyfio_virtio.fio.fio import Fio
from pyfio_virtio.sweep.programs import Programs, find


def other_fio(folder: Path) -> str:
    """A fio of another release, which loads no engine of this machine."""
    path = folder / "other-fio"
    path.write_text("#!/bin/sh\necho fio-3.99\n")
    path.chmod(0o755)
    return str(path)


def test_one_fio_and_one_build_need_no_names() -> None:
    found = find(("fio",), (), with_engine=True)
    assert found.axis() == [("", "")]
    assert found.folder(("", "")) == engine.folder()
    assert set(found.versions()) == {"fio", "engine"}


def test_without_our_engine_no_build_is_needed(tmp_path: Path) -> None:
    found = find((other_fio(tmp_path),), (), with_engine=False)
    assert found.axis() == [("", "")]
    assert found.versions() == {"fio": "fio-3.99"}


@pytest.mark.parametrize("programs", [("a=fio", "b={}"), ("b={}", "a=fio")])
def test_a_fio_without_a_build_is_named(tmp_path: Path, programs: tuple[str, ...]) -> None:
    named = [each.format(other_fio(tmp_path)) for each in programs]
    with pytest.raises(MachineError, match=r"no engine for .*other-fio: it is fio-3\.99"):
        find(named, (), with_engine=True)


def test_a_build_without_a_fio_is_named(tmp_path: Path) -> None:
    (tmp_path / engine.NAME).write_bytes(b"no engine")
    with pytest.raises(MachineError, match=f"no fio goes with the engine in {tmp_path}"):
        find(("fio",), (f"old={engine.folder()}", f"new={tmp_path}"), with_engine=True)


def test_a_single_build_that_does_not_load_says_why(tmp_path: Path) -> None:
    (tmp_path / engine.NAME).write_bytes(b"no engine")
    with pytest.raises(PyfioVirtioError, match="does not load"):
        find(("fio",), (str(tmp_path),), with_engine=True)


def test_two_builds_of_the_same_content_are_two(tmp_path: Path) -> None:
    shutil.copy(engine.folder() / engine.NAME, tmp_path)
    found = find(("fio",), (f"a={engine.folder()}", f"b={tmp_path}"), with_engine=True)
    assert found.axis() == [("", "a"), ("", "b")]
    assert found.folder(("", "b")) == tmp_path


def test_a_build_for_each_fio_needs_no_name_of_its_own() -> None:
    """Their effects could not be told apart, so they are one thing."""
    fios = {"old": Fio("/old/fio", "fio-3.33"), "new": Fio("/new/fio", "fio-3.41")}
    builds = {"33": Path("/33"), "41": Path("/41")}
    found = Programs(fios, builds, (("old", "33"), ("new", "41")))
    assert found.axis() == [("old", ""), ("new", "")]
    assert found.folder(("new", "")) == Path("/41")
    assert found.build(("old", "")) == "33"

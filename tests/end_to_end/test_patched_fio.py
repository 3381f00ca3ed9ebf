# SPDX-License-Identifier: GPL-2.0-or-later
"""A fio whose structures a patch changed, and whose release is that of the engine, is refused.

The installed fio plays the patched one: the engine is built from its sources with an option less.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from pyfio_virtio.engine import engine
from tests.conftest import ROOT, Fio, RunCommand
from tests.end_to_end.refusal import refusal
from tests.engine import fio_trees

OPTION = "verify_backlog"


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like build/lib, with the engine for another fio of the same release."""
    folder = tmp_path_factory.mktemp("patched")
    tree = fio_trees.copy_of_installed(folder / "tree")
    fio_trees.remove_option(tree, OPTION)
    lib = folder / "lib"
    build = [str(ROOT / "engine" / "build.py"), "--output", str(lib / engine.NAME), "front-end"]
    subprocess.run([sys.executable, *build, "--fio-tree", str(tree)], cwd=ROOT, check=True)
    (lib / "vhost_backend").symlink_to(ROOT / "build" / "lib" / "vhost_backend")
    return lib


@pytest.fixture
def unlike(lib: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The command and fio use that engine."""
    monkeypatch.setenv("PYFIO_VIRTIO_LIB", str(lib))
    return lib


def test_fio_ends_with_one_sentence(unlike: Path, fio: Fio, private: Path) -> None:
    said = refusal(fio(str(private / "socket"), rw="write", verify="crc32c", verify_backlog=512))
    assert f"the option {OPTION} is not in those sources" in said


def test_the_sentence_names_the_sources_and_the_remedy(
    unlike: Path, fio: Fio, private: Path
) -> None:
    said = refusal(fio(str(private / "socket"), rw="read"))
    assert f"built from {engine.fio_release()} (sources in {unlike.parent / 'tree'})" in said
    assert "rebuild the engine with pyfio-virtio build-engine, or with make" in said


@pytest.mark.parametrize(
    "arguments", [("run", str(ROOT / "jobs" / "virtio.fio")), ("sweep", "--quick", "-o", "results")]
)
def test_the_command_starts_no_disk_for_it(
    arguments: tuple[str, ...], unlike: Path, command: RunCommand
) -> None:
    shown = command(*arguments)
    assert shown.status == 3
    assert f"the option {OPTION} is not in those sources" in shown.stderr
    assert len(shown.stderr.splitlines()) == 1


def test_doctor_shows_it(unlike: Path, command: RunCommand) -> None:
    shown = command("doctor", "--json")
    assert shown.status == 1
    assert f"the option {OPTION} is not in those sources" in shown.stdout

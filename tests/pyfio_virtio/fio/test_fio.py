# SPDX-License-Identifier: GPL-2.0-or-later
"""fio/fio.py: fio found, asked, and its output taken apart."""

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from pyfio_virtio.engine import engine
from pyfio_virtio.errors import MachineError
from pyfio_virtio.fio import fio
from pyfio_virtio.machine import process


def _program(folder: Path, answer: str) -> str:
    path = folder / "other-fio"
    path.write_text(f"#!/bin/sh\necho '{answer}'\n")
    path.chmod(0o755)
    return str(path)


def test_fio_is_found_with_its_release() -> None:
    said = subprocess.run(["fio", "--version"], capture_output=True, text=True, check=True).stdout
    assert fio.find().release == said.strip()


def test_no_fio_is_one_sentence_with_the_package() -> None:
    with pytest.raises(MachineError, match="apt install fio"):
        fio.find("no-such-fio")


def test_an_old_fio_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"fio-3\.27 is older than 3\.28"):
        fio.find(_program(tmp_path, "fio-3.27"))


def test_a_program_that_is_no_fio_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="not fio"):
        fio.find(_program(tmp_path, "version 7"))


def test_a_release_that_the_engine_was_not_built_for_is_refused(tmp_path: Path) -> None:
    other = fio.find(_program(tmp_path, "fio-3.99"))
    with pytest.raises(MachineError, match=r"fio-3\.99.*built for"):
        fio.check_release(other, engine.fio_release())


def test_the_engine_loads_in_the_fio_it_was_built_for() -> None:
    fio.check_engine_loads(fio.find(), engine.folder(), engine.NAME)


def test_a_missing_engine_does_not_load(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="does not load"):
        fio.check_engine_loads(fio.find(), tmp_path, engine.NAME)


def test_the_library_path_keeps_what_it_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/a:/b")
    assert fio.library_path(Path("/e")) == "/e:/a:/b"


@pytest.mark.parametrize("held", ["/e", "/e:/a", "/a:/e", "/e:/e:/a"])
def test_the_library_path_has_the_folder_once(held: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", held)
    assert fio.library_path(Path("/e")) == ("/e:/a" if "/a" in held else "/e")


def test_notes_around_the_json_are_told_apart() -> None:
    notes, json = fio.split_notes('fio: a {note}\n{\n  "a" : {\n  }\n}\nand another\n')
    assert notes == "fio: a {note}\nand another\n"
    assert json == '{\n  "a" : {\n  }\n}\n'


def test_output_without_json_is_all_notes() -> None:
    assert fio.split_notes("fio: failed\n") == ("fio: failed\n", "")


def test_the_status_says_whether_fio_failed(tmp_path: Path) -> None:
    found, printed = fio.find(), list[bytes]()
    parsed = fio.launch([found.path, "--parse-only", "--name=x", "--rw=read"], {}, printed.append)
    missing = fio.launch([found.path, str(tmp_path / "no-job.fio")], {}, printed.append)
    assert (parsed.status, missing.status) == (0, 1)


def test_fio_ends_if_what_it_prints_cannot_be_written() -> None:
    def fail(piece: bytes) -> None:
        raise OSError(28, "full")

    script = "echo; exec sleep 1000"
    with pytest.raises(OSError, match="full"):
        fio.launch(["sh", "-c", script], {}, fail)


def test_what_fio_leaves_behind_is_not_waited_for() -> None:
    printed: list[bytes] = []
    assert fio.launch(["sh", "-c", "echo a; sleep 3 &"], {}, printed.append).status == 0
    assert printed == [b"a\n"]


def test_a_signal_that_comes_when_fio_has_just_started_reaches_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = process.start

    def start(command: Sequence[str], **options: object) -> process.Process:
        started = real(command, **options)  # type: ignore[arg-type]
        signal.raise_signal(signal.SIGTERM)
        return started

    monkeypatch.setattr(process, "start", start)
    assert fio.launch(["sleep", "100"], {}).status == 128 + signal.SIGTERM

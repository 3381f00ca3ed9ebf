# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine runs in the release of fio that it was built for, and refuses any other."""

import os
from pathlib import Path

import pytest

from pyfio_virtio.engine import engine
from tests.conftest import ROOT, Fio, FioRun, StartBackend, run_to_end
from tests.end_to_end.refusal import refusal

FOLDER = ROOT / "build" / "fio-3.41"
ENGINE_FOLDER = ROOT / "build" / "fio-3.41-engine"

other_fio = pytest.mark.skipif(
    not (FOLDER / "fio").exists(),
    reason="there is no build/fio-3.41/fio: `make fio-3.41` makes it where Debian's sources "
    "can be had",
)
other_engine = pytest.mark.skipif(
    not (ENGINE_FOLDER / "fio_virtio").exists(),
    reason="there is no build/fio-3.41-engine/fio_virtio: `make fio-3.41` makes it",
)


class FioWithEngine(Fio):
    """fio with the engine in `engine_folder`, which may be that of another release."""

    def __init__(self, folder: Path, engine_folder: Path) -> None:
        super().__init__(folder)
        self.engine_folder = engine_folder

    def environment(self) -> dict[str, str]:
        return {"LD_LIBRARY_PATH": str(self.engine_folder)}


@pytest.fixture
def on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(FOLDER), prepend=os.pathsep)


@pytest.fixture
def fio_341(private: Path, on_path: None) -> Fio:
    """fio 3.41 with the engine that was built for it."""
    return FioWithEngine(private, ENGINE_FOLDER)


@other_fio
def test_a_fio_that_the_engine_was_not_built_for_is_refused(
    fio: Fio, on_path: None, private: Path
) -> None:
    said = refusal(fio(str(private / "socket"), rw="read"))
    assert f"this engine was built for {engine.fio_release()} and fio-3.41 loads it" in said


@other_engine
def test_an_engine_for_a_later_fio_is_refused_by_this_one(private: Path) -> None:
    mismatched = FioWithEngine(private, ENGINE_FOLDER)
    said = refusal(mismatched(str(private / "socket"), rw="read"))
    assert "was built for fio-3.41" in said


@other_fio
@other_engine
def test_enghelp_of_3_41(fio_341: Fio) -> None:
    asked = run_to_end(["fio", "--enghelp=fio_virtio"], fio_341.environment())
    assert "sleepy_poll" in asked.stdout


def verified(run: FioRun) -> tuple[int, int]:
    return run.status, run.first["read"]["total_ios"]


@other_fio
@other_engine
@pytest.mark.parametrize("wait", ["event", "busy", "sleepy"])
def test_3_41_verifies_what_it_wrote(disk: StartBackend, fio_341: Fio, wait: str) -> None:
    run = fio_341(
        disk().socket,
        rw="randwrite",
        bs="4k",
        size="4m",
        iodepth=32,
        wait=wait,
        fsync=64,
        verify="crc32c",
    )
    assert verified(run) == (0, 1024), run.stderr


@other_fio
@other_engine
@pytest.mark.parametrize("rw", ["randread", "randwrite", "randtrim", "randrw"])
def test_3_41_carries_out_each_direction(qsd: StartBackend, fio_341: Fio, rw: str) -> None:
    run = fio_341(qsd(queues=2).socket, rw=rw, size="1m", iodepth=16, numjobs=2)
    assert run.status == 0, run.stderr


@other_fio
@other_engine
def test_3_41_tells_an_error(qsd: StartBackend, fio_341: Fio) -> None:
    said = refusal(fio_341(qsd(read_only=True).socket, rw="randwrite"))
    assert "read-only" in said

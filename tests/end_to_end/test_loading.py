# SPDX-License-Identifier: GPL-2.0-or-later
"""fio finds the engine, loads it, and tells about it."""

from pathlib import Path

import pytest

from pyfio_virtio.engine import engine
from tests.conftest import Fio, StartBackend, run_to_end
from tests.end_to_end.conftest import WAITS

OPTIONS = (
    "device",
    "wait",
    "sleepy_poll",
    "adaptive_cpu",
    "scsi_target",
    "scsi_lun",
    "call_suppression",
    "queue_size",
    "num_queues",
    "event_idx",
    "indirect",
    "hugepages",
    "hugepage_mem",
    "connect_timeout",
    "request_timeout",
    "stats_file",
)


def test_enghelp_lists_every_option(fio: Fio) -> None:
    asked = run_to_end(["fio", f"--enghelp={engine.NAME}"], fio.environment())
    assert [name for name in OPTIONS if f"{name} " not in asked.stdout] == []


@pytest.mark.parametrize("option", OPTIONS)
def test_enghelp_explains_an_option(fio: Fio, option: str) -> None:
    asked = run_to_end(["fio", f"--enghelp={engine.NAME},{option}"], fio.environment())
    assert asked.stdout.lstrip().startswith(f"{option}:")


@pytest.mark.parametrize("value", WAITS)
def test_enghelp_names_each_value_of_wait(fio: Fio, value: str) -> None:
    asked = run_to_end(["fio", f"--enghelp={engine.NAME},wait"], fio.environment())
    assert value in asked.stdout


def test_enghelp_names_a_default(fio: Fio) -> None:
    asked = run_to_end(["fio", f"--enghelp={engine.NAME},connect_timeout"], fio.environment())
    assert "default: 5" in asked.stdout


def test_the_engine_is_loaded_by_its_path(qsd: StartBackend, fio: Fio) -> None:
    external = f"external:{engine.folder() / engine.NAME}"
    run = fio(qsd().socket, ioengine=external, rw="randread", number_ios=10)
    assert (run.status, run.first["read"]["total_ios"]) == (0, 10)


def test_a_job_file_names_the_engine_alone(qsd: StartBackend, fio: Fio) -> None:
    text = f"[global]\nioengine=fio_virtio\nthread=1\n[one]\nfilename={qsd().socket}\nrw=randread\n"
    run = fio.job(text + "number_ios=10\n")
    assert (run.status, run.first["read"]["total_ios"]) == (0, 10)


def test_an_engine_that_is_not_there_fails(fio: Fio, private: Path) -> None:
    run = fio(str(private / "socket"), ioengine=f"external:{private}/fio_virtio", rw="read")
    assert run.status == 1


def test_a_job_is_parsed_without_a_backend(fio: Fio, private: Path) -> None:
    text = f"[one]\nioengine=fio_virtio\nwait=busy\nfilename={private}/socket\nrw=read\n"
    assert fio.job(text, "--parse-only").status == 0

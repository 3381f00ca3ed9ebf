# SPDX-License-Identifier: GPL-2.0-or-later
"""sweep/measure.py and sweep/sampling.py: fio watched to its end, or ended when it is overdue."""

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pyfio_virtio.machine import sampling
from pyfio_virtio.machine.cpu_use import CpuUse
from pyfio_virtio.machine.process import start_ticks
from pyfio_virtio.machine.sampling import between, cpu_use, cpus_used, look
from pyfio_virtio.results.results import SAMPLES
from pyfio_virtio.sweep.measure import Measured, Task, measure, use
from tests.waiting import wait_until

FIO = ("fio", "--name=test", "--ioengine=null", "--thread", "--size=1g", "--time_based")
OUTPUT = ("--output-format=json", "--output=fio.json", "--eta=always", "--eta-interval=250ms")


def task(folder: Path, *options: str, runtime_s: float, patience_s: float = 20.0) -> Task:
    command = (*FIO, *OUTPUT, f"--runtime={round(runtime_s * 1000)}ms", *options)
    return Task(command, {}, folder, runtime_s, 0.0, patience_s, os.getpid())


def nobody(iops: float) -> None:
    pass


@pytest.fixture(scope="module")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Measured, Sequence[float]]:
    """Long enough for fio to show IOPS several times."""
    folder, heard = tmp_path_factory.mktemp("run"), list[float]()
    wanted = replace(task(folder, "--ramp_time=500ms", runtime_s=3.0), ramp_s=0.5)
    return folder, measure(wanted, heard.append), heard


Long = tuple[Path, Measured, Sequence[float]]


def test_fio_runs_in_the_folder_to_its_end(long_run: Long) -> None:
    folder, measured, _ = long_run
    assert (measured.status, measured.hung) == (0, False)
    assert json.loads((folder / "fio.json").read_text())["jobs"][0]["error"] == 0


def test_cpu_time_is_of_most_of_the_measured_time(long_run: Long) -> None:
    _, measured, _ = long_run
    used = use(measured, 3.0)
    assert 0 < used.watched_s <= 3.0 < measured.wall_s
    assert used.fio_cpu is not None
    assert used.fio_cpu.user_s + used.fio_cpu.system_s > 0
    assert used.backend_cpu is not None


def test_iops_are_heard_of_and_kept_along_time(long_run: Long) -> None:
    folder, _, heard = long_run
    samples = [json.loads(line) for line in (folder / SAMPLES).read_text().splitlines()]
    assert [each["iops"] for each in samples] == list(heard)
    assert min(heard) > 0
    times = [each["time_s"] for each in samples]
    assert times == sorted(times)


def test_a_short_run_has_no_samples_rather_than_few(tmp_path: Path) -> None:
    assert measure(task(tmp_path, runtime_s=0.2), nobody).status == 0
    assert not (tmp_path / SAMPLES).exists()


def test_fio_s_status_is_told(tmp_path: Path) -> None:
    assert measure(task(tmp_path, "--no_such_option=1", runtime_s=0.2), nobody).status == 1


def test_an_overdue_fio_is_killed_with_the_processes_of_its_jobs(tmp_path: Path) -> None:
    script = tmp_path / "fio"
    script.write_text("#!/bin/sh\nsleep 300 &\necho $! > child\nwait\n")
    script.chmod(0o755)
    overdue = replace(task(tmp_path, runtime_s=0.1, patience_s=0.5), command=[str(script)])
    measured = measure(overdue, nobody)
    assert (measured.hung, measured.status) == (True, -signal.SIGKILL)
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: start_ticks(child) is None, f"the end of process {child}")


# ---- sweep/sampling.py ---------------------------------------------------------------------


def test_a_process_that_has_gone_used_nothing_that_is_known() -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    assert cpu_use(ended.pid) is None


def test_cpu_time_of_all_threads_only_grows() -> None:
    first = cpu_use(os.getpid())
    sum(range(10**6))
    last = cpu_use(os.getpid())
    used = between(first, last)
    assert used is not None
    assert min(vars(used).values()) >= 0


def test_use_between_moments_is_a_difference() -> None:
    first, last = CpuUse(1.0, 2.0, 10, 20), CpuUse(1.5, 2.5, 15, 19)
    assert between(first, last) == CpuUse(0.5, 0.5, 5, 0)
    assert cpus_used(first, last, 2.0) == 0.5
    assert between(None, last) is None


def test_the_time_of_another_process_with_the_same_number_is_not_taken() -> None:
    first = replace(sampling.look(os.getpid(), os.getpid()), backend=CpuUse(1.0, 0.0, 0, 0))
    last = replace(first, backend=CpuUse(3.0, 0.0, 0, 0))
    assert sampling.backend_between(first, last) == CpuUse(2.0, 0.0, 0, 0)
    assert sampling.backend_between(first, replace(last, backend_start=1)) is None


def test_stolen_time_is_a_share_of_the_machine_s() -> None:
    first = look(os.getpid(), None)
    last = replace(first, stolen_s=first.stolen_s + 1, machine_s=first.machine_s + 50)
    assert sampling.steal_percent(first, last) == pytest.approx(2.0)
    assert sampling.steal_percent(first, first) == 0.0

# SPDX-License-Identifier: GPL-2.0-or-later
"""bench/run.py: turns, command lines, and what is read from fio's JSON; one real bench."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import plan, run
from bench.plan import Comparison
from bench.run import Cores, Run, Turns
from pyfio_virtio.errors import MachineError, PyfioVirtioError, UsageError
from pyfio_virtio.fio.directions import Summary
from pyfio_virtio.machine.cpu_use import CpuUse
from pyfio_virtio.machine.folders import memory_folder
from pyfio_virtio.results.record import Point, Record
from pyfio_virtio.results.results import FIO_JSON, JOB, RUNS, SweepFolder, read_rows
from tests.conftest import ROOT
from tests.waiting import wait_until

RECORD = Record(
    point=Point("", "null", "", "fio-3.33", "none", ""),
    repeat=1,
    order=1,
    started="2026-01-02T03:04:05Z",
    elapsed_s=1.0,
    wall_s=1.5,
    fio_command="fio",
    backend_command="",
    options={},
    total=Summary(iops=50_000.0, ios=50_000, p50_ns=19_000, p99_ns=40_000),
    fio_cpu=CpuUse(0.6, 0.4, 0, 0),
    backend_cpu=CpuUse(0.5, 0.0, 0, 0),
)
SHARED = Cores(0, 0)
TINY = Comparison("tiny", plan.null(1), (plan.null(2),), runtime_s=0.1)


@pytest.fixture
def turns(tmp_path: Path) -> Iterator[Turns]:
    with run.turns(tmp_path / "tiny", SHARED) as found:
        yield found


@given(st.integers(1, 8), st.integers(0, 100))
def test_everyone_has_one_turn_in_a_round(sides: int, number: int) -> None:
    assert sorted(run.order(sides, number)) == list(range(sides))


@given(st.integers(1, 8), st.integers(0, 100))
def test_everyone_begins_as_often_as_the_others(sides: int, first: int) -> None:
    begins = [run.order(sides, number)[0] for number in range(first, first + sides)]
    assert sorted(begins) == list(range(sides))


# ---- from a side to what is run ----------------------------------------------------------


def test_the_engine_stands_before_its_options() -> None:
    lines = run.job_text(plan.virtio(plan.QSD_NULL, 4, plan.BUSY), 1.5).splitlines()
    assert lines.index("ioengine=fio_virtio") < lines.index("wait=busy")
    assert {"filename=${DISK}", "time_based=1", "runtime=1500ms"} <= set(lines)


def test_a_neighbour_burns_the_back_ends_core(turns: Turns) -> None:
    side = replace(plan.virtio(plan.BUILTIN_NULL, 1, plan.BUSY), has_neighbour=True)
    text = turns.trial(side, "title", Cores(0, 1)).point.job
    _, ours, neighbour = text.replace("[neighbour]", "[bench]").split("[bench]\n")
    assert "filename=" in ours
    assert {"ioengine=cpuio", "cpus_allowed=1"} <= set(neighbour.splitlines())


def test_the_scheduler_may_place_fio_and_its_back_end() -> None:
    anywhere = replace(next(iter(plan.GROUPS.values())).comparisons[0], on_any_core=True)
    allowed = {str(cpu) for cpu in os.sched_getaffinity(0)}
    cores = Cores(0, 0).for_sides_of(anywhere)
    assert cores.fio == cores.backend
    assert set(str(cores.fio).split(",")) == allowed


def test_a_number_of_ios_has_no_time() -> None:
    side = plan.null(1)
    text = run.job_text(replace(side, options={**side.options, "number_ios": "1"}), 1.5)
    assert "runtime" not in text
    assert "time_based" not in text


@pytest.fixture
def loops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Loops that are there, and do nothing."""
    for name in (plan.BARE, plan.BLOCKING, plan.ASYNC):
        (tmp_path / name).touch()
    monkeypatch.setattr(run, "LOOPS", tmp_path)
    return tmp_path


def test_the_bare_loop_has_the_same_load(loops: Path) -> None:
    words = run.loop_command(plan.bare(plan.QSD_NULL, 4, 300), 1.5)
    assert words[1:] == [FIO_JSON, "4", str(plan.DISK_BYTES), "1500", "300"]


def test_threads_that_wait_have_the_same_load_and_wait(loops: Path) -> None:
    words = run.loop_command(plan.blocking(plan.QSD_NULL, 8, plan.EVENT), 1)
    assert words[0].endswith("/blocking_loop")
    assert words[1:] == [FIO_JSON, "8", str(plan.DISK_BYTES), "1000", "event"]


def test_operations_have_the_same_load_and_a_batch(loops: Path) -> None:
    words = run.loop_command(plan.operations(plan.QSD_NULL, 8, 4), 1)
    assert words[0].endswith("/async_loop")
    assert words[1:] == [FIO_JSON, "8", str(plan.DISK_BYTES), "1000", "4", "busy"]


def test_a_python_program_has_the_same_load_and_wait() -> None:
    words = run.loop_command(plan.python("tasks", 32, plan.EVENT, "asyncio"), 1)
    assert Path(words[1]).is_file()
    assert words[2:] == [FIO_JSON, "tasks", "32", str(plan.DISK_BYTES), "1000", "event"]


def test_a_loop_that_was_not_built_is_named(loops: Path) -> None:
    (loops / plan.BARE).unlink()
    with pytest.raises(MachineError, match="build it: make build/bench/bare_loop"):
        run.loop_command(plan.bare(plan.QSD_NULL, 4), 1)


def test_a_back_end_runs_on_its_core() -> None:
    spec = run.wanted(plan.virtio(plan.QSD_NULL, 1, plan.BUSY), 3).spec
    assert spec is not None
    assert spec.cpus == "3"


def test_a_side_is_another_point_in_another_comparison_or_on_another_cpu(turns: Turns) -> None:
    side = plan.null(1)
    titles = [
        turns.trial(side, "one"),
        turns.trial(side, "two"),
        turns.trial(side, "one", Cores(1)),
    ]
    assert len({each.point.hash for each in titles}) == 3


# ---- what came of a run ------------------------------------------------------------------


def test_cpu_time_is_told_for_each_io() -> None:
    assert run.run_of(RECORD) == Run(50_000, 19, 40, 20, 10, 1500)


def test_an_engine_without_back_end_has_no_cpu_time_of_one() -> None:
    assert run.run_of(replace(RECORD, backend_cpu=None)).backend_cpu_us is None


def test_fios_complaint_reaches_the_reader(turns: Turns) -> None:
    wrong = plan.Side("wrong", {"ioengine": "no-such-engine", **plan.load(1)})
    with pytest.raises(PyfioVirtioError, match="no-such-engine"):
        list(turns.rounds(replace(TINY, base=wrong), 1))


# ---- what is kept --------------------------------------------------------------------------


def started(folder: Path) -> list[str]:
    return [row["started"] for row in SweepFolder(folder).rows()]


def test_a_round_that_is_kept_is_not_run_again(turns: Turns, tmp_path: Path) -> None:
    first = list(turns.rounds(TINY, 1))
    before = started(tmp_path / "tiny.unfinished")
    assert list(turns.rounds(TINY, 2))[:1] == first
    assert started(tmp_path / "tiny.unfinished")[:2] == before


def test_half_a_round_is_run_again_as_a_whole(turns: Turns, tmp_path: Path) -> None:
    turns.runner.run(turns.trial(TINY.base, TINY.full_title, runtime_s=0.1), 1)
    [before] = started(tmp_path / "tiny.unfinished")
    list(turns.rounds(TINY, 1))
    assert before not in started(tmp_path / "tiny.unfinished")


def test_no_round_begins_when_the_time_is_over(turns: Turns, tmp_path: Path) -> None:
    first = list(turns.rounds(TINY, 1))
    late = replace(turns, end_s=0)
    assert list(late.rounds(TINY, 1)) == first
    with pytest.raises(run.OutOfTimeError):
        list(late.rounds(TINY, 2))
    with pytest.raises(run.OutOfTimeError):
        late.once(late.trial(TINY.base, "another"))
    assert len(started(tmp_path / "tiny.unfinished")) == 2


def test_a_file_in_memory_is_read_from_memory(turns: Turns, tmp_path: Path) -> None:
    record, folder = turns.once(turns.trial(plan.file("psync", 1), "one", runtime_s=0.1))
    assert f"DISK={memory_folder()}/" in record.fio_command
    assert (folder / JOB).read_text() == record.point.job


def test_a_folder_of_somebody_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    with (
        pytest.raises(UsageError, match=r"tiny is not replaced: it holds no runs"),
        run.turns(tmp_path / "tiny", SHARED),
    ):
        pass


# ---- the command -----------------------------------------------------------------------------


def command(output: Path, *words: str) -> list[str]:
    options = ["--backend-cpu", "0", "--output", str(output)]
    return [sys.executable, "-m", "bench", "start", *options, *words]


def bench(output: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        command(output, *words), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def test_a_bench_prints_a_table_and_keeps_its_runs(tmp_path: Path) -> None:
    done = bench(tmp_path, "--pairs", "2")
    kept = json.loads((tmp_path / "start.json").read_text())
    [comparison] = kept["results"]
    assert [len(side["runs"]) for side in comparison["sides"]] == [2, 2]
    assert kept["environment"]["fio"].startswith("fio-3.")
    assert (tmp_path / "start.md").read_text().splitlines()[-1] in done.stdout
    assert len(SweepFolder(tmp_path / "start").rows()) == 4


def test_a_finished_bench_is_measured_anew(tmp_path: Path) -> None:
    bench(tmp_path, "--pairs", "1")
    before = started(tmp_path / "start")
    bench(tmp_path, "--pairs", "1")
    assert set(before).isdisjoint(started(tmp_path / "start"))


def ended_after(runs: int, number: signal.Signals, output: Path) -> tuple[int, str]:
    """The status and the words of a bench that gets the signal once it has kept so many runs."""
    file = output / "start.unfinished" / RUNS
    words = command(output, "--pairs", "50")
    with subprocess.Popen(words, cwd=ROOT, text=True, stderr=subprocess.PIPE) as process:
        try:
            wait_until(lambda: len(read_rows(file)) >= runs, "the runs", 60)
            process.send_signal(number)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    return process.returncode, said


def test_a_bench_that_was_killed_goes_on(tmp_path: Path) -> None:
    ended_after(3, signal.SIGKILL, tmp_path)
    kept = started(tmp_path / "start.unfinished")
    done = bench(tmp_path, "--pairs", "3")
    rows = SweepFolder(tmp_path / "start").rows()
    assert [row["started"] for row in rows[:2]] == kept[:2]
    assert sorted(row["repeat"] for row in rows) == [1, 1, 2, 2, 3, 3]
    assert "continuing with the runs in" in done.stderr
    assert "3 rounds" in done.stdout
    assert not (tmp_path / "start.unfinished").exists()


def test_an_interrupted_bench_says_that_it_goes_on(tmp_path: Path) -> None:
    status, said = ended_after(1, signal.SIGTERM, tmp_path)
    assert status == 130
    assert said.endswith("bench: interrupted; the same command continues it\n")


def test_a_bench_in_pieces_goes_on(tmp_path: Path) -> None:
    words = command(tmp_path, "--pairs", "1000", "--seconds", "1")
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 75
    assert done.stderr.endswith("bench: 1 s are over; the same command continues it\n")
    assert (tmp_path / "start.unfinished").exists()
    bench(tmp_path, "--pairs", "2")
    assert not (tmp_path / "start.unfinished").exists()

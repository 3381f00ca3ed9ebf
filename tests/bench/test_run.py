# SPDX-License-Identifier: GPL-2.0-or-later
"""bench/run.py: turns, command lines, and what is read from fio's JSON; one real bench."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import plan, run
from bench.run import Cores
from pyfio_virtio.errors import PyfioVirtioError
from tests.conftest import ROOT

JOB = {
    "jobname": "bench",
    "error": 0,
    "job_runtime": 1000,
    "usr_cpu": 60.0,
    "sys_cpu": 40.0,
    "read": {
        "iops": 50_000.0,
        "total_ios": 50_000,
        "lat_ns": {"mean": 20_000.0, "max": 90_000},
        "clat_ns": {"N": 50_000, "percentile": {"50.000000": 19_000, "99.000000": 40_000}},
    },
}


def of_fio(**changes: object) -> str:
    return json.dumps({"fio version": "fio-3.33", "jobs": [{**JOB, **changes}]})


@given(st.integers(1, 8), st.integers(0, 100))
def test_everyone_has_one_turn_in_a_round(sides: int, number: int) -> None:
    assert sorted(run.order(sides, number)) == list(range(sides))


@given(st.integers(1, 8), st.integers(0, 100))
def test_everyone_begins_as_often_as_the_others(sides: int, first: int) -> None:
    begins = [run.order(sides, number)[0] for number in range(first, first + sides)]
    assert sorted(begins) == list(range(sides))


def test_the_engine_stands_before_its_options() -> None:
    words = run.arguments(plan.virtio(plan.QSD_NULL, 4, plan.BUSY), "/folder", 1.5)
    assert words.index("--ioengine=fio_virtio") < words.index("--wait=busy")
    assert {"--filename=/folder/disk.sock", "--runtime=1500ms"} <= set(words)


def test_cpu_time_is_told_for_each_io() -> None:
    measured = run.evaluate(of_fio(), 1100, 0.5)
    assert (measured.iops, measured.p50_us, measured.p99_us) == (50_000, 19, 40)
    assert (measured.front_end_cpu_us, measured.backend_cpu_us) == (20, 10)


def test_an_engine_without_back_end_has_no_cpu_time_of_one() -> None:
    assert run.evaluate(of_fio(), 1100, None).backend_cpu_us is None


def test_the_bare_loop_has_the_same_load() -> None:
    words = run.loop_command(plan.bare(plan.QSD_NULL, 4, 300), "/folder", 1.5)
    assert words[1:] == ["/folder/disk.sock", "4", str(plan.DISK_BYTES), "1500", "300"]


def test_threads_that_wait_have_the_same_load_and_wait() -> None:
    words = run.loop_command(plan.blocking(plan.QSD_NULL, 8, plan.EVENT), "/folder", 1)
    assert words[0].endswith("/blocking_loop")
    assert words[1:] == ["/folder/disk.sock", "8", str(plan.DISK_BYTES), "1000", "event"]


def test_what_the_bare_loop_prints_is_a_run() -> None:
    said = {"ios": 1000, "elapsed_ns": 500_000_000, "cpu_ns": 4_000_000, "p50_ns": 900}
    measured = run.evaluate_loop(json.dumps({**said, "p99_ns": 2000}), 600, 0.003)
    assert measured == run.Run(2000, 0.9, 2.0, 4.0, 3.0, 600)


@pytest.mark.parametrize("change", [{"error": 5}, {"read": {}}])
def test_a_run_that_did_nothing_is_no_result(change: dict[str, object]) -> None:
    with pytest.raises(PyfioVirtioError):
        run.evaluate(of_fio(**change), 1100, None)


def test_fios_complaint_reaches_the_reader() -> None:
    side = plan.Side("wrong", {"ioengine": "no-such-engine", **plan.load(1)})
    with pytest.raises(PyfioVirtioError, match="no-such-engine"):
        run.measure(side, Cores(0, 0), 0.1)


def test_a_bench_prints_a_table_and_keeps_its_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "start", "--pairs", "2", "--output", str(tmp_path)]
    command += ["--backend-cpu", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / "start.json").read_text())
    [comparison] = kept["results"]
    assert [len(side["runs"]) for side in comparison["sides"]] == [2, 2]
    assert kept["environment"]["fio"].startswith("fio-3.")
    assert (tmp_path / "start.md").read_text().splitlines()[-1] in done.stdout

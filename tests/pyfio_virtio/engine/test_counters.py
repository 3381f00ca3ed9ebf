# SPDX-License-Identifier: GPL-2.0-or-later
"""engine/counters.py: what the engine counted: read, summed and put into words."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfio_virtio.engine import counters
from pyfio_virtio.engine.counters import CountersError, JobCounters
from tests.conftest import Fio, StartBackend

JOB = JobCounters(
    job="virtio",
    number=1,
    wait="busy",
    ios=1000,
    kicks=20,
    calls=0,
    looks=3100,
    sleeps=10,
    cpu_ns=400_000,
)


def test_a_real_run_s_counters_are_summed_over_its_queues(
    qsd: StartBackend, fio: Fio, tmp_path: Path
) -> None:
    disk, file = qsd(queues=2), tmp_path / "stats"
    run = fio(
        disk.socket,
        rw="randread",
        bs="4k",
        number_ios=100,
        numjobs=2,
        iodepth=4,
        wait="sleepy",
        stats_file=str(file),
    )
    assert run.status == 0, run.stderr
    text = file.read_text()
    sums = counters.sums(text)
    jobs = [json.loads(line) for line in text.splitlines()]
    assert sums["reaped"] == 200
    assert sums["requests"] == 200
    assert sums["kicks"] == sum(queue["kicks"] for job in jobs for queue in job["queues"])
    assert sums["looks"] == sum(job["looks"] for job in jobs)
    assert sum(sums[f"batches_{2**place}"] for place in range(8)) > 0
    assert not {"ios", "queue_size", "sleepy_poll", "number", "wait"} & set(sums)


def test_nothing_written_is_no_counter() -> None:
    assert counters.sums("") == {}


def test_the_line_says_what_an_io_took() -> None:
    [line, *_] = counters.summary([JOB])
    assert line == (
        "virtio, wait=busy: kicks 0.02, calls 0.00, looks 3.1, sleeps 0.01 per I/O, "
        "0.40 µs CPU per I/O"
    )


def test_what_adaptive_settled_on_is_named() -> None:
    [line, *_] = counters.summary([replace(JOB, wait="adaptive", way="spin")])
    assert line.startswith("virtio, wait=adaptive (at the end spin): ")


def test_jobs_of_one_name_are_told_apart() -> None:
    first, second, *_ = counters.summary([JOB, replace(JOB, number=2)])
    assert first.startswith("virtio (job 1), ")
    assert second.startswith("virtio (job 2), ")


def test_a_job_without_io_divides_by_nothing() -> None:
    [line, *_] = counters.summary([replace(JOB, ios=0)])
    assert line == "virtio, wait=busy: no I/O"


def test_nothing_counted_needs_no_words() -> None:
    assert list(counters.summary([])) == []


def test_jobs_come_in_fios_order_and_queues_are_added(tmp_path: Path) -> None:
    lines = [
        {"job": "b", "number": 2, "wait": "event", "ios": 4, "sleeps": 1, "polls": 2},
        {"job": "a", "number": 1, "queues": [{"kicks": 3}, {"kicks": 4}]},
    ]
    path = tmp_path / "stats.json"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    first, second = counters.read([path])
    assert (first.job, first.kicks) == ("a", 7)
    assert (second.job, second.sleeps) == ("b", 3)


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 40))
def test_reports_and_run_count_the_same_sleeps(sleeps: int, polls: int) -> None:
    text = json.dumps({"job": "j", "sleeps": sleeps, "polls": polls})
    [job] = counters.parse(text)
    assert job.sleeps == counters.sleeps(counters.sums(text)) == sleeps + polls


@pytest.mark.parametrize("read", [counters.parse, counters.sums])
@pytest.mark.parametrize("line", ["{", "[]", "3", '{"queues": 1}', '{"queues": [2]}'])
def test_a_line_that_is_not_the_engine_s_is_named(
    read: Callable[[str, str], object], line: str
) -> None:
    with pytest.raises(CountersError, match="line 3 of here"):
        read('{"looks": 1}\n\n' + line, "here")


@pytest.mark.parametrize("value", ['"many"', "Infinity", "[]"])
def test_a_number_of_ios_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(CountersError, match="line 1 of here"):
        counters.parse(f'{{"ios": {value}}}', "here")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CountersError, match="nothing"):
        counters.read([tmp_path / "nothing"])


def _queue(socket: str, **counts: int) -> dict[str, object]:
    return {"socket": socket, "requests": 5, **counts}


RESTARTED = _queue("a", reconnects=2, replayed=9, away_ns=3_000_000, longest_away_ns=2_000_000)


def test_all_queues_of_a_socket_see_the_same_restarts() -> None:
    other = _queue("a", reconnects=1, replayed=4, away_ns=1_000_000, longest_away_ns=1_000_000)
    second = _queue("b", reconnects=1, replayed=2, away_ns=5_000_000, longest_away_ns=5_000_000)
    text = json.dumps({"job": "j", "queues": [RESTARTED, other, second]})
    found = counters.sums(text)
    assert found["requests"] == 15
    assert (found["reconnects"], found["replayed"]) == (3, 15)
    assert (found["away_ns"], found["longest_away_ns"]) == (8_000_000, 5_000_000)


def test_a_back_end_that_stayed_leaves_no_counters_of_restarts() -> None:
    text = json.dumps({"job": "j", "queues": [_queue("a", reconnects=0, replayed=0)]})
    assert counters.sums(text) == {"requests": 5}


def test_the_line_says_that_the_back_end_was_away() -> None:
    text = json.dumps({"job": "j", "ios": 10, "queues": [RESTARTED]})
    [line, *_] = counters.summary(counters.parse(text))
    assert line.endswith(
        "; the back-end was away 2 times, for 2 ms at most and 3 ms in all, and requests were sent "
        "again (9)"
    )


def _served(pid: int, begun_ms: int, ended_ms: int, **counts: int) -> dict[str, object]:
    names = ("backend_pid", "backend_cpu_begun_ns", "backend_cpu_ended_ns")
    return _queue("a", **dict(zip(names, (pid, begun_ms * 10**6, ended_ms * 10**6), strict=True)))


def _job(*queues: dict[str, object]) -> str:
    return json.dumps({"job": "j", "ios": 3000, "cpu_ns": 10**9, "queues": queues}) + "\n"


def test_iops_per_core_count_each_back_end_once() -> None:
    """The second job's first disk is served by the process of the first job, for longer."""
    text = _job(_served(7, 100, 600)) + _job(_served(7, 200, 700), _served(8, 50, 450))
    jobs = counters.parse(text)
    assert list(counters.per_core(jobs).values()) == [2000, 3000, 6000]
    assert list(counters.summary(jobs))[2] == (
        "IOPS per core: 2,000 of fio and the back-end, 3,000 of fio alone, "
        "6,000 of the back-end alone"
    )
    assert counters.sums(text)["requests"] == 15
    assert not {"backend_pid", "backend_cpu_ended_ns"} & set(counters.sums(text))


def test_a_back_end_that_is_not_known_leaves_fio_s_side_alone() -> None:
    jobs = counters.parse(_job(_served(7, 100, 600), _queue("b")))
    assert list(counters.summary(jobs))[1] == (
        "IOPS per core of fio's side alone: 3,000; the back-end's CPU time is not known"
    )

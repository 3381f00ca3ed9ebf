# SPDX-License-Identifier: GPL-2.0-or-later
"""engine/job_counters.py: what the engine counted, read and put into words."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pyfio_virtio.engine import job_counters
from pyfio_virtio.engine.job_counters import JobCounters
from pyfio_virtio.errors import PyfioVirtioError

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


def test_the_line_says_what_an_io_took() -> None:
    [line, *_] = job_counters.summary([JOB])
    assert line == (
        "virtio, wait=busy: kicks 0.02, calls 0.00, looks 3.1, sleeps 0.01 per I/O, "
        "0.40 µs CPU per I/O"
    )


def test_what_adaptive_settled_on_is_named() -> None:
    [line, *_] = job_counters.summary([replace(JOB, wait="adaptive", way="spin")])
    assert line.startswith("virtio, wait=adaptive, at last spin: ")


def test_jobs_of_one_name_are_told_apart() -> None:
    first, second, _ = job_counters.summary([JOB, replace(JOB, number=2)])
    assert first.startswith("virtio (job 1), ")
    assert second.startswith("virtio (job 2), ")


def test_a_job_without_io_divides_by_nothing() -> None:
    [line, *_] = job_counters.summary([replace(JOB, ios=0)])
    assert line == "virtio, wait=busy: no I/O"


def test_nothing_counted_needs_no_words() -> None:
    assert list(job_counters.summary([])) == []


def test_jobs_come_in_fios_order_and_queues_are_added(tmp_path: Path) -> None:
    lines = [
        {"job": "b", "number": 2, "wait": "event", "ios": 4, "sleeps": 1, "polls": 2},
        {"job": "a", "number": 1, "queues": [{"kicks": 3}, {"kicks": 4}]},
    ]
    path = tmp_path / "stats.json"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    first, second = job_counters.read([path])
    assert (first.job, first.kicks) == ("a", 7)
    assert (second.job, second.sleeps) == ("b", 3)


@pytest.mark.parametrize("text", ["{", "[]", '{"queues": 1}', '{"ios": "many"}'])
def test_what_is_no_counters_is_refused(text: str) -> None:
    with pytest.raises(PyfioVirtioError, match="here"):
        job_counters.parse(text, "here")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PyfioVirtioError, match="nothing"):
        job_counters.read([tmp_path / "nothing"])

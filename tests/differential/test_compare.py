# SPDX-License-Identifier: GPL-2.0-or-later
"""The comparison sees what differs, and nothing else."""

import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.differential.compare import differences, without_times
from tests.differential.jobs import TIMED, TIMED_BYTE, Job, Section
from tests.differential.sides import Count, JobResult, Outcome, first_bytes

NOTHING = Count(0, 0, 0, 0)
RESULT = JobResult(
    "only",
    failed=False,
    errors=0,
    flushes=0,
    counts={"read": Count(4, 2048, 0, 0), "write": NOTHING, "trim": NOTHING},
)
OUTCOME = Outcome("", ended=True, failed=False, jobs=[RESULT], disks=[bytes(4096)], said="")


def job(**options: str) -> Job:
    return Job("blk", 512, 4096, 1, [Section("only", options)])


def seen(ours: Outcome, theirs: Sequence[Outcome], of: Job | None = None) -> list[str]:
    return [each.fact for each in differences(of or job(), [ours, *theirs])]


def with_result(**values: Any) -> Outcome:  # noqa: ANN401 - JobResult's fields
    return replace(OUTCOME, jobs=[replace(RESULT, **values)])


def test_what_is_equal_does_not_differ() -> None:
    assert seen(OUTCOME, [OUTCOME, OUTCOME]) == []


@pytest.mark.parametrize(
    ("ours", "fact"),
    [
        (replace(OUTCOME, ended=False, jobs=[]), "ended"),
        (replace(OUTCOME, failed=True), "failed"),
        (with_result(failed=True), "job failed"),
        (with_result(flushes=1), "flushes"),
        (with_result(errors=1), "errors"),
        (with_result(counts={"read": Count(3, 2048, 0, 0)}), "ios"),
        (with_result(counts={"read": Count(4, 1024, 0, 0)}), "bytes"),
        (with_result(counts={"read": Count(4, 2048, 1, 0)}), "short"),
        (with_result(counts={"read": Count(4, 2048, 0, 1)}), "dropped"),
        (replace(OUTCOME, jobs=[]), "jobs"),
        (replace(OUTCOME, disks=[b"\1" + bytes(4095)]), "disk"),
        (replace(OUTCOME, written="version\n1 disk read 0 512\n"), "log"),
    ],
)
def test_each_fact_is_compared(ours: Outcome, fact: str) -> None:
    assert fact in seen(ours, [OUTCOME, OUTCOME])


def test_one_of_fios_own_engines_is_enough_for_a_fact() -> None:
    ours = with_result(flushes=1)
    assert seen(ours, [OUTCOME, ours]) == []


def test_of_jobs_that_stopped_only_the_failure_is_compared() -> None:
    one = with_result(failed=True, flushes=1)
    other = replace(with_result(failed=True), disks=[b"\1" * 4096])
    assert seen(one, [other, other]) == []


def test_which_job_could_not_begin_is_not_compared() -> None:
    idle = with_result(counts={"read": NOTHING})
    failed = with_result(counts={"read": NOTHING}, failed=True)
    assert seen(failed, [idle, idle]) == []


def test_jobs_that_went_on_after_errors_are_compared() -> None:
    one = with_result(failed=True, flushes=1)
    other = with_result(failed=True)
    assert seen(one, [other, other], job(continue_on_error="all")) == ["flushes"]


def test_times_in_a_log_are_not_compared() -> None:
    one = replace(OUTCOME, written="version\n1 disk read 0 512\n")
    other = replace(OUTCOME, written="version\n2 disk read 0 512\n")
    assert seen(one, [other, other]) == []


def timed(**options: str) -> Job:
    return Job("blk", 512, 4096, 1, [Section(TIMED, {"bs": "512"} | options)])


def moved(count: int, disk: bytes = first_bytes(4096)) -> Outcome:
    result = replace(RESULT, name=TIMED, counts={"write": Count(count, 512 * count, 0, 0)})
    return replace(OUTCOME, jobs=[result], disks=[disk])


def test_counts_that_follow_from_the_clock_are_not_compared() -> None:
    assert seen(moved(5), [moved(7), moved(9)], timed(runtime="1")) == []


def test_a_timed_job_that_does_nothing_is_seen() -> None:
    assert seen(moved(0), [moved(7), moved(9)], timed(runtime="1")) == ["progress"]


def test_the_bytes_of_a_timed_job_that_its_size_ends_are_compared() -> None:
    assert seen(moved(5), [moved(7), moved(9)], timed()) == ["progress"]


@pytest.mark.parametrize(
    ("sector", "facts"), [(bytes([TIMED_BYTE]) * 512, []), (bytes(512), []), (b"x" * 512, ["disk"])]
)
def test_what_a_timed_job_writes_is_compared(sector: bytes, facts: list[str]) -> None:
    ours = moved(5, sector + first_bytes(4096)[512:])
    assert seen(ours, [moved(5), moved(5)], timed(runtime="1")) == facts


def test_times_in_a_header_are_not_compared() -> None:
    def block(seconds: int, seed: int) -> bytes:
        header = struct.pack("<HHIQQIIHHI", 0xACCA, 3, 512, seed, 0, seconds, 7, 1, 1, seconds)
        return header + bytes(512 - len(header))

    assert without_times(block(1, 5)) == without_times(block(2, 5))
    assert without_times(block(1, 5)) != without_times(block(1, 6))

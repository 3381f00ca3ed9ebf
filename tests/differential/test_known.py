# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of known differences excuses the jobs that it is about, and no others."""

import pytest

from tests.differential.jobs import MIB, Job, Section
from tests.differential.known import excused
from tests.differential.sides import OnBuiltin


def facts(**options: str) -> frozenset[str]:
    job = Job("blk", 512, 4 * MIB, 1, [Section("only", options)])
    return excused(job, OnBuiltin().run(job, {}))


def test_the_bytes_of_a_deep_replay_are_excused() -> None:
    assert facts(read_iolog="log", iodepth="8") == {"bytes"}


@pytest.mark.parametrize(
    "option", [{"mem": "malloc"}, {"file_append": "1"}, {"io_submit_mode": "offload"}], ids=str
)
def test_a_promise_that_cannot_be_kept_is_excused(option: dict[str, str]) -> None:
    assert facts(rw="write", **option) == {"failed", "job failed", "jobs"}


def test_a_stonewall_of_a_job_that_fio_gives_up_is_excused() -> None:
    lost = {"rw": "read", "offset": "2m", "filesize": "1m", "stonewall": "1"}
    after = {"rw": "read", "wait_for": "lost"}
    names = {"first": {"rw": "read", "rate_iops": "500"}, "lost": lost, "after": after}
    sections = [Section(name, options | {"thread": "1"}) for name, options in names.items()]
    job = Job("blk", 512, 4 * MIB, 1, sections)
    assert "disk" in excused(job, OnBuiltin().run(job, {}))


def test_an_ordinary_job_is_not_excused() -> None:
    assert not facts(rw="randrw", bs="4k", iodepth="8")


def test_a_refusal_is_not_excused() -> None:
    assert not facts(rw="read", bs="700")

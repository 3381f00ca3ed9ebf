# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of known differences finds the refusal that it is about, and excuses no other."""

import pytest

from tests.differential.jobs import MIB, Job, Section
from tests.differential.known import excused
from tests.differential.sides import OnBuiltin


def facts(**options: str) -> frozenset[str]:
    job = Job("blk", 512, 4 * MIB, 1, [Section("only", options)])
    return excused(job, OnBuiltin().run(job, ""))


@pytest.mark.parametrize("option", ["size", "offset"])
def test_a_job_beyond_its_disk_is_excused(option: str) -> None:
    assert facts(rw="read", **{option: "8m"}) == {"failed", "job failed"}


def test_an_ordinary_job_is_not_excused() -> None:
    assert not facts(rw="randrw", bs="4k", iodepth="8")


def test_another_refusal_is_not_excused() -> None:
    assert not facts(rw="read", bs="700")

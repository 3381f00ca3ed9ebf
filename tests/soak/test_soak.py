# SPDX-License-Identifier: GPL-2.0-or-later
"""A short round of soak.py, and what watches for growth; `make soak` runs many rounds."""

import random
from pathlib import Path

import psutil
import pytest

from tests.soak.growth import SPARE_BYTES, WARM_UP, FioWatch, Sample, grown
from tests.soak.plan import DiskPlan, RoundPlan, draw_round
from tests.soak.soak import run_round

SECONDS = 1.5


@pytest.mark.parametrize("has_threads", [True, False], ids=["threads", "processes"])
def test_nothing_is_lost_while_back_ends_are_killed(private: Path, has_threads: bool) -> None:
    second = DiskPlan("qsd", False, "blk", 4, ())
    if not has_threads:  # qemu-storage-daemon serves one process
        second = DiskPlan("builtin", False, "blk", 4, ("latency=1ms",))
    plan = RoundPlan(
        disks=(DiskPlan("builtin", True, "scsi", 4, ()), second),
        wait="adaptive",
        depth=16,
        jobs=2,
        has_threads=has_threads,
        disturbances=1,
    )
    counts = run_round(plan, private, SECONDS)
    assert counts["kills"] + counts["stops"] > 0
    assert counts["reconnects"] >= counts["kills"]


def test_a_seed_draws_the_same_rounds() -> None:
    assert draw_round(random.Random(1)) == draw_round(random.Random(1))


@pytest.mark.parametrize("what", ["descriptors", "threads", "children", "shared_files"])
def test_growth_is_named(what: str) -> None:
    usual = {"descriptors": 9, "threads": 1, "children": 0, "shared_files": 2, "rss_bytes": 0}
    more = {**usual, what: usual[what] + 1}
    samples = [Sample(**more)] * WARM_UP + [Sample(**usual)] * 2
    assert grown(samples) == ""
    assert what in grown([*samples, Sample(**more)])


def test_memory_that_grows_is_named() -> None:
    samples = [Sample(9, 1, 0, 2, 0)] * (WARM_UP + 1)
    assert "memory grew" in grown([*samples, Sample(9, 1, 0, 2, SPARE_BYTES + 1)])


def test_a_fio_that_keeps_descriptors_is_named() -> None:
    samples = [10] * 10 + [12, 11] * 5 + [20] * 20
    assert "from 11 to 20" in FioWatch(psutil.Process(), 2, samples).grown()
    assert FioWatch(psutil.Process(), 2, [10, 30] * 20).grown() == ""

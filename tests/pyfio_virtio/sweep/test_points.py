# SPDX-License-Identifier: GPL-2.0-or-later
"""sweep/points.py: what a sweep is on this machine."""

import os

import pytest

from pyfio_virtio.errors import UsageError
from pyfio_virtio.sweep.points import resolve
from pyfio_virtio.sweep.settings import Settings


@pytest.mark.parametrize(
    ("written", "jobs"), [("$ncpus", os.sysconf("SC_NPROCESSORS_CONF")), ("0x4", 4), ("3", 3)]
)
def test_the_back_end_of_a_point_has_a_queue_for_each_job(written: str, jobs: int) -> None:
    sweep = resolve(Settings(options={"numjobs": (written,)}, storage="null", controls=False))
    point = sweep.points()[0]
    assert point.wanted.spec is not None
    assert point.wanted.spec.queues == jobs
    assert f"numjobs={jobs}\n" in point.point.job


def test_a_number_of_jobs_that_fio_cannot_read_is_refused() -> None:
    with pytest.raises(UsageError, match="numjobs=many: fio cannot read this value"):
        resolve(Settings(options={"numjobs": ("many",)}, storage="null"))

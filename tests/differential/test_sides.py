# SPDX-License-Identifier: GPL-2.0-or-later
"""The sides play the same disk: blocks, capacity, faults, content."""

import pytest

from tests.differential.jobs import MIB, Fault, Job, Section
from tests.differential.sides import FIOS_OWN, OnBuiltin, Side, first_bytes

EVERY_SIDE = pytest.mark.parametrize("side", [OnBuiltin(), *FIOS_OWN], ids=lambda side: side.name)


def job(*faults: Fault, device: str = "blk", **options: str) -> Job:
    return Job(device, 4096, 4 * MIB, 1, [Section("only", options)], faults)


@EVERY_SIDE
def test_a_disk_has_its_size(side: Side) -> None:
    ran = side.run(job(rw="read", bs="64k"), {})
    assert ran.jobs[0].counts["read"].bytes == 4 * MIB


@EVERY_SIDE
def test_a_disk_cannot_grow(side: Side) -> None:
    ran = side.run(job(rw="write", bs="64k", offset="3m", size="2m"), {})
    assert len(ran.disks[0]) == 4 * MIB


@EVERY_SIDE
def test_half_a_block_is_refused(side: Side) -> None:
    assert side.run(job(rw="read", bs="2k"), {}).failed


@EVERY_SIDE
def test_a_trim_zeroes_its_blocks_alone(side: Side) -> None:
    ran = side.run(job(rw="trim", bs="8k", offset="64k", size="8k"), {})
    before = first_bytes(4 * MIB)
    assert ran.disks[0] == before[: 64 << 10] + bytes(8 << 10) + before[72 << 10 :]


@EVERY_SIDE
@pytest.mark.parametrize("direction", ["read", "write", "trim"])
def test_a_fault_hits_its_direction_and_bytes_alone(side: Side, direction: str) -> None:
    fault = Fault(direction, 64 << 10, 8 << 10)
    ran = side.run(job(fault, rw=direction, bs="4k", size="1m", continue_on_error="all"), {})
    assert ran.jobs[0].errors == 2
    assert ran.disks[0][64 << 10 : 72 << 10] == first_bytes(4 * MIB)[64 << 10 : 72 << 10]


@EVERY_SIDE
def test_a_flush_can_fail(side: Side) -> None:
    fault = Fault("sync", 0, 0)
    assert side.run(job(fault, rw="write", bs="4k", size="1m", fsync="8"), {}).failed

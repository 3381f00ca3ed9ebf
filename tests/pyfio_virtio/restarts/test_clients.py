# SPDX-License-Identifier: GPL-2.0-or-later
"""The load of a restart test on a simulated disk: each fault is found, and nothing else is."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyfio_virtio.restarts.versions import Verdict
from tests.pyfio_virtio.restarts.simulated_disk import BLOCKS, VERDICTS, Fault, SimulatedDisk

seeds = st.integers(0, 1 << 32)
faults = st.lists(st.lists(st.sampled_from(Fault), max_size=4), max_size=3)
# One sector, and several, of which a disk may carry out some.
sizes = st.sampled_from([4096, 512])


def wrong(disk: SimulatedDisk) -> list[Counter[Verdict]]:
    """What was found after each restart, and not right."""
    found = (dict(tally.verdicts) for tally in disk.run().tallies)
    return [
        Counter({key: n for key, n in each.items() if key is not Verdict.RIGHT}) for each in found
    ]


@settings(max_examples=100, deadline=None)
@given(seeds, faults, sizes, st.sampled_from([0, 5, 40]))
def test_each_fault_is_found_once_after_its_restart(
    seed: int, plan: list[list[Fault]], size: int, error_percent: float
) -> None:
    """With no faults in the plan, nothing is found."""
    disk = SimulatedDisk(seed, plan, size, error_percent)
    assert wrong(disk) == [Counter(verdicts) for verdicts in disk.injected]


@pytest.mark.parametrize("fault", Fault)
def test_each_kind_of_fault_is_found(fault: Fault) -> None:
    disk = SimulatedDisk(1, [[], [fault] * 3], 4096, 0)
    assert wrong(disk)[2] == {VERDICTS[fault]: len(disk.injected[2])}
    assert disk.injected[2]


def test_what_was_found_is_told_in_words() -> None:
    disk = SimulatedDisk(1, [[Fault.FORGET]], 4096, 0)
    [words] = disk.run().tallies[1].findings
    assert "it holds zeroes, and write " in words


def test_every_block_is_read_after_each_restart() -> None:
    client = SimulatedDisk(3, [[], []], 4096, 0).run()
    assert all(tally.reads >= BLOCKS for tally in client.tallies[1:])


def test_a_disk_that_fails_everything_is_given_up() -> None:
    with pytest.raises(OSError, match="a failure"):
        SimulatedDisk(1, [], 4096, 100).run()

# SPDX-License-Identifier: GPL-2.0-or-later
"""bench/growth.py: what grows, and what the table says of it."""

from bench import growth
from bench.growth import STEPS, Step
from bench.instructions import PerIo


def counted(own: float) -> dict[Step, tuple[PerIo, PerIo]]:
    """One disk takes 100 instructions in our object, and 64 disks take `own`."""
    null = PerIo("null", 1000, 0, 0)
    few, many = Step(), Step(disks=64)
    return {few: (null, PerIo("", 900, 100, 5)), many: (null, PerIo("", 990, own, 7))}


def test_both_engines_have_as_many_jobs_and_disks() -> None:
    for step in STEPS:
        null, ours = step.sides()
        for option in ("numjobs", "iodepth", "size"):
            assert null.options[option] == ours.options[option]
        assert ours.options["filename"].count(":") == step.disks - 1
        assert ours.links == (step.disks if step.disks > 1 else 0)


def test_each_row_is_set_beside_the_first_of_its_axis() -> None:
    assert "| 64 disks, iodepth 32 | 1000 | 1.00 | 990 | 1.10 | 150 | 1.50 | 7 |\n" in growth.table(
        counted(150)
    )


def test_what_has_grown_is_named() -> None:
    assert growth.summary(counted(150)).endswith(": 1: 64 disks, iodepth 32 (1.50).")
    assert growth.summary(counted(110)).endswith(": 0.")

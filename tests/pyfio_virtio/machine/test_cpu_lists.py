# SPDX-License-Identifier: GPL-2.0-or-later
"""machine/cpu_lists.py: CPUs as users write them."""

import os

import pytest

from pyfio_virtio.errors import UsageError
from pyfio_virtio.machine import cpu_lists


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("0", {0}), ("0,2-4", {0, 2, 3, 4}), ("0-6:2", {0, 2, 4, 6}), ("3,3", {3})],
)
def test_a_list_is_read_as_taskset_reads_it(text: str, cpus: set[int]) -> None:
    assert cpu_lists.parse(text) == cpus


@pytest.mark.parametrize("text", ["", "a", "0,", "-1", "0-", "0:2", "0 1", "²"])
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a list of CPUs such as 0,2-3"):
        cpu_lists.check(text, "--cpus")


def test_the_cpus_of_this_machine_are_taken() -> None:
    cpu_lists.check(",".join(map(str, os.sched_getaffinity(0))), "--cpus")


def test_cpus_that_the_machine_lacks_are_named() -> None:
    with pytest.raises(UsageError, match=r"there is no CPU 5000-5001; this machine has CPUs 0"):
        cpu_lists.check("0,5000-5001", "--cpus")


def test_a_list_is_shown_as_users_write_it() -> None:
    assert cpu_lists.shown({0, 1, 2, 4, 6, 7}) == "0-2,4,6-7"

# SPDX-License-Identifier: GPL-2.0-or-later
"""machine/host.py: this machine."""

import os
import resource
import subprocess
from pathlib import Path

from pyfio_virtio.machine import host


def test_the_cpus_are_those_that_may_be_used() -> None:
    assert host.describe().cpus == len(os.sched_getaffinity(0))


def test_the_kernel_is_the_one_that_runs() -> None:
    assert host.describe().kernel == os.uname().release


def test_no_limit_of_locked_memory_is_none() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    expected = None if soft == resource.RLIM_INFINITY else soft
    assert host.describe().memlock_bytes == expected


def test_each_size_of_huge_pages_says_where_it_is_set() -> None:
    for pages in host.describe().hugepages:
        assert int(Path(pages.file).read_text()) == pages.total
        assert pages.free <= pages.total


def test_fio_is_given_a_clock_that_it_takes() -> None:
    clock = host.fio_clock()
    if clock:
        run = ["fio", f"--clocksource={clock}", "--name=j", "--ioengine=null", "--size=4k"]
        subprocess.run(run, check=True, capture_output=True)

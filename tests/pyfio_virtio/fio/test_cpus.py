# SPDX-License-Identifier: GPL-2.0-or-later
"""fio/cpus.py: the CPUs that the jobs of a file use."""

import os

import pytest

from pyfio_virtio.fio import cpus, job

EVERY = set(range(os.sysconf("SC_NPROCESSORS_CONF")))


@pytest.mark.parametrize(
    ("text", "bound", "unbound"),
    [
        ("[a]\n", set(), 1),
        ("[a]\nnumjobs=4\n[b]\n", set(), 5),
        ("[global]\ncpus_allowed=0,2-3\n[a]\n[b]\n", {0, 2, 3}, 0),
        ("[a]\ncpus_allowed=1\nnumjobs=4\n[b]\n", {1}, 1),
        ("[global]\ncpus_allowed=1\n[a]\ncpumask=0x5\n", {0, 2}, 0),
        ("[a]\nnuma_cpu_nodes=0\n", EVERY, 0),
        ("[a]\ncpus_allowed=first\n", EVERY, 0),
    ],
)
def test_jobs_are_bound_by_their_last_list(text: str, bound: set[int], unbound: int) -> None:
    assert cpus.used([job.parse(text)]) == cpus.Cpus(frozenset(bound), unbound)

# SPDX-License-Identifier: GPL-2.0-or-later
"""Which CPUs the jobs of a job file are bound to. Pure; any thread may call it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from pyfio_virtio.fio.job import Job, Section
from pyfio_virtio.machine import cpu_lists

_LIST, _MASK, _NODES = "cpus_allowed", "cpumask", "numa_cpu_nodes"


@dataclass(frozen=True)
class Cpus:
    """The CPUs that jobs use."""

    bound: frozenset[int]  # of all jobs that are bound to CPUs
    unbound: int  # so many jobs may run anywhere


def used(jobs: Sequence[Job]) -> Cpus:
    """Counts all jobs, as if all ran at the same time."""
    sections = [section for each in jobs for section in each.sections()]
    bound = [_bound(section) for section in sections]
    return Cpus(
        frozenset[int]().union(*(cpus for cpus in bound if cpus is not None)),
        sum(each.count() for each, cpus in zip(sections, bound, strict=True) if cpus is None),
    )


def _bound(section: Section) -> set[int] | None:
    """The CPUs of its jobs; None: any. All CPUs, if we cannot tell."""
    given = [each for each in section.given if each.key in (_LIST, _MASK, _NODES)]
    if not given:
        return None
    try:
        if given[-1].key == _LIST:
            return cpu_lists.parse(given[-1].value.replace(" ", ""))
        if given[-1].key == _MASK:
            mask = int(given[-1].value, 0)
            return {cpu for cpu in range(mask.bit_length()) if mask >> cpu & 1}
    except ValueError:
        pass
    return set(range(os.sysconf("SC_NPROCESSORS_CONF")))

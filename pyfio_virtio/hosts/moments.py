# SPDX-License-Identifier: GPL-2.0-or-later
"""The CPU time that fio and the back-end have used, moment by moment while a job runs.

Owns how often is looked, and which processes count as fio: all that its server has forked. A
process that has ended counts with what it had used when it was last seen. Called from the thread of
the session.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from pyfio_virtio.hosts import wire
from pyfio_virtio.machine import descendants, sampling
from pyfio_virtio.machine.cpu_use import CpuUse

_EVERY_S = 0.5


class Moments:
    """Moments of one job, as messages have them. There are never more than wire.MOST_MOMENTS."""

    def __init__(self, fio_pid: int, backend_pid: int | None) -> None:
        sampling.prepare()
        self._fio_pid, self._backend_pid = fio_pid, backend_pid
        self._of_fio: dict[int, CpuUse] = {}
        self._every_s, self._next = _EVERY_S, 0.0
        self.found: list[list[object]] = []

    def look_if_due(self) -> None:
        if time.monotonic() >= self._next:
            self.look()

    def look(self) -> None:
        self._next = time.monotonic() + self._every_s
        moment = sampling.look(self._fio_pid, self._backend_pid)
        for pid in (self._fio_pid, *descendants.below(self._fio_pid)):
            if (used := sampling.cpu_use(pid)) is not None:
                self._of_fio[pid] = used
        self.found.append(
            [
                time.time_ns(),
                _listed(_sum(self._of_fio.values())),
                _listed(moment.backend),
                round(moment.stolen_s, 3),
                round(moment.machine_s, 3),
            ]
        )
        if len(self.found) >= wire.MOST_MOMENTS:
            del self.found[1::2]
            self._every_s *= 2


def _sum(used: Iterable[CpuUse]) -> CpuUse:
    each = list(used)
    return CpuUse(
        sum(one.user_s for one in each),
        sum(one.system_s for one in each),
        sum(one.voluntary_switches for one in each),
        sum(one.involuntary_switches for one in each),
    )


def _listed(used: CpuUse | None) -> list[float] | None:
    if used is None:
        return None
    times = (round(used.user_s, 3), round(used.system_s, 3))
    return [*times, used.voluntary_switches, used.involuntary_switches]

# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk that is simulated, so that the truth about its setups is known.

Each run takes simulated time. What it reaches is the product of the effects of the setup, of a
drift of the machine, and of noise. The seed decides everything.
"""

import math
import random
from collections.abc import Collection, Mapping, Sequence

from pyfio_virtio.analysis.tuned import Judged, judge
from pyfio_virtio.cli.tuning import as_pair
from pyfio_virtio.sweep.settings import Settings
from pyfio_virtio.tune.budget import Budget
from pyfio_virtio.tune.measuring import workloads
from pyfio_virtio.tune.search import Workload
from pyfio_virtio.tune.setups import Setup, tried
from pyfio_virtio.tune.tuner import Length, Result, Tuner

CORES = [[0], [1]]
WORKLOADS = workloads(tried(Settings(), CORES))


class Disk:
    """It has the form of tuner.Measure. Effects are logarithms, by NAME=VALUE."""

    def __init__(
        self, seed: int, effects: Mapping[str, float] | None = None, failing: Collection[str] = ()
    ) -> None:
        self.now_s = 0.0
        self.asked: list[tuple[str, Setup, Length]] = []
        self._random = random.Random(seed)
        self._effects = effects or {}
        self._failing = failing
        self._drift = 0.0

    def clock(self) -> float:
        return self.now_s

    def __call__(self, workload: Workload, setup: Setup, round_: int, length: Length) -> Result:
        self.asked.append((workload.name, setup, length))
        self.now_s += length.runtime_s + length.ramp_s + self._random.uniform(0.2, 0.4)
        self._drift += self._random.gauss(0, 0.01)
        names = [f"{name}={text}" for _, value in setup for name, text in value]
        order = len(self.asked)
        if any(name in self._failing for name in names):
            return Result({}, order, "it was refused")
        effect = self._drift + sum(self._effects.get(name, 0.0) for name in names)
        reached = {
            "iops": 1e6 * self._noisy(effect),
            "iops_per_core": 5e5 * self._noisy(effect),
            "p50_ns": 1e4 / self._noisy(effect),
        }
        return Result(reached, order)

    def _noisy(self, effect: float) -> float:
        return math.exp(effect + self._random.gauss(0, 0.08))


def tuned(
    disk: Disk, seconds: float = 60.0, of: Sequence[Workload] = WORKLOADS
) -> tuple[Tuner, list[Judged]]:
    """A tuner that has spent its time, and what was shown."""
    tuner = Tuner(of, disk, Budget(seconds, disk.clock), disk.clock)
    tuner.run()
    return tuner, judge([as_pair(each) for each in tuner.findings() if each.leader is not None])

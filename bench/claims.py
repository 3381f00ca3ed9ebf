# SPDX-License-Identifier: GPL-2.0-or-later
"""How often a report or a comparison claims a difference, on simulated runs whose truth is known.

The runs are drawn at random and nothing is measured, so the result does not depend on the machine.
All functions are pure; the same random generator gives the same runs.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pyfio_virtio.analysis import claims
from pyfio_virtio.analysis.compare import compare
from pyfio_virtio.analysis.family import Floats
from pyfio_virtio.analysis.frame import derive
from pyfio_virtio.results.record import MEASURED

SHARES = (0.03, 0.1, 0.3, 0.6)  # how noisy the runs are
WAYS, ROUNDS = (2, 12), (3, 30)
DIFFERENCE, QUIET, ENOUGH = 1.1, 0.03, 12
REPORTS = 400  # for each line of the table
SEED = 1
Noise = Callable[[np.random.Generator, Floats, float], Floats]


def _normal(random: np.random.Generator, order: Floats, share: float) -> Floats:
    return np.log(np.maximum(random.normal(1, share, order.shape), 0.05))


def _lognormal(random: np.random.Generator, order: Floats, share: float) -> Floats:
    return random.normal(0, share, order.shape)


def _bimodal(random: np.random.Generator, order: Floats, share: float) -> Floats:
    """A slow mode in three of ten runs, as a host that moves virtual CPUs makes it."""
    slow = random.random(order.shape) < 0.3
    modes: Floats = np.where(slow, math.log1p(-share), 0.0)
    return modes + random.normal(0, share / 20, order.shape)


def _drifting(random: np.random.Generator, order: Floats, share: float) -> Floats:
    """The machine loses twice its noise between the first run and the last one."""
    decline: Floats = -2 * share * order / order.max()
    return decline + random.normal(0, share / 4, order.shape)


def _wandering(random: np.random.Generator, order: Floats, share: float) -> Floats:
    """Each run of the machine resembles the one before it, whatever its way is."""
    whole: Floats = _chain(random, (order.size,), 0.9, share)
    return np.take(whole, order.astype(int))


def _own_memory(random: np.random.Generator, order: Floats, share: float) -> Floats:
    """Each run of a way resembles the way's run in the round before."""
    return _chain(random, order.shape, 0.5, share)


def _chain(
    random: np.random.Generator, shape: tuple[int, ...], memory: float, share: float
) -> Floats:
    steps = random.normal(0, share * math.sqrt(1 - memory**2), shape)
    steps[0] /= math.sqrt(1 - memory**2)
    for place in range(1, shape[0]):
        steps[place] += memory * steps[place - 1]
    return steps


NOISES: Mapping[str, Noise] = {
    "normal": _normal,
    "lognormal": _lognormal,
    "bimodal": _bimodal,
    "drifting": _drifting,
    "wandering": _wandering,
    "own memory": _own_memory,
}


def runs(
    random: np.random.Generator,
    noise: Noise,
    share: float,
    ways: int,
    rounds: int,
    gain: float = 1.0,
) -> pd.DataFrame:
    """A sweep in turns. Only its first way is faster, by the factor gain."""
    order = np.argsort(random.random((rounds, ways)), axis=1) + ways * np.arange(rounds)[:, None]
    speed = 1e5 * np.exp(noise(random, order.astype(float), share))
    speed[:, 0] *= gain
    rows = [
        {
            "engine": "fio_virtio",
            "wait": "sleepy",
            "sleepy_poll": 10 * (way + 1),
            "iops": speed[repeat, way],
            "repeat": repeat + 1,
            "order": order[repeat, way],
        }
        for repeat in range(rounds)
        for way in range(ways)
    ]
    names = ("wait", "sleepy_poll")
    table = pd.DataFrame(rows).assign(ios=10_000, role=MEASURED, error=None)
    table["option_names"], table["counter_names"] = [names] * len(table), [()] * len(table)
    return derive(table)


@dataclass(frozen=True)
class Rate:
    """How often something was claimed."""

    name: str
    reports: int
    claimed: int

    @property
    def share(self) -> float:
        return self.claimed / self.reports

    @property
    def row(self) -> str:
        error = math.sqrt(max(self.share * (1 - self.share), 1 / self.reports) / self.reports)
        return f"| {self.name} | {self.reports} | {self.share:.1%} | ±{2 * error:.1%} |"


def _size(random: np.random.Generator) -> tuple[int, int]:
    """A number of ways and a number of rounds."""
    ways, rounds = (random.integers(*limits, endpoint=True) for limits in (WAYS, ROUNDS))
    return int(ways), int(rounds)


def false_reports(random: np.random.Generator, noise: str, reports: int) -> Rate:
    """Reports of equal ways that claim any difference."""
    claimed = 0
    for _ in range(reports):
        ways, rounds = _size(random)
        made = runs(random, NOISES[noise], random.choice(SHARES), ways, rounds)
        claimed += claims.study(made).claims > 0
    return Rate(f"report, {noise}", reports, claimed)


def false_comparisons(random: np.random.Generator, noise: str, reports: int) -> Rate:
    """Comparisons of two sweeps of the same that claim any difference."""
    claimed = 0
    for _ in range(reports):
        ways, rounds = _size(random)
        share = random.choice(SHARES)
        one, two = (runs(random, NOISES[noise], share, ways, rounds) for _ in range(2))
        claimed += any(change.comparison.differs for change in compare(one, two))
    return Rate(f"compare, {noise}", reports, claimed)


def found(random: np.random.Generator, ways: int, reports: int) -> Rate:
    """Reports that find a way that is really faster."""
    claimed = 0
    for _ in range(reports):
        made = runs(random, _normal, QUIET, ways, ENOUGH, DIFFERENCE)
        answer = claims.study(made).answers[0]
        claimed += answer.is_clear and answer.top == answer.names[0]
    name = f"a way of {ways} that is {DIFFERENCE - 1:.0%} faster is found"
    return Rate(f"{name}, {ENOUGH} rounds, noise {QUIET:.0%}", reports, claimed)


def rates(random: np.random.Generator, reports: int = REPORTS) -> Iterator[Rate]:
    """All lines of the table."""
    for noise in NOISES:
        yield false_reports(random, noise, reports)
    for noise in NOISES:
        yield false_comparisons(random, noise, reports)
    for ways in (2, 4, 12):
        yield found(random, ways, reports)


def table(lines: Sequence[Rate]) -> str:
    """A table in Markdown."""
    heading = "| simulated | reports | a difference is claimed in | two standard errors |\n"
    return heading + "| --- | --- | --- | --- |\n" + "".join(f"{line.row}\n" for line in lines)

# SPDX-License-Identifier: GPL-2.0-or-later
"""tune/tuner.py on a simulated disk, of which the truth is known."""

import math
import re

import pytest

from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.tune.budget import FEWEST_ROUNDS, Budget
from pyfio_virtio.tune.search import Workload
from pyfio_virtio.tune.setups import Axis, Setup
from pyfio_virtio.tune.tuner import Length, Result, Tuner
from tests.pyfio_virtio.tune.simulated import WORKLOADS, Disk, tuned

TUNINGS = 100
# With a confidence of 95%, 5 false claims are expected of 100 tunings; more than 10 are not chance.
MOST_FALSE = 10


def test_where_nothing_differs_it_claims_no_more_than_its_confidence_allows() -> None:
    judged = [tuned(Disk(seed))[1] for seed in range(TUNINGS)]
    assert sum(any(each.comparison.differs for each in goals) for goals in judged) <= MOST_FALSE


def test_where_nothing_differs_the_defaults_are_kept() -> None:
    assert [each.best for each in tuned(Disk(1))[1]] == ["the defaults"] * 3


def test_large_differences_are_found() -> None:
    effects = {"wait=busy": 0.5, "cpus=separate": 0.3}
    judged = [each for seed in range(10) for each in tuned(Disk(seed, effects))[1]]
    assert all(each.is_better and "wait=busy" in each.pair.leader for each in judged)
    assert sum("cpus=separate" in each.pair.leader for each in judged) > 0.8 * len(judged)


def test_the_interval_has_the_true_ratio() -> None:
    judged = [tuned(Disk(seed, {"wait=busy": 0.5}))[1][1] for seed in range(20)]
    intervals = [each.comparison.ratio.interval for each in judged if "busy" in each.pair.leader]
    assert sum(each.low <= math.exp(0.5) <= each.high for each in intervals) >= 18


def test_setups_that_are_worse_are_not_used() -> None:
    worse = {f"{n}={v}": -1.0 for work in WORKLOADS for axis in work.axes for n, v in _names(axis)}
    judged = tuned(Disk(1, worse))[1]
    assert [each.shown for each in judged] == ["the defaults are better"] * 3


def _names(axis: Axis) -> list[tuple[str, str]]:
    return [pair for value in axis.values[1:] for pair in value]


def test_the_search_is_not_part_of_the_comparison() -> None:
    disk = Disk(1)
    tuner, judged = tuned(disk)
    finding = tuner.findings()[0]
    compared = [length for _, _, length in disk.asked[-len(finding.fresh) * 5 :]]
    assert len({length.runtime_s for length in compared}) == 1
    assert min(order for order, _ in judged[0].pair.orders) > len(disk.asked) - len(compared)


@pytest.mark.parametrize("seconds", [0.5, 1.5, 3.0, 10.0, 30.0, 60.0, 600.0])
def test_the_time_is_kept(seconds: float) -> None:
    disk = Disk(1)
    tuned(disk, seconds)
    assert disk.now_s <= seconds


def test_most_of_the_time_is_used() -> None:
    disk = Disk(1)
    tuned(disk)
    assert disk.now_s > 50


def test_with_too_little_time_nothing_is_claimed() -> None:
    _, judged = tuned(Disk(1, {"wait=busy": 2.0}), 4.0)
    assert {each.shown for each in judged} == {"cannot tell"}


def test_with_no_round_of_comparison_the_sentence_has_no_numbers() -> None:
    _, judged = tuned(Disk(1, {"wait=busy": 2.0}), 3.0)
    sentence = r"\w[\w ]+: \S+ was not compared with the defaults; the defaults are kept\."
    assert all(re.fullmatch(sentence, each.sentence) for each in judged)


def test_a_setup_that_fails_is_left_out() -> None:
    disk = Disk(1, {"wait=busy": 1.0}, failing=["wait=busy"])
    tuner, judged = tuned(disk)
    assert tuner.failed == {"wait=busy": "it was refused"}
    assert not any("busy" in each.pair.leader for each in judged)
    assert sum("wait=busy" in str(setup) for _, setup, _ in disk.asked) < 3


class Hiccup(Disk):
    """One run of wait=busy fails in the comparison."""

    def __call__(self, workload: Workload, setup: Setup, round_: int, length: Length) -> Result:
        result = super().__call__(workload, setup, round_, length)
        is_chosen = self.now_s > 40 and "busy" in str(setup) and workload.name == "latency"
        if not is_chosen or self.has_failed:
            return result
        self.has_failed = True
        return Result({}, result.order, "it was refused")

    has_failed = False


def test_a_run_that_fails_in_the_comparison_is_told_and_the_other_rounds_count() -> None:
    tuner, judged = tuned(Hiccup(1, {"wait=busy": 1.0}))
    latency, finding = judged[0], tuner.findings()[0]
    rounds = len(finding.fresh)
    assert tuner.failed == {}
    assert (latency.is_better, latency.comparison.ratio.n) == (True, rounds - 1)
    assert latency.sentence.endswith(
        f" {latency.pair.leader} failed in 1 of {rounds} rounds, and only the others count: "
        "it was refused."
    )
    assert not any(each.pair.failures for each in judged[1:])


class SlowStart(Disk):
    """Its first run finds a busy machine."""

    def __call__(self, workload: Workload, setup: Setup, round_: int, length: Length) -> Result:
        result = super().__call__(workload, setup, round_, length)
        self.now_s += 4.0 if len(self.asked) == 1 else 0.0
        return result


def test_one_slow_run_does_not_end_everything() -> None:
    disk = SlowStart(1, {"wait=busy": 1.0})
    _, [latency] = tuned(disk, 14.0, of=WORKLOADS[:1])
    assert latency.is_better
    assert disk.now_s <= 14.0


@pytest.mark.parametrize("disk", [Disk, SlowStart])
def test_the_time_that_is_needed_is_enough(disk: type[Disk]) -> None:
    tuner, _ = tuned(disk(1), 8.0)
    assert tuner.rounds < FEWEST_ROUNDS
    longer, _ = tuned(disk(2), tuner.needed_s() + 2)
    assert longer.rounds >= FEWEST_ROUNDS
    assert tuner.needed_s() < 40


def test_without_time_for_a_run_none_is_made() -> None:
    disk = Disk(1)
    tuner, _ = tuned(disk, 0.5)
    assert (disk.asked, tuner.runs, tuner.rounds) == ([], 0, 0)
    assert tuner.needed_s() > 5


def test_a_run_that_the_end_of_the_time_cuts_has_not_failed() -> None:
    class Late(Disk):
        def __call__(self, workload: Workload, setup: Setup, round_: int, length: Length) -> Result:
            result = super().__call__(workload, setup, round_, length)
            if self.now_s < 58:
                return result
            self.now_s += 60
            return Result({}, result.order, "fio was killed")

    tuner, judged = tuned(Late(1))
    assert (tuner.failed, tuner.stopped) == ({}, "")
    assert not any(each.pair.failures for each in judged)


def test_defaults_that_fail_end_it() -> None:
    class Refusing(Disk):
        def __call__(self, *asked: object) -> Result:
            return Result({}, 1, "nobody listens")

    with pytest.raises(
        PyfioVirtioError, match="cannot measure the defaults for latency: nobody listens"
    ):
        tuned(Refusing(1))


def test_a_disk_that_goes_away_stops_the_comparison() -> None:
    class Dying(Disk):
        def __call__(self, workload: Workload, setup: Setup, round_: int, length: Length) -> Result:
            result = super().__call__(workload, setup, round_, length)
            return result if self.now_s < 45 else Result({}, result.order, "nobody listens")

    disk = Dying(1)
    tuner, _ = tuned(disk)
    assert tuner.stopped == "nobody listens"
    assert disk.now_s < 55


def test_what_was_learned_is_known_after_an_interruption() -> None:
    class Interrupted(Disk):
        def clock(self) -> float:
            if self.now_s > 20:
                raise KeyboardInterrupt
            return self.now_s

    disk = Interrupted(1, {"wait=busy": 1.0})
    tuner = Tuner(WORKLOADS, disk, Budget(60, disk.clock), disk.clock)
    with pytest.raises(KeyboardInterrupt):
        tuner.run()
    latency = tuner.findings()[0]
    assert "busy" in str(latency.leader)
    assert latency.looked > 0.5

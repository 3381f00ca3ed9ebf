# SPDX-License-Identifier: GPL-2.0-or-later
"""front.py: points that dominate others are found, and equal points are rarely said to."""

import math

import numpy as np
import pandas as pd
import pytest

from pyfio_virtio.analysis import family, front
from pyfio_virtio.analysis.front import Front, Tables, of_tables

MANY = 60
NAMES = ("a", "b", "c", "d")


def made(
    random: np.random.Generator,
    latency: list[float],
    cost: list[float],
    rounds: int = 12,
    noise: float = 0.03,
) -> Tables:
    """Rounds of points whose true latency and cost are known; the machine's speed varies."""
    speed = random.normal(0, 0.2, (rounds, 1))
    tables = [
        speed + np.log(true) + random.normal(0, noise, (rounds, len(true)))
        for true in (latency, cost)
    ]
    return Tables(NAMES[: len(latency)], *tables)


def one(latency: list[float], cost: list[float]) -> Front:
    return of_tables([made(np.random.default_rng(1), latency, cost)])[0]


@pytest.mark.parametrize(("points", "rounds"), [(4, 5), (3, 12)])
def test_equal_points_rarely_dominate(points: int, rounds: int) -> None:
    random = np.random.default_rng(points)
    equal = [1.0] * points
    wrong = sum(
        any(found.dominated for found in of_tables([made(random, equal, equal, rounds)] * 2))
        for _ in range(MANY)
    )
    share = 1 - family.CONFIDENCE
    assert wrong / MANY <= share + 3 * math.sqrt(share * (1 - share) / MANY)


def test_points_that_are_better_in_both_dominate() -> None:
    found = one([1.0, 1.2, 3.0, 0.5], [1.0, 1.2, 1.5, 4.0])
    assert found.front == ("a", "d")
    assert found.dominated == {"b": ("a",), "c": ("a", "b")}
    assert found.alike == ()


def test_better_in_one_and_equal_in_the_other_dominates() -> None:
    found = one([1.0, 1.0], [1.0, 1.5])
    assert found.dominated == {"b": ("a",)}


def test_a_point_that_may_be_worse_in_one_does_not_dominate() -> None:
    """It takes half of the CPU time, but with this noise its latency may be 5% more."""
    random = np.random.default_rng(4)
    loud = made(random, [1.0, 1.0], [1.0, 2.0], noise=0.3)
    [found] = of_tables([loud])
    assert found.dominated == {}
    assert found.alike == (("a", "b"),)


def test_a_point_that_is_a_little_worse_for_sure_does_not_dominate() -> None:
    random = np.random.default_rng(3)
    [found] = of_tables([made(random, [1.03, 1.0], [1.0, 2.0], noise=0.001)])
    assert found.dominated == {}
    assert found.alike == ()


def test_the_front_is_said_in_sentences(sweep: pd.DataFrame) -> None:
    [found] = front.fronts([sweep])
    sentences = list(front.sentences(found))
    assert sentences[0].startswith("On the front, because no point was shown to dominate them: ")
    assert any(each.startswith("Dominated (hollow symbols): ") for each in sentences)
    assert "together with a confidence of 95%" in sentences[-1]


def test_the_front_is_said_in_one_line() -> None:
    found = Front(("a", "b", "c"), {"c": ("b",)})
    assert front.line(found) == ("Latency against CPU time: dominated: c by b. On the front: a; b.")
    assert front.line(Front(("a", "b"))) == ""
    assert front.line(Front(reason="there are no two points to compare")) == ""


@pytest.mark.parametrize(
    ("rounds", "words"),
    [(4, "4 rounds cannot show which points dominate; 5 are needed"), (5, "")],
)
def test_too_few_rounds_name_no_front(sweep: pd.DataFrame, rounds: int, words: str) -> None:
    [found] = front.fronts([sweep[sweep["repeat"] <= rounds]])
    assert found.reason == words
    assert bool(found.points) == (words == "")


def test_without_turns_no_front_is_named(sweep: pd.DataFrame) -> None:
    one_by_one = sweep.sort_values(["way", "iodepth", "repeat"]).assign(order=range(len(sweep)))
    [found] = front.fronts([one_by_one])
    assert "not measured in turns" in front.title(found)
    assert list(front.sentences(found)) == []


def test_without_the_cpu_time_of_both_sides_there_is_no_front(sweep: pd.DataFrame) -> None:
    [found] = front.fronts([sweep.assign(cpu_us=np.nan)])
    assert (found.points, found.reason) == ((), "there are no two points to compare")


def test_a_circle_of_points_has_no_front() -> None:
    found = Front(("a", "b", "c"), {"a": ("b",), "b": ("c",), "c": ("a",)})
    assert next(front.sentences(found)).startswith("No point is on the front: within 5%, each")

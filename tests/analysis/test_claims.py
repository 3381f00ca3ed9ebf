# SPDX-License-Identifier: GPL-2.0-or-later
"""claims.py: each sentence appears where its data are true, and not where they are not."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench import claims as simulated
from pyfio_virtio.analysis import claims
from pyfio_virtio.analysis.frame import load
from tests.analysis import synthetic


def made(
    centres: dict[str, list[float]], rounds: int = 8, noise: float = 0.01, seed: int = 1
) -> pd.DataFrame:
    """Runs of ways at iodepth 1, 2, ...: the thousand IOPS of each way at each depth."""
    random = np.random.default_rng(seed)
    parts = []
    for depth, _ in enumerate(next(iter(centres.values()))):
        part = simulated.runs(random, simulated.NOISES["lognormal"], noise, len(centres), rounds)
        names = dict(zip(sorted(part["way"].unique(), key=_poll), centres, strict=True))
        part["way"] = part["way"].map(names)
        part["way_order"] = part["way"].map(list(centres).index).astype(float)
        part["iops"] *= part["way"].map(lambda name, at=depth: centres[name][at]) / 100
        part["iodepth"] = depth + 1
        part["order"] += depth  # the depths take turns too
        part["option_names"] = [("wait", "iodepth")] * len(part)
        parts.append(part.assign(iops_per_core=10 * part["iops"]))
    whole = pd.concat(parts, ignore_index=True)
    return whole.assign(order=whole["order"].rank(method="first"))


def _poll(way: str) -> float:
    return float(way.removeprefix("sleepy ").removesuffix(" µs"))


def headline(frame: pd.DataFrame) -> str:
    return claims.headline(claims.study(frame))


def test_a_way_that_wins_everywhere_is_named() -> None:
    frame = made({"event": [10, 20], "busy": [20, 40], "adaptive": [15, 30]})
    assert headline(frame) == "Busy has the most IOPS at all 2 iodepths measured."


def test_cannot_tell_is_not_equal() -> None:
    """Event wins nowhere and busy not everywhere, so neither is called best everywhere."""
    frame = made({"event": [10, 40], "busy": [20, 40.1]})
    assert headline(frame) == (
        "Busy has the most IOPS at 1 of the 2 iodepths measured; "
        "at the others, no better one was shown."
    )


def test_where_each_wins_is_said() -> None:
    frame = made({"event": [10, 40, 40], "busy": [20, 20, 20]})
    assert headline(frame) == (
        "The most IOPS, of 3 iodepths measured: busy at iodepth 1; event at iodepth 2 and 3."
    )


def test_where_none_wins_is_said_too() -> None:
    frame = made({"event": [10, 40, 40], "busy": [20, 20, 40]})
    assert headline(frame) == (
        "The most IOPS, of 3 iodepths measured: busy at iodepth 1; event at iodepth 2; "
        "none was shown to be the best at the other 1."
    )


def test_several_that_were_nowhere_beaten_may_be_the_best() -> None:
    frame = made({"event": [10, 40], "busy": [40, 40], "adaptive": [40, 40]})
    assert headline(frame) == (
        "Busy or adaptive may be the best: none of the others was shown to have more IOPS at any "
        "of the 2 iodepths measured."
    )


def test_differences_without_a_winner_anywhere_are_said() -> None:
    frame = made({"event": [10, 40, 40], "busy": [40, 10, 40], "adaptive": [40, 40, 10]})
    assert headline(frame) == "No way of waiting was shown to be better than all others anywhere."


def test_noise_shows_no_difference() -> None:
    frame = made({"event": [20, 20], "busy": [20, 20], "adaptive": [20, 20]}, noise=0.3)
    found = claims.study(frame)
    assert found.claims == 0
    assert claims.headline(found) == "No difference in IOPS between ways of waiting was shown."
    assert claims.title(found) == claims.headline(found)
    assert {answer.sentence for answer in found.answers} == {
        "At iodepth 1, no difference in IOPS was shown.",
        "At iodepth 2, no difference in IOPS was shown.",
    }


@pytest.mark.parametrize("rounds", [1, 2, 4])
def test_nothing_is_said_below_five_rounds(rounds: int) -> None:
    found = claims.study(made({"event": [1], "busy": [100]}, rounds=rounds))
    assert found.claims == 0
    assert found.answers == ()
    assert "too few to show a difference; 5 are needed." in claims.headline(found)


def test_of_a_place_with_too_few_rounds_nothing_is_said() -> None:
    frame = made({"event": [10, 10], "busy": [20, 20]})
    few = frame[(frame["iodepth"] == 1) | (frame["repeat"] <= 3)]
    found = claims.study(few)
    assert [answer.where for answer in found.answers] == [{"iodepth": 1}]
    assert claims.headline(found).endswith(" 1 more has too few rounds to say anything.")


def test_a_gain_is_said_with_its_interval() -> None:
    found = claims.study(made({"event": [10, 10], "busy": [20, 30]}))
    title = claims.title(found)
    gain = found.answers[1].gain()
    assert gain is not None
    low, high = gain.ratio.interval.low, gain.ratio.interval.high
    assert title == (
        f"Busy gives {gain.ratio.value:.2f} ({low:.2f} to {high:.2f}) times the IOPS of event "
        "at iodepth 2"
    )


def test_an_answer_names_what_was_not_shown_to_differ_and_the_efficiency() -> None:
    frame = made({"event": [10], "busy": [30.1], "adaptive": [30]})
    sentence = claims.study(frame).answers[0].sentence
    assert sentence.split()[1:6] == ["has", "the", "highest", "median", "of"]
    assert " No difference from " in sentence
    assert "times those of event, with 300k IOPS per core instead of 100k." in sentence


def test_rounds_that_say_the_opposite_are_counted_beside_a_claim() -> None:
    """Runs of a busy machine, whose other programs took the CPU of busy in most rounds."""
    busy = [3.2, 258, 2.3, 2.2, 1.9, 2.9, 2.0, 268, 1.1, 0.95, 0.99, 235]
    event = [65, 67, 60, 47, 67, 67, 67, 30, 44, 43, 27, 114]
    frame = made({"event": [10], "busy": [10]}, rounds=len(busy))
    for way, values in (("busy", busy), ("event", event)):
        frame.loc[frame["way"] == way, "iops"] = [1000.0 * each for each in values]
    sentence = claims.study(frame).answers[0].sentence
    assert "times those of busy (which had more in 3 of 12 rounds)" in sentence
    agreed = claims.study(made({"event": [10], "busy": [20]})).answers[0].sentence
    assert "which had more" not in agreed


def test_a_clear_answer_does_not_speak_of_rivals() -> None:
    sentence = claims.study(made({"event": [10], "busy": [30]})).answers[0].sentence
    assert sentence.startswith("Busy has the most IOPS: 29.9k, 3.00 (")
    assert "No difference" not in sentence


def test_a_cheaper_way_is_mentioned_only_if_both_are_shown() -> None:
    frame = made({"event": [10], "busy": [30], "adaptive": [29]})
    frame.loc[frame["way"] == "adaptive", "iops_per_core"] *= 2
    saying = claims.study(frame).answers[0].sentence
    assert " Adaptive reaches at least 9" in saying
    assert " times the IOPS per core." in saying
    frame.loc[frame["way"] == "adaptive", "iops"] *= 0.85  # too slow to mention it
    assert "reaches" not in claims.study(frame).answers[0].sentence
    loud = made({"event": [10], "busy": [30], "adaptive": [29]}, noise=0.3)
    loud.loc[loud["way"] == "adaptive", "iops_per_core"] *= 2
    assert "reaches" not in claims.study(loud).answers[0].sentence


def test_depths_are_compared_if_there_is_one_way() -> None:
    frame = made({"event": [10, 20, 40]})
    found = claims.study(frame)
    assert found.subject == "iodepth"
    assert claims.headline(found).startswith("iodepth=3 has the most IOPS: 39.9k")


def test_a_single_point_has_nothing_to_be_compared_with() -> None:
    assert headline(made({"busy": [10]})) == (
        "There is only one point, so there is nothing to compare."
    )


def test_failed_runs_alone_are_no_result() -> None:
    frame = made({"event": [10], "busy": [20]}).assign(error="fio said no")
    assert headline(frame) == "No run of a point succeeded."


def test_points_that_were_not_measured_in_turns_are_not_compared() -> None:
    frame = made({"event": [10], "busy": [20]})
    one_by_one = frame.sort_values(["way", "repeat"]).assign(order=range(len(frame)))
    assert "not in turns" in headline(one_by_one)
    assert claims.study(one_by_one).claims == 0


def test_too_many_alternatives_are_not_compared() -> None:
    many = {f"way {number}": [10.0 + number] for number in range(claims.MOST_ALTERNATIVES + 1)}
    assert "too many to compare" in headline(made(many, rounds=5))


def test_runs_with_a_set_rate_do_not_count(tmp_path: Path) -> None:
    synthetic.write_sweep(tmp_path, polls=(0, 20), waits=(), depths=(32,), rates=(None, 50))
    found = claims.study(load(tmp_path))
    assert all(answer.medians["event"].value > 5e5 for answer in found.answers)


def test_rounds_of_two_sweeps_are_not_mixed() -> None:
    """The second sweep ran on a machine that was ten times as fast."""
    first = made({"event": [10], "busy": [20]}, rounds=5).assign(source="a")
    second = made({"event": [100], "busy": [200]}, rounds=5, seed=2).assign(source="b")
    [answer] = claims.study(pd.concat([first, second], ignore_index=True)).answers
    ratio = answer.iops["event", "busy"].ratio
    assert ratio.n == 10
    assert ratio.value == pytest.approx(2, rel=0.02)


def test_a_loser_is_never_the_top() -> None:
    """Its median is the highest by a few lucky rounds that the winner did not have."""
    frame = made({"event": [10], "busy": [20]})
    lucky = frame[(frame["way"] == "event") & (frame["repeat"] <= 5)]
    lucky = lucky.assign(iops=1e9, repeat=lucky["repeat"] + 100, order=lucky["order"] + 100)
    more = lucky.assign(repeat=lucky["repeat"] + 100)
    answer = claims.study(pd.concat([frame, lucky, more.assign(order=more["order"] + 50)])).answers[
        0
    ]
    assert answer.medians["event"].value > answer.medians["busy"].value
    assert answer.top == "busy"


@pytest.mark.parametrize("noise", simulated.NOISES)
def test_reports_of_equal_ways_rarely_claim_a_difference(noise: str) -> None:
    rate = simulated.false_reports(np.random.default_rng(3), noise, 25)
    assert rate.claimed <= 4, "5% of 25 reports, with three standard errors"


def test_comparisons_of_the_same_rarely_claim_a_difference() -> None:
    rate = simulated.false_comparisons(np.random.default_rng(4), "bimodal", 25)
    assert rate.claimed <= 4


def test_a_difference_of_10_percent_is_found() -> None:
    assert simulated.found(np.random.default_rng(5), 4, 20).claimed >= 18


def test_alternatives_that_never_met_are_not_called_one_point() -> None:
    frame = made({"event": [10, 10], "busy": [20, 20]})
    apart = frame[(frame["way"] == "busy") == (frame["iodepth"] == 2)]
    assert headline(apart) == (
        "No two ways of waiting were measured with the same values of the other axes, "
        "so there is nothing to compare."
    )


def test_rounds_in_which_a_rival_failed_do_not_count() -> None:
    frame = made({"event": [10], "busy": [20]})
    frame.loc[(frame["way"] == "busy") & (frame["repeat"] > 2), "error"] = "fio said no"
    assert "2 rounds with results of two of the ways of waiting are too few" in headline(frame)
    frame["error"] = None
    frame.loc[(frame["way"] == "busy") & (frame["repeat"] > 1), "iops"] = np.nan
    assert "1 round with results of two of the ways of waiting is too few" in headline(frame)


@pytest.mark.parametrize(
    ("depths", "words"), [((1.0, 32.0), "At iodepth 32, "), ((8.0, np.nan), "At no iodepth, ")]
)
def test_a_place_is_named_as_the_user_wrote_it(depths: tuple[float, float], words: str) -> None:
    frame = made({"event": [10, 10], "busy": [20, 20]})
    frame["iodepth"] = frame["iodepth"].map(dict(zip((1, 2), depths, strict=True)))
    sentences = [answer.sentence for answer in claims.study(frame).answers]
    assert [each.startswith(words) for each in sentences].count(True) == 1
    assert not any(".0," in each or "nan" in each for each in sentences)

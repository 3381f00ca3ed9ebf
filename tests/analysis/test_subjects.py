# SPDX-License-Identifier: GPL-2.0-or-later
"""Sweeps that compare back-ends, builds of the engine or programs fio, instead of waits."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from pyfio_virtio.analysis import checks, claims, compare, frame, load, picture_names, report
from pyfio_virtio.analysis.names import FOLDER, SUBJECTS, ColumnError
from tests.analysis.synthetic import write_sweep

COMPARED = [name for name in SUBJECTS if name not in ("way", FOLDER)]


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """A sweep of one way of waiting at three depths, in twelve rounds."""
    path = tmp_path_factory.mktemp("sweep") / "out"
    write_sweep(path, polls=(), waits=("busy",), depths=(1, 8, 32), repeats=12, controls=False)
    return load(path)


def both(runs: pd.DataFrame, column: str, ratio: float, names: tuple[str, str]) -> pd.DataFrame:
    """The runs of two things of which the second has `ratio` of the IOPS of the first."""
    random = np.random.default_rng(2)
    parts = []
    for place, name in enumerate(names):
        part = runs.assign(**{column: name}, order=2 * runs["order"] + place)
        part["iops"] = part["iops"] * (ratio if place else 1) * random.lognormal(0, 0.01, len(part))
        part["iops_per_core"] *= random.lognormal(0, 0.01, len(part))
        part["cpu_us"] = 1e6 / part["iops_per_core"]
        part["option_names"] = [(*each, column) for each in part["option_names"]]
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("column", COMPARED)
@pytest.mark.parametrize(("ratio", "top"), [(0.8, "alpha"), (1.25, "beta")])
def test_what_is_compared_is_named_in_every_sentence(
    single: pd.DataFrame, column: str, ratio: float, top: str
) -> None:
    runs = both(single, column, ratio, ("alpha", "beta"))
    assert frame.subject(runs) == column
    found = claims.study(runs)
    page = report.markdown(runs)
    assert f"Which {SUBJECTS[column][0]} serves" in page
    assert f"{top.capitalize()} has the most IOPS at all 3 iodepths measured." in page
    other = {"alpha": "beta", "beta": "alpha"}[top]
    for answer in found.answers:
        times = re.search(rf"([\d.]+) \(.*\) times those of {other}", answer.sentence)
        assert times
        assert float(times[1]) == pytest.approx(1.25, abs=0.03)
    assert column not in page


@pytest.mark.parametrize("column", COMPARED)
def test_every_picture_shows_what_is_compared(single: pd.DataFrame, column: str) -> None:
    runs = both(single, column, 0.8, ("alpha", "beta"))
    for name in ("iops", "p99", "latency", "cost"):
        figure = picture_names.draw(runs, name)
        texts = {each.get_text() for each in figure.findobj(Text) if isinstance(each, Text)}
        assert {"alpha", "beta"} <= texts, name


def test_a_name_that_is_a_number_is_no_place_on_an_axis(single: pd.DataFrame) -> None:
    runs = both(single, "backend_name", 0.8, ("2", "10"))
    assert claims.study(runs).answers[0].names == ("2", "10")
    picture_names.draw(runs[runs["iodepth"] == 1], "iops")


def test_ways_of_waiting_are_places_beside_back_ends(tmp_path: Path) -> None:
    write_sweep(tmp_path / "out", polls=(0,), waits=("busy",), depths=(1,), repeats=12)
    found = claims.study(both(load(tmp_path / "out"), "backend_name", 0.8, ("old", "new")))
    assert [answer.where["way"] for answer in found.answers] == ["event", "busy"]
    assert found.answers[1].sentence.startswith("At busy, old has the most IOPS")


def test_two_sweeps_of_one_back_end_each_are_compared(single: pd.DataFrame) -> None:
    runs = both(single, "backend_name", 0.8, ("old", "new"))
    old, new = (runs[runs["backend_name"] == name] for name in ("old", "new"))
    changes = compare.compare(old, new)
    assert [change.missing for change in changes] == ["", "", ""]


def test_two_releases_that_are_compared_are_no_other_environment(single: pd.DataFrame) -> None:
    runs = both(single, "fio_program", 0.8, ("old", "new"))
    runs["fio_version"] = runs["fio_program"].map({"old": "old: fio-3.33", "new": "new: fio-3.41"})
    assert not checks.unlike(runs)
    runs.loc[runs.index[-1], "fio_version"] = "new: fio-3.42"
    assert checks.unlike(runs)


def test_parts_of_one_sweep_are_compared_round_by_round(single: pd.DataFrame) -> None:
    """A drift of the machine that is ten times the difference hides it only between two sweeps."""
    runs = both(single, "backend_name", 0.9, ("old", "new"))
    runs["iops"] *= np.exp(np.log(2) * runs["repeat"] / 12)
    old, new = (compare.of_alternative(runs, name) for name in compare.alternatives(runs)[::-1])
    assert compare.in_turns(old, new)
    assert all(change.judged(0.05) == "worse" for change in compare.compare(old, new))
    apart = [old.assign(source="a"), new.assign(source="b")]
    assert not compare.in_turns(*apart)
    changes = compare.compare(apart[0], apart[1])
    assert all(change.judged(0.05) == "unsettled" for change in changes)


@pytest.mark.parametrize(("repeats", "is_advised"), [(5, True), (12, False)])
def test_more_rounds_are_advised_where_they_may_help(
    tmp_path: Path, repeats: int, is_advised: bool
) -> None:
    write_sweep(tmp_path / "out", polls=(), waits=("busy",), depths=(1,), repeats=repeats)
    runs = both(load(tmp_path / "out"), "backend_name", 1.0, ("a", "b"))
    assert ("--repeats 12 adds rounds" in report.markdown(runs)) == is_advised


def test_a_difference_in_cpu_cost_is_said_where_none_in_iops_was_shown(
    single: pd.DataFrame,
) -> None:
    runs = both(single, "backend_name", 1.0, ("dear", "cheap"))
    runs.loc[runs["backend_name"] == "cheap", "iops_per_core"] *= 2
    for answer in claims.study(runs).answers:
        assert "no difference in IOPS was shown; " in answer.sentence
        assert ". Cheap has more IOPS per core than dear: " in answer.sentence
    assert "has more IOPS per core" not in report.markdown(
        both(single, "backend_name", 1.0, ("a", "b"))
    )


def test_a_winner_at_some_points_is_named_first(single: pd.DataFrame) -> None:
    runs = both(single, "backend_name", 1.0, ("old", "new"))
    runs.loc[(runs["backend_name"] == "new") & (runs["iodepth"] > 1), "iops"] *= 1.2
    assert claims.headline(claims.study(runs)) == (
        "New has the most IOPS at 2 of the 3 iodepths measured; "
        "at the others, no better one was shown."
    )


@pytest.mark.parametrize("metric", ["iops", "iops_per_core", "cpu_us"])
def test_a_comparison_within_a_sweep_says_what_its_report_says(
    single: pd.DataFrame, metric: str
) -> None:
    """Alone, a few series cannot show that they do not resemble themselves."""
    runs = both(single, "backend_name", 0.9, ("old", "new"))
    found = claims.study(runs)
    old, new = (compare.of_alternative(runs, name) for name in ("old", "new"))
    changes = compare.compare(old, new, metric, names=("old", "new"), study=found)
    for change, answer in zip(changes, found.answers, strict=True):
        said = (answer.iops if metric == "iops" else answer.per_core)["old", "new"].ratio
        bounds = np.array([said.interval.low, said.value, said.interval.high])
        if metric == "cpu_us":
            bounds = 1 / bounds[::-1]
        found_ratio = change.comparison.ratio
        told = [found_ratio.interval.low, found_ratio.value, found_ratio.interval.high]
        assert told == pytest.approx(bounds.tolist())


def test_a_picture_that_mixes_runs_says_so(single: pd.DataFrame) -> None:
    runs = both(single, "backend_name", 0.9, ("old", "new"))
    mixed = "each value mixes runs that differ in iodepth"
    for x, by, is_mixed in (("backend_name", None, True), ("iodepth", "backend_name", False)):
        figure = picture_names.draw_columns(runs, x, "cpu_us", by)
        texts = " ".join(each.get_text() for each in figure.findobj(Text) if isinstance(each, Text))
        assert (mixed in " ".join(texts.split())) == is_mixed
        assert "µs of CPU per I/O: median" in texts  # and not M for a capital µ


def test_how_much_was_not_shown_is_said(single: pd.DataFrame) -> None:
    runs = both(single, "backend_name", 1.0, ("a", "b"))
    for answer in claims.study(runs).answers:
        assert re.search(r"no difference in IOPS was shown; any is below [\d.]+%", answer.sentence)


@pytest.mark.parametrize(("name", "near"), [("cpu", "cpu_us"), ("p99", "p99_ns"), ("lat", "lat_")])
def test_a_column_that_is_none_has_its_neighbours(
    single: pd.DataFrame, name: str, near: str
) -> None:
    with pytest.raises(ColumnError, match=rf"did you mean .*{near}.*choose one such as iops"):
        frame.require_numbers(single, name)

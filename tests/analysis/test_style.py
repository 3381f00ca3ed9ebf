# SPDX-License-Identifier: GPL-2.0-or-later
"""style.py: labels apart, numbers as people say them, files that never differ."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from pyfio_virtio.analysis import style

PLACES = st.lists(st.floats(0, 1), max_size=12).map(sorted)


@given(PLACES)
def test_spread_keeps_labels_apart_and_in_order(places: list[float]) -> None:
    moved = style.spread(places, 0.05)
    assert len(moved) == len(places)
    assert all(b - a >= 0.05 - 1e-9 for a, b in itertools.pairwise(moved))


@given(PLACES)
def test_spread_moves_no_more_than_it_must(places: list[float]) -> None:
    if all(b - a >= 0.05 for a, b in itertools.pairwise(places)):
        assert style.spread(places, 0.05) == pytest.approx(places)
    else:
        assert sum(style.spread(places, 0.05)) == pytest.approx(sum(places))


def test_labels_of_ends_follow_a_change_of_scale() -> None:
    axes = style.figure().add_subplot()
    axes.set_ylim(0, 10)
    style.end_labels(axes, [(1, 8, "high", "black"), (1, 2, "low", "black")])
    axes.set_ylim(0, 100)
    heights = {label.get_text(): label.get_position()[1] for label in axes.texts}
    assert heights == pytest.approx({"high": 0.08, "low": 0.02}, abs=0.03)
    assert heights["high"] > heights["low"]


@pytest.mark.parametrize(
    ("value", "text"), [(2_610_000, "2.61M"), (85_000, "85k"), (999_900, "1M"), (0.351, "0.351")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert style.short(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(999, "999 ns"), (1000, "1 µs"), (2.5e6, "2.5 ms"), (3e9, "3 s")]
)
def test_times_have_the_unit_that_suits_them(value: float, text: str) -> None:
    assert style.duration(value) == text


def picture() -> Figure:
    with style.look():
        drawing = style.figure()
        axes = drawing.add_subplot()
        axes.plot([1, 2], [3, 4], **style.series(0))
        style.titles(axes, "busy is best", "fio-3.33")
        style.end_labels(axes, [(2, 4, "one", style.INK), (2, 4, "two", style.INK)])
    return drawing


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_equal_pictures_make_equal_files(tmp_path: Path, kind: str) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.{kind}").write_bytes(style.image(picture(), f".{kind}"))
    assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_a_picture_in_a_page_takes_the_page_s_colours_and_own_names() -> None:
    svg = style.inline_svg(picture(), "p1", 'says "x" & <y>')
    assert 'aria-label="says &quot;x&quot; &amp; &lt;y>"' in svg
    assert "currentColor" in svg
    assert "var(--series-1)" in svg
    assert style.INK not in svg
    assert svg.count('id="') == svg.count('id="p1-')
    assert svg.startswith("<svg")


def test_nine_series_never_look_alike_twice_in_a_row() -> None:
    looks = [tuple(map(str, style.series(number).values())) for number in range(8)]
    assert len(set(looks)) == 8


def test_titles_keep_the_small_letter_of_percentiles() -> None:
    with style.look():
        axes = style.figure().add_subplot()
        style.titles(axes, "p99 is low", "")
        assert style.finding_of(axes) == "p99 is low"
        style.prefix_finding(axes, "iodepth 1")
        assert style.finding_of(axes) == "iodepth 1: p99 is low"


def test_the_caller_s_settings_come_back() -> None:
    import matplotlib

    before = matplotlib.rcParams["axes.grid"]
    with style.look():
        assert matplotlib.rcParams["axes.grid"] is True
    assert matplotlib.rcParams["axes.grid"] == before


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (5e-5, "0.00005"),
        (0.00977, "0.00977"),
        (12.34, "12.3"),
        (110, "110"),
        (1234.5, "1,234"),
    ],
)
def test_a_number_has_no_exponent(value: float, text: str) -> None:
    assert style.number(value) == text

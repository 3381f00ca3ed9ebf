# SPDX-License-Identifier: GPL-2.0-or-later
"""plots.py and timeplots.py: what is drawn is what was measured, and labels say so."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from pyfio_virtio.analysis import columns, front, latency, plots, style, timeplots
from pyfio_virtio.analysis.frame import histogram, measured, points
from pyfio_virtio.results.results import COUNTERS, ResultsError

Draw = Callable[[pd.DataFrame, Axes], Axes]


def data(line: Line2D) -> tuple[list[float], list[float]]:
    x, y = (np.asarray(each, float).tolist() for each in (line.get_xdata(), line.get_ydata()))
    return x, y


def marks(axes: Axes) -> list[tuple[float, float]]:
    """Every point that bears a marker."""
    return [
        place
        for line in axes.lines
        if line.get_marker() not in ("None", "", "|")
        for place in zip(*data(line), strict=True)
    ]


def texts(axes: Axes) -> str:
    legend = axes.get_legend()
    named = [text.get_text() for text in legend.get_texts()] if legend else []
    return "\n".join([text.get_text() for text in axes.texts] + named)


def at_depth(runs: pd.DataFrame, depth: int) -> pd.DataFrame:
    return runs[(runs["iodepth"] == depth) & (runs["role"] == "measured")]


def one_point(runs: pd.DataFrame) -> pd.DataFrame:
    return at_depth(runs, 128).query("way == 'sleepy 5 µs'")


def test_iops_has_a_mark_for_each_point(sweep: pd.DataFrame, axes: Axes) -> None:
    plots.iops(sweep, axes)
    table = points(sweep, ["way", "iodepth"])
    assert sorted(y for _, y in marks(axes)) == sorted(table["iops"])
    labels = [label.get_text() for label in axes.get_xticklabels()]
    sleepy = [f"sleepy\n{length} µs" for length in (5, 20, 100)]
    assert labels == ["event", *sleepy, "busy", "adaptive"]
    for depth in (1, 32, 128):
        assert f"iodepth {depth}" in texts(axes)
    assert "fio-3.33" in texts(axes)
    assert style.finding_of(axes).startswith("Busy gives 2")


def test_only_the_sleeps_are_joined(sweep: pd.DataFrame, axes: Axes) -> None:
    plots.iops(sweep, axes)
    joined = [line for line in axes.lines if line.get_linestyle() != "None"]
    assert all(data(line)[0] == [1, 2, 3] for line in joined)


def test_whiskers_are_the_intervals(sweep: pd.DataFrame, axes: Axes) -> None:
    plots.iops(sweep, axes)
    drawn = {
        tuple(float(y) for _, y in segment)
        for group in axes.collections
        for segment in getattr(group, "get_segments", list)()
    }
    table = points(sweep, ["way", "iodepth"])
    assert drawn == set(zip(table["iops_low"], table["iops_high"], strict=True))


def test_p99_draws_merged_percentiles(sweep: pd.DataFrame, axes: Axes) -> None:
    plots.p99(sweep, axes)
    event = at_depth(sweep, 1).query("way == 'event'")
    assert latency.percentile(histogram(event), 99.0) in [y for _, y in marks(axes)]
    assert axes.get_yscale() == "log"


def test_latency_by_iops_names_its_knee(rated: pd.DataFrame, axes: Axes) -> None:
    plots.latency_by_iops(rated, axes)
    assert "the medians bend (circles) for event at" in style.finding_of(axes)
    assert "delayed I/Os" in texts(axes)
    for way in ("event", "sleepy 20 µs"):
        assert way in texts(axes)


def test_latency_by_iops_goes_by_depth_without_rates(sweep: pd.DataFrame, axes: Axes) -> None:
    plots.latency_by_iops(sweep, axes)
    assert len(marks(axes)) >= 18


def test_percentiles_end_where_the_sample_does(sweep: pd.DataFrame, axes: Axes) -> None:
    runs = at_depth(sweep, 1)
    plots.percentiles(runs, axes)
    for way, group in runs.groupby("way"):
        whole = histogram(group)
        last = latency.supported(whole)[-1]
        line = next(each for each in axes.lines if each.get_label() == way)
        assert line.get_marker() in style.MARKERS
        ends = [each for each in axes.lines if each.get_color() == line.get_color()]
        reach = max(max(data(each)[0]) for each in ends if data(each)[0])
        assert reach == pytest.approx(-np.log10(1 - last / 100))
    assert "p99 of lat between" in style.finding_of(axes)


def test_cost_splits_fio_from_the_back_end(sweep: pd.DataFrame, axes: Axes) -> None:
    plots.cost_by_latency(sweep, axes)
    table = points(sweep, ["way", "iodepth"])
    ends = {float(x) for x, _ in marks(axes)}
    assert set(table["cpu_us"]) <= ends
    ticks = [x for line in axes.lines if line.get_marker() == "|" for x in data(line)[0]]
    assert sorted(ticks) == sorted(table["fio_cpu_us"])
    assert style.finding_of(axes).endswith(
        " were not shown to be dominated in latency and CPU time"
    )
    [found] = front.fronts([sweep])
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == style.PAPER]
    assert sum(len(data(line)[0]) for line in hollow) == len(found.dominated) > 0


def test_counters_are_written_beside_their_bars(sweep: pd.DataFrame, axes: Axes) -> None:
    runs = at_depth(sweep, 1)
    plots.counters_by_wait(runs, axes)
    table = points(runs, ["way"], ("iops",))
    assert "Looks per I/O" in style.finding_of(axes)
    for value in table["looks_per_io"]:
        assert f"{value:.2g}" in texts(axes)
    widths = [bar.get_width() for bar in axes.patches if hasattr(bar, "get_width")]
    assert max(widths) == pytest.approx(0.55)


def test_iops_over_time_marks_the_ramp_and_the_median(sweep: pd.DataFrame, axes: Axes) -> None:
    point = one_point(sweep)
    timeplots.iops_over_time(point, axes)
    assert "ramp, not counted" in texts(axes)
    assert f"median\n{style.short(point['iops'].median())}" in texts(axes)
    assert len([line for line in axes.lines if len(data(line)[0]) > 2]) == 5
    assert "steady (range" in style.finding_of(axes)
    assert axes.get_ylim()[0] == 0


def test_iops_over_time_marks_when_the_back_end_was_away(
    sweep: pd.DataFrame, axes: Axes, tmp_path: Path
) -> None:
    point = one_point(sweep).iloc[[0]]
    folder = shutil.copytree(Path(point["fio_json"].iloc[0]).parent, tmp_path / "run")
    (folder / COUNTERS).write_text(json.dumps({"queues": [{"absences": [[2.0, 2.5], [3, 4]]}]}))
    timeplots.iops_over_time(point.assign(fio_json=str(folder / "fio.json")), axes)
    assert texts(axes).count("back-end away") == 1
    spans = [patch.get_extents().bounds for patch in axes.patches[-2:]]
    assert spans[1][2] == pytest.approx(2 * spans[0][2])  # twice as wide


def test_the_heat_map_shows_the_stall_and_who_was_busy(sweep: pd.DataFrame, axes: Axes) -> None:
    timeplots.latency_heatmap(one_point(sweep), axes)
    assert "p99 rises to" in style.finding_of(axes)
    assert " at 4." in style.finding_of(axes)
    strip = next(each for each in style.root_of(axes).axes if each.get_ylabel() == "% of a CPU")
    assert texts(strip) == "fio\nback-end\nsteal"
    assert max(data(strip.lines[2])[1]) == 12.0


@pytest.mark.parametrize("draw", [timeplots.iops_over_time, timeplots.latency_heatmap])
def test_time_is_of_one_point_only(sweep: pd.DataFrame, axes: Axes, draw: Draw) -> None:
    with pytest.raises(ResultsError, match="only one point"):
        draw(sweep, axes)


@pytest.mark.parametrize(
    "draw",
    [
        plots.iops,
        plots.p99,
        plots.latency_by_iops,
        plots.cost_by_latency,
        plots.counters_by_wait,
        plots.percentiles,
    ],
)
def test_unlike_runs_are_never_mixed_into_a_point(
    sweep: pd.DataFrame, axes: Axes, draw: Draw
) -> None:
    mixed = sweep.assign(bs=np.where(sweep["repeat"] > 2, "4k", "64k"))
    with pytest.raises(ResultsError, match=r"bs (varies|and iodepth vary) among these runs"):
        draw(mixed, axes)


def test_any_column_goes_against_any_other(sweep: pd.DataFrame, axes: Axes) -> None:
    columns.xy(sweep, axes, "iodepth", "iops", "way")
    table = points(sweep, ["iodepth", "way"])
    assert sorted(y for _, y in marks(axes)) == sorted(table["iops"])
    assert "sleepy 5 µs" in texts(axes)
    assert style.finding_of(axes).startswith("IOPS: medians between")


def test_words_make_an_axis_too(sweep: pd.DataFrame, axes: Axes) -> None:
    columns.xy(at_depth(sweep, 1), axes, "way", "p99_ns")
    assert axes.get_xticklabels()[0].get_text() == "event"


def test_an_unknown_column_is_refused_with_those_there_are(sweep: pd.DataFrame, axes: Axes) -> None:
    with pytest.raises(ResultsError, match=r"no column depth; did you mean iodepth"):
        columns.xy(sweep, axes, "depth", "iops")


def test_small_multiples_have_a_panel_a_value_and_one_scale(sweep: pd.DataFrame) -> None:
    with style.look():
        drawing = columns.small_multiples(sweep, "iodepth", plots.percentiles)
        assert_readable(drawing)
    found = [style.finding_of(axes).split(":")[0] for axes in drawing.axes]
    assert found == ["iodepth 1", "iodepth 32", "iodepth 128"]
    assert len({axes.get_ylim() for axes in drawing.axes}) == 1


EVERY: list[tuple[Draw, Callable[[pd.DataFrame], pd.DataFrame]]] = [
    (plots.iops, pd.DataFrame.copy),
    (plots.p99, pd.DataFrame.copy),
    (plots.latency_by_iops, pd.DataFrame.copy),
    (plots.cost_by_latency, pd.DataFrame.copy),
    (plots.percentiles, lambda runs: at_depth(runs, 32)),
    (plots.counters_by_wait, lambda runs: at_depth(runs, 32)),
    (timeplots.iops_over_time, one_point),
    (timeplots.latency_heatmap, one_point),
    (lambda runs, axes: columns.xy(runs, axes, "iodepth", "iops", "way"), pd.DataFrame.copy),
]


def text_boxes(drawing: Figure) -> list[tuple[str, tuple[float, float, float, float]]]:
    drawing.draw_without_rendering()
    return [
        (text.get_text(), text.get_window_extent().extents)
        for axes in drawing.axes
        for text in [*axes.get_children(), axes.xaxis.label, axes.yaxis.label]
        if isinstance(text, Text) and text.get_text()
    ]


@pytest.mark.parametrize(("draw", "choose"), EVERY)
def test_no_text_is_cropped_or_over_another(
    sweep: pd.DataFrame, draw: Draw, choose: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    with style.look():
        drawing = style.figure()
        draw(choose(sweep), drawing.add_subplot())
        assert_readable(drawing)


def assert_readable(drawing: Figure) -> None:
    """No text leaves the picture or lies over another."""
    boxes = text_boxes(drawing)
    width, height = drawing.bbox.size
    for number, (text, (left, low, right, high)) in enumerate(boxes):
        inside = left >= -1 and low >= -1 and right <= width + 1 and high <= height + 1
        assert inside, f"{text!r} is cropped"
        for other, (left2, low2, right2, high2) in boxes[:number]:
            across = min(right, right2) - max(left, left2)
            up = min(high, high2) - max(low, low2)
            assert across < 1 or up < 2.5, f"{text!r} lies over {other!r}"


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_a_picture_is_the_same_every_time(sweep: pd.DataFrame, tmp_path: Path, kind: str) -> None:
    for name in ("a", "b"):
        with style.look():
            drawing = style.figure()
            plots.iops(measured(sweep), drawing.add_subplot())
        (tmp_path / f"{name}.{kind}").write_bytes(style.image(drawing, f".{kind}"))
    assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_more_lines_than_can_be_told_apart_are_thinned(sweep: pd.DataFrame, axes: Axes) -> None:
    every = sweep[sweep["iodepth"] == 1]
    many = pd.concat([every.assign(iodepth=depth) for depth in range(1, 31)], ignore_index=True)
    plots.iops(many, axes)
    labels = [text for text in texts(axes).split("\n") if text.startswith("iodepth")]
    assert (len(labels), labels[0], labels[-1]) == (8, "iodepth 1", "iodepth 30")
    assert "8 of 30 lines are drawn" in texts(axes).replace("\n", " ")

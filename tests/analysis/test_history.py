# SPDX-License-Identifier: GPL-2.0-or-later
"""history.py: changes over many sweeps are found, and noise is not called a change."""

from pathlib import Path

import numpy as np
import pytest

from pyfio_virtio.analysis import drawing, history, report
from pyfio_virtio.analysis.family import Floats
from pyfio_virtio.errors import UsageError
from pyfio_virtio.results.results import RUNS, ResultsError
from tests.analysis import synthetic

POINTS = ("event", "busy")


def medians(sweeps: int, seed: int, step: float = 1.0, at: int = 0) -> Floats:
    """Two points with 2% of noise between sweeps; the second changes by the factor step."""
    table = 1e5 * np.random.default_rng(seed).lognormal(0, 0.02, (2, sweeps))
    table[1, at:] *= step
    return table


def found(table: Floats) -> history.History:
    count = table.shape[1]
    names = tuple(f"night{number}" for number in range(count))
    changes = tuple(history.changes(table, POINTS))
    return history.History("iops", names, ("2026-01-02 03:04",) * count, POINTS, table, changes)


def test_a_step_is_found_where_it_is() -> None:
    [change] = history.changes(medians(12, 1, 0.9, 7), POINTS)
    assert (change.point, change.sweep) == ("busy", 7)
    assert change.ratio == pytest.approx(0.9, abs=0.02)


def test_two_steps_are_found() -> None:
    table = medians(24, 2, 0.8, 8)
    table[1, 16:] /= 0.8
    assert [change.sweep for change in history.changes(table, POINTS)] == [8, 16]


def test_noise_is_rarely_a_change() -> None:
    wrong = sum(bool(history.changes(medians(12, seed), POINTS)) for seed in range(30))
    assert wrong <= 5, "5% of 30, with three standard errors"


def test_too_few_sweeps_show_nothing() -> None:
    told = found(medians(7, 3, 0.5, 4))
    assert told.changes == ()
    assert told.sentences == ("7 sweeps are too few to show a change; 8 are needed.",)


def test_a_change_is_said_with_its_sweep_and_direction() -> None:
    assert found(medians(12, 1, 0.5, 7)).sentences[0].startswith("busy: iops is 4")
    assert (
        found(medians(12, 1, 0.5, 7))
        .sentences[0]
        .endswith("% lower (worse) from night7 (2026-01-02 03:04) on.")
    )
    assert found(medians(12, 4)).sentences == ("No change was shown over 12 sweeps.",)


def test_a_point_that_a_sweep_lacks_is_not_called_unchanged() -> None:
    table = medians(12, 5)
    table[0, 3] = np.nan
    table[0, 6:] *= 2
    assert found(table).sentences == (
        "No change was shown over 12 sweeps.",
        "Not searched, because a sweep lacks them: 1 of 2 points.",
    )
    table[1, 3] = np.nan
    assert found(table).sentences == ("No point is in all sweeps, so no change was searched.",)


def test_one_step_is_rarely_called_two() -> None:
    many = sum(len(history.changes(medians(24, seed, 0.9, 10), POINTS)) > 1 for seed in range(30))
    assert many <= 5, "5% of 30, with three standard errors"


def test_latencies_of_two_kinds_are_not_one_history(tmp_path: Path) -> None:
    for name in ("a", "b"):
        synthetic.write_sweep(tmp_path / name, polls=(0,), waits=(), depths=(1,), details=False)
    path = tmp_path / "b" / RUNS
    path.write_text(path.read_text().replace('"percentiles_of": "lat"', '"percentiles_of": "clat"'))
    with pytest.raises(ResultsError, match="of lat in some of these runs, and of clat"):
        history.read([tmp_path / "a", tmp_path / "b"], "p99_ns")


def test_unlike_machines_are_told(tmp_path: Path) -> None:
    for name in ("a", "b"):
        synthetic.write_sweep(tmp_path / name, polls=(0,), waits=(), depths=(1,), details=False)
    path = tmp_path / "b" / RUNS
    path.write_text(path.read_text().replace("6.1.0-18-amd64", "6.12.0"))
    told = history.read([tmp_path / "a", tmp_path / "b"])
    assert any("environments differ" in each for each in told.warnings)
    assert "environments differ" in report.history_html(told)


def test_folders_are_read_in_the_order_of_their_runs(tmp_path: Path) -> None:
    for name in ("b", "a"):
        synthetic.write_sweep(tmp_path / name, polls=(0, 20), waits=(), depths=(1,), details=False)
    told = history.read([tmp_path / "b", tmp_path / "a"])
    assert set(told.sweeps) == {"a", "b"}
    assert told.points == ("event", "sleepy 20 µs")
    assert np.isfinite(told.medians).all()


def test_a_column_without_numbers_is_refused(tmp_path: Path) -> None:
    synthetic.write_sweep(tmp_path / "a", polls=(0,), waits=(), depths=(1,), details=False)
    with pytest.raises(ResultsError, match="engine is no column of numbers"):
        history.read([tmp_path / "a"], "engine")


def test_the_page_has_the_picture_and_every_value() -> None:
    told = found(medians(12, 1, 0.9, 7))
    page = report.history_html(told)
    assert "<svg" in page
    assert "How did iops change over 12 sweeps?" in page
    assert told.sentences[0] in page
    text = report.history_markdown(told)
    assert len([line for line in text.splitlines() if line.startswith("|")]) == 2 + 2


def test_a_picture_of_many_points_shows_those_that_changed() -> None:
    table = np.vstack([medians(12, seed) for seed in range(10)] + [medians(12, 1, 0.7, 7)])
    names = tuple(f"point {number}" for number in range(len(table)))
    changed = tuple(history.changes(table, names))
    told = history.History("iops", ("n",) * 12, ("2026",) * 12, names, table, changed)
    lines = [line.get_ydata() for line in history.draw(told).axes[0].lines]
    drawn = [line for line in lines if len(np.asarray(line)) == 12]
    assert len(drawn) == drawing.MOST_LINES
    assert any(np.array_equal(np.asarray(line), table[-1]) for line in drawn)


@pytest.mark.filterwarnings("error")
def test_zeros_are_drawn_on_a_linear_axis() -> None:
    table = medians(12, 1)
    table[1] = 0.0
    [place] = history.draw(found(table)).axes
    assert place.get_yscale() == "linear"


def test_a_sweep_that_was_given_twice_is_refused(tmp_path: Path) -> None:
    synthetic.write_sweep(tmp_path / "one", details=False)
    with pytest.raises(UsageError, match="given twice"):
        history.read([tmp_path / "one", tmp_path / "one"])


def test_the_table_of_a_history_is_not_said_to_have_intervals() -> None:
    page = report.history_html(found(medians(12, 1)))
    assert "Each value is the median of a sweep" in page
    assert "with an interval for IOPS" not in page


def test_points_are_in_the_order_of_values_and_folders_have_names_of_their_own(
    tmp_path: Path,
) -> None:
    for name in ("old/out", "new/out"):
        (tmp_path / name).parent.mkdir()
        synthetic.write_sweep(tmp_path / name, depths=(128, 8, 32), waits=(), details=False)
    read = history.read([tmp_path / "new/out", tmp_path / "old/out"])
    assert set(read.sweeps) == {"old/out", "new/out"}
    assert read.points[:4] == (
        "event, iodepth 8",
        "event, iodepth 32",
        "event, iodepth 128",
        "sleepy 5 µs, iodepth 8",
    )

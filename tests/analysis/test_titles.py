# SPDX-License-Identifier: GPL-2.0-or-later
"""The titles of pictures: none states an order or a ratio that the report does not state."""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from pyfio_virtio.analysis import claims, picture_names, style
from pyfio_virtio.analysis.frame import in_order, load, points
from pyfio_virtio.results.results import ResultsError
from tests.analysis import synthetic

Sweep = Callable[[Path, int, float], pd.DataFrame]

PICTURES = ("iops", "p99", "latency", "percentiles", "cost", "counters")
COLUMNS = (("way", "iops"), ("way", "p99_ns"), ("bs", "iops"), ("bs", "cpu_us"))


def of_sizes(path: Path, repeats: int, noise: float) -> pd.DataFrame:
    """A sweep of three block sizes, which differ only by noise."""
    synthetic.write_sweep(path, (), ("busy",), (1, 2, 8), repeats=repeats, noise=noise)
    runs = load(path)
    sizes = runs["iodepth"].map({1: "4k", 2: "16k", 8: "64k"})
    level = runs.groupby("iodepth")["iops"].transform("median")
    return runs.assign(
        bs=sizes,
        iodepth=1,
        iops=runs["iops"] / level * 1e5,
        option_names=pd.Series([("bs",)] * len(runs), runs.index),
    )


def of_ways(path: Path, repeats: int, noise: float) -> pd.DataFrame:
    synthetic.write_sweep(path, (0, 20), ("busy",), (1,), repeats=repeats, noise=noise)
    return load(path)


def alternatives(runs: pd.DataFrame) -> list[str]:
    subject = claims.study(runs).subject
    named = in_order(points(runs, [subject], ("iops",)), [subject])[subject]
    return [str(each) for each in named]


def title(figure: Figure) -> str:
    return style.finding_of(figure.axes[0])


def titles(runs: pd.DataFrame) -> list[str]:
    """Those of all pictures that can be drawn of these runs."""
    found = []
    for name in PICTURES:
        try:
            found.append(title(picture_names.draw(runs, name)))
        except ResultsError:
            continue  # it cannot show what varies
    for x, y in COLUMNS:
        if runs[x].nunique() > 1:
            found.append(title(picture_names.draw_columns(runs, x, y)))
    return found


@pytest.mark.parametrize("sweep", [of_sizes, of_ways])
@pytest.mark.parametrize(("repeats", "noise"), [(1, 0.02), (3, 0.02), (3, 0.5), (6, 1.5)])
def test_no_title_has_an_order_where_the_report_refuses_one(
    sweep: Sweep, repeats: int, noise: float, tmp_path: Path
) -> None:
    runs = sweep(tmp_path, repeats, noise)
    assert not claims.study(runs).claims
    found = titles(runs)
    assert len(found) > 2
    for each in found:
        named = [name for name in alternatives(runs) if re.search(rf"\b{name}\b", each)]
        assert not named, each


def test_a_difference_that_was_shown_is_the_title_of_either_picture(tmp_path: Path) -> None:
    runs = of_ways(tmp_path, 12, 0.01)
    claimed = claims.title(claims.study(runs))
    assert re.search(r"gives .* times the IOPS of", claimed)
    assert title(picture_names.draw(runs, "iops")) == claimed
    assert title(picture_names.draw_columns(runs, "way", "iops")) == claimed


def test_a_part_claims_no_more_than_the_whole(tmp_path: Path) -> None:
    synthetic.write_sweep(tmp_path, (0,), ("busy",), (1, 2, 4, 8, 32), repeats=6, noise=0.35)
    runs = load(tmp_path)
    whole = claims.study(runs)
    part = picture_names.Part(runs, ["iodepth"])
    for answer in whole.answers:
        shown = runs[runs["iodepth"] == answer.where["iodepth"]]
        said = title(picture_names.draw(shown, "iops", None, part))
        assert ("times the IOPS" in said) == (answer.gain() is not None)


def test_a_refusal_names_the_picture_that_can_be_drawn(tmp_path: Path) -> None:
    runs = of_sizes(tmp_path, 3, 0.02)
    with pytest.raises(ResultsError, match="--facet bs, or put it on the x axis with --x bs"):
        picture_names.draw(runs, "p99")

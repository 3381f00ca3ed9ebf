# SPDX-License-Identifier: GPL-2.0-or-later
"""Several folders in one frame: an axis of tables and pictures, of which nothing is claimed."""

from pathlib import Path

import pandas as pd
import pytest

from pyfio_virtio.analysis import checks, claims, picture_names, report
from pyfio_virtio.analysis.frame import axes, load, measured
from pyfio_virtio.results.results import ResultsError
from tests.analysis.synthetic import write_sweep


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three ways at two depths; the runs of the second folder are twice as fast."""
    place = tmp_path_factory.mktemp("folders")
    made = [place / "run-9", place / "run-10"]
    for folder in made:
        write_sweep(folder, polls=(0, 20), waits=("busy",), depths=(1, 32), noise=0.01)
    return made


@pytest.fixture(scope="module")
def both(folders: list[Path]) -> pd.DataFrame:
    frame = load(*folders)
    faster = frame["iops"].where(frame["folder"] == "run-9", 2 * frame["iops"])
    return frame.assign(iops=faster)


def test_folders_are_an_axis_and_one_folder_is_none(
    folders: list[Path], both: pd.DataFrame
) -> None:
    assert axes(both) == ["way", "iodepth", "folder"]
    assert axes(load(folders[0])) == ["way", "iodepth"]
    assert both["folder"].unique().tolist() == ["run-9", "run-10"]


def test_files_of_fio_are_no_axis(folders: list[Path]) -> None:
    files = sorted(folders[0].glob("points/*/*/fio.json"))[:3]
    frame = load(*files)
    assert "folder" not in axes(frame)
    assert frame["folder"].nunique() == 3, "but can be asked for"


def test_nothing_is_claimed_between_folders(both: pd.DataFrame) -> None:
    found = claims.study(both)
    assert found.subject == "way"
    assert {answer.where["folder"] for answer in found.answers} == {"run-9", "run-10"}
    names = {name for answer in found.answers for name in answer.names}
    assert names == {"event", "busy", "sleepy 20 µs"}
    assert any("were not measured in turns" in each for each in checks.warnings(both))


def test_folders_of_one_point_each_are_not_compared(both: pd.DataFrame) -> None:
    one = both[(both["way"] == "busy") & (both["iodepth"] == 32)]
    headline = claims.headline(claims.study(one))
    assert headline.startswith("The folders were not measured in turns")
    assert "pyfio-virtio compare" in headline
    assert report.question(one) == "What do IOPS and latency of randread 4k do as folder varies?"


def test_a_folder_that_was_not_measured_in_turns_is_not_hidden_by_another(
    both: pd.DataFrame,
) -> None:
    first = both[both["folder"] == "run-9"].sort_values(["hash", "repeat"])
    sequential = first.assign(order=range(len(first)))
    assert not checks.in_turns(measured(sequential))
    rest = both[both["folder"] != "run-9"]
    twice = pd.concat([sequential, rest, rest.assign(folder="third", source="third")])
    assert not checks.in_turns(measured(twice))
    assert checks.in_turns(measured(both))


def test_the_noise_of_all_folders_counts_each_in_its_own_rounds(
    folders: list[Path], both: pd.DataFrame
) -> None:
    one, two = checks.noise(load(folders[0])), checks.noise(both)
    assert one is not None
    assert two is not None
    assert (one.pairs, two.pairs) == (5, 10)
    assert two.largest < 0.2, "the folders differ by 100%"


def test_the_page_and_its_table_have_the_folders(both: pd.DataFrame) -> None:
    described = report.describe(both)
    assert "folder" in described.table.headings
    assert [row[2].text for row in described.table.rows[:2]] == ["run-9", "run-10"]
    assert described.question == (
        "Which way of waiting serves randread 4k best as iodepth and folder vary?"
    )


def test_a_picture_along_time_does_not_mix_folders(both: pd.DataFrame) -> None:
    one = both[(both["way"] == "busy") & (both["iodepth"] == 32)]
    drawn = picture_names.draw(one, "time")
    assert len([each for each in drawn.axes if each.axison]) == 2


def test_a_picture_that_would_mix_folders_is_refused(both: pd.DataFrame) -> None:
    with pytest.raises(ResultsError, match="several folders would become one point"):
        picture_names.draw_columns(both, "iodepth", "iops", by="way", facet="rw")

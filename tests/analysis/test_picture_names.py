# SPDX-License-Identifier: GPL-2.0-or-later
"""picture_names.py: every picture by its name, of sweeps and of what fio itself wrote."""

import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from pyfio_virtio.analysis import picture_names, style
from pyfio_virtio.analysis.frame import load
from pyfio_virtio.analysis.run_files import latency_over_time
from pyfio_virtio.results.results import ResultsError
from tests.analysis.host_sweeps import write_host_sweep

OF_HOSTS = ("hosts", "hosts-time", "fairness", "scaling")


@pytest.fixture(scope="module")
def on_hosts(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    path = tmp_path_factory.mktemp("hosts")
    write_host_sweep(path, repeats=2)
    return load(path)


def chosen(sweep: pd.DataFrame, name: str) -> pd.DataFrame:
    """As much of the sweep as that picture takes at once."""
    deep = sweep[(sweep["iodepth"] == 128) & (sweep["role"] == "measured")]
    if name in ("time", "heatmap"):
        return deep[deep["way"] == "sleepy 5 µs"]
    return deep if name in ("percentiles", "counters") else sweep


@pytest.mark.parametrize("name", picture_names.PICTURES)
def test_every_name_draws_and_says_what_it_found(
    sweep: pd.DataFrame, on_hosts: pd.DataFrame, name: str, tmp_path: Path
) -> None:
    drawing = picture_names.draw(on_hosts if name in OF_HOSTS else chosen(sweep, name), name)
    assert style.finding_of(drawing.axes[0])
    for kind in ("png", "svg"):
        (tmp_path / f"{name}.{kind}").write_bytes(style.image(drawing, f".{kind}"))
        assert (tmp_path / f"{name}.{kind}").stat().st_size > 5000


def test_an_unknown_name_is_refused_with_those_there_are(sweep: pd.DataFrame) -> None:
    with pytest.raises(ResultsError, match="no picture pie; choose one of iops, p99"):
        picture_names.draw(sweep, "pie")


def test_a_facet_gives_a_panel_a_value(sweep: pd.DataFrame) -> None:
    assert len(picture_names.draw(sweep, "counters", "iodepth").axes) == 3


def test_an_unknown_facet_is_refused(sweep: pd.DataFrame) -> None:
    with pytest.raises(ResultsError, match="no column depth"):
        picture_names.draw(sweep, "iops", "depth")


@pytest.fixture(scope="module")
def fio_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two json+ files of fio's null engine, the second with a histogram log."""
    fio = shutil.which("fio")
    if not fio:
        pytest.skip("fio is not installed")
    folder = tmp_path_factory.mktemp("fio")
    files = []
    for depth in (1, 16):
        file = folder / f"{depth}.json"
        job = ["--name=null", "--ioengine=null", "--size=1g", "--rw=randread", f"--iodepth={depth}"]
        job += ["--runtime=1", "--time_based", "--thread", "--log_hist_msec=200"]
        run = [fio, "--output-format=json+", f"--output={file}", *job]
        subprocess.run([*run, "--write_hist_log=log"], check=True, timeout=60, cwd=folder)
        files.append(file)
    return files


def test_one_s_own_fio_files_are_drawn(fio_files: list[Path]) -> None:
    runs = load(*fio_files)
    drawing = picture_names.draw_columns(runs, "iodepth", "p99_ns")
    assert style.finding_of(drawing.axes[0]).startswith("p99 latency (clat): median")
    assert picture_names.draw(runs, "percentiles", "iodepth").axes


def test_fio_s_own_histogram_log_agrees_with_its_json(fio_files: list[Path]) -> None:
    times, bins_ns, counts = latency_over_time(fio_files[1].parent)
    assert len(times) == counts.shape[0] > 1
    run = load(fio_files[1]).iloc[0]
    # The last moment may go unlogged, and the log has no samples but these.
    assert 0.5 * run["ios"] < counts.sum() <= run["ios"]
    logged = (bins_ns * counts).sum() / counts.sum()
    assert logged < run["lat_max_ns"]


def test_a_misspelt_name_is_guessed(sweep: pd.DataFrame) -> None:
    with pytest.raises(ResultsError, match=r"did you mean fairness\? choose one of iops, p99"):
        picture_names.draw(sweep, "fairnes")

# SPDX-License-Identifier: GPL-2.0-or-later
"""Sweeps to look at, written once a session by synthetic.py."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.axes import Axes

from pyfio_virtio.analysis import style
from pyfio_virtio.analysis.frame import load
from tests.analysis import synthetic


@pytest.fixture(scope="session")
def sweep_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six ways at three depths, five rounds, with controls, samples and a histogram log."""
    path = tmp_path_factory.mktemp("sweep")
    sweep = synthetic.write_sweep(path, polls=(0, 5, 20, 100), depths=(1, 32, 128))
    for row in sweep.rows():
        if (row.get("sleepy_poll"), row["iodepth"]) == (5, 128):
            run = sweep.run_folder(row["hash"], row["repeat"])
            synthetic.histogram_log(run / "log_clat_hist.1.log")
    return path


@pytest.fixture(scope="session")
def sweep(sweep_folder: Path) -> pd.DataFrame:
    return load(sweep_folder)


@pytest.fixture(scope="session")
def rated(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Two ways at one depth, walked from a tenth of their best rate to all of it."""
    path = tmp_path_factory.mktemp("rated")
    rates = (10, 30, 50, 70, 80, 90, 95, 100)
    synthetic.write_sweep(path, polls=(0, 20), waits=(), depths=(32,), rates=rates)
    return load(path)


@pytest.fixture
def axes() -> Iterator[Axes]:
    with style.look():
        yield style.figure().add_subplot()

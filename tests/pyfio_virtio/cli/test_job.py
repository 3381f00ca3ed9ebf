# SPDX-License-Identifier: GPL-2.0-or-later
"""cli/job.py: a job file by the real command."""

from pathlib import Path

import pytest

from pyfio_virtio.fio import job
from tests.conftest import RunCommand


def test_options_become_lines(command: RunCommand) -> None:
    shown = command("job", "--rw=randrw", "--bs=8k", "--iodepth=4", "--wait=busy", "--runtime=0")
    [section] = job.parse(shown.stdout).sections()
    expected = {"rw": "randrw", "bs": "8k", "iodepth": "4", "wait": "busy"}
    assert expected.items() <= section.options.items()
    assert "runtime" not in section.options


@pytest.mark.parametrize("way", ["event", "busy", "sleepy", "adaptive"])
def test_every_way_of_waiting_can_be_asked_for(command: RunCommand, way: str) -> None:
    [section] = job.parse(command("job", f"--wait={way}").stdout).sections()
    assert section.options["wait"] == way


def test_it_can_be_written_to_a_file(command: RunCommand, tmp_path: Path) -> None:
    path = tmp_path / "a.fio"
    written = command("job", "-o", str(path))
    assert (written.status, written.stdout) == (0, "")
    assert path.read_text() == command("job").stdout


def test_a_dry_run_writes_no_file(command: RunCommand, tmp_path: Path) -> None:
    path = tmp_path / "a.fio"
    assert command("job", "-o", str(path), "--dry-run").stdout
    assert not path.exists()


def test_run_takes_the_job(command: RunCommand, tmp_path: Path) -> None:
    path = tmp_path / "a.fio"
    command("job", "-o", str(path), "--numjobs=2")
    ended = command("run", str(path), "--", "--time_based=0", "--number_ios=10")
    assert ended.status == 0, ended.stderr

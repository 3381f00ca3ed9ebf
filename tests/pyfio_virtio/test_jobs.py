# SPDX-License-Identifier: GPL-2.0-or-later
"""jobs/: each file runs, and SPDK's configuration is sound."""

import json
from pathlib import Path

import pytest

from pyfio_virtio.fio import job
from tests.conftest import ROOT, RunCommand

JOBS = sorted((ROOT / "jobs").glob("*.fio"))
SPDK = ROOT / "jobs" / "spdk-vhost.json"


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_the_job_runs(command: RunCommand, path: Path) -> None:
    ended = command("run", str(path), "--", "--runtime=1", "--ramp_time=0", "--size=16m")
    assert ended.status == 0, ended.stderr
    assert "err= 0" in ended.stdout


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_the_job_warns_if_and_only_if_it_writes(path: Path) -> None:
    warned = "It writes, so all data on the disk is lost." in path.read_text()
    assert warned == bool(job.read(path).writing())


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_the_job_needs_no_more_than_the_first_socket(path: Path) -> None:
    sections = job.read(path).sections()
    assert {section.options["filename"] for section in sections} == {"/tmp/vhost.0"}  # noqa: S108


def test_the_first_job_is_the_one_of_old() -> None:
    [section] = job.read(ROOT / "jobs" / "virtio.fio").sections()
    expected = {"rw": "randrw", "bs": "4k", "iodepth": "128", "runtime": "10", "thread": "1"}
    assert expected.items() <= section.options.items()


def _calls() -> list[tuple[str, str, dict[str, object]]]:
    configuration = json.loads(SPDK.read_text())
    return [
        (subsystem["subsystem"], call["method"], call.get("params", {}))
        for subsystem in configuration["subsystems"]
        for call in subsystem["config"]
    ]


def test_spdk_serves_blk_where_the_jobs_look_for_it() -> None:
    [call] = [params for _, method, params in _calls() if method == "vhost_create_blk_controller"]
    assert call["ctrlr"] == "vhost.0"


def test_spdks_disks_are_made_before_they_are_used() -> None:
    made: set[object] = set()
    for _, method, params in _calls():
        if method == "bdev_malloc_create":
            made.add(params["name"])
        for used in ("dev_name", "bdev_name"):
            assert used not in params or params[used] in made


def test_spdks_targets_belong_to_controllers_of_their_own_subsystem() -> None:
    calls = _calls()
    made = {params["ctrlr"] for _, method, params in calls if method.startswith("vhost_create_")}
    for subsystem, method, params in calls:
        if method == "vhost_scsi_controller_add_target":
            assert subsystem == "vhost_scsi"
            assert params["ctrlr"] in made

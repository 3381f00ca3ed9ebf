# SPDX-License-Identifier: GPL-2.0-or-later
"""doctor.py: what stands in the way of runs."""

import dataclasses
from pathlib import Path

import pytest

from pyfio_virtio import doctor
from pyfio_virtio.backends import kinds
from pyfio_virtio.machine import folders, host


def _state(checks: list[doctor.Check], name: str) -> str:
    return next(check.state for check in checks if check.name == name)


def test_this_machine_works() -> None:
    checks = doctor.examine()
    assert doctor.works(checks), checks


def test_fio_and_engine_are_tried_together() -> None:
    assert _state(doctor.examine(), "fio with engine") == "ok"


def test_each_kind_of_back_end_is_looked_for() -> None:
    names = {check.name for check in doctor.examine()}
    assert {f"back-end {kind}" for kind in kinds.VHOST_USER_KINDS} <= names


def test_without_fio_it_does_not_work() -> None:
    checks = doctor.examine("no-such-fio")
    assert _state(checks, "fio") == "failure"
    assert not doctor.works(checks)


def test_without_the_engine_it_does_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYFIO_VIRTIO_LIB", str(tmp_path))
    assert _state(doctor.examine(), "engine") == "failure"


def test_a_missing_back_end_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _state(doctor.examine(), "back-end qsd") == "note"


def test_a_folder_that_others_can_change_is_a_failure(private: Path) -> None:
    folders.make_state_folder().chmod(0o777)
    assert _state(doctor.examine(), "folder for sockets") == "failure"


def test_all_that_is_amiss_has_a_remedy() -> None:
    amiss = [check for check in doctor.examine("no-such-fio") if check.state != "ok"]
    assert amiss
    assert all(check.remedy for check in amiss)


def test_what_is_right_has_no_remedy() -> None:
    assert not [each for each in doctor.examine() if each.state == "ok" and each.remedy]


@pytest.mark.parametrize(
    ("load", "cpus", "state"),
    [(0.4, 2, "ok"), (0.6, 2, "note"), (7.0, 32, "ok"), (9.0, 32, "note")],
)
def test_other_work_on_the_machine_is_noted(load: float, cpus: int, state: str) -> None:
    machine = dataclasses.replace(host.describe(), load=load, cpus=cpus)
    check = doctor.load(machine)
    assert check.state == state
    assert f"{load:.2f} on {cpus} CPUs" in check.finding


@pytest.mark.parametrize(("free", "state"), [(0, "note"), (63, "note"), (64, "ok")])
def test_huge_pages_are_enough_or_the_line_that_mends_it_is_there(free: int, state: str) -> None:
    pages = host.HugePages(2 << 20, total=free + 5, free=free, file="/sys/nr")
    machine = dataclasses.replace(host.describe(), hugepages=(pages,))
    [check] = doctor.huge_pages(machine)
    assert check.state == state
    assert check.remedy == ("" if state == "ok" else "echo 69 | sudo tee /sys/nr")


def test_one_size_of_huge_pages_is_enough() -> None:
    small = host.HugePages(2 << 20, total=64, free=64, file="/sys/a")
    large = host.HugePages(1 << 30, total=0, free=0, file="/sys/b")
    machine = dataclasses.replace(host.describe(), hugepages=(small, large))
    assert [check.state for check in doctor.huge_pages(machine)] == ["ok", "ok"]

# SPDX-License-Identifier: GPL-2.0-or-later
"""cli/results.py: what a sweep kept, listed, shown, exported, and run again."""

import csv
import io
from pathlib import Path

from pyfio_virtio.results.record import MEASURED
from pyfio_virtio.results.results import SweepFolder
from tests.conftest import RunCommand


def _point(folder: Path) -> str:
    return next(e.point.hash for e in SweepFolder(folder).records() if e.point.role == MEASURED)


def test_every_point_is_listed(main_here: RunCommand, swept: Path) -> None:
    listed = main_here("results", "list", str(swept))
    assert listed.status == 0
    assert len(listed.stdout.splitlines()) == 1 + 4
    for record in SweepFolder(swept).records():
        assert record.point.hash in listed.stdout
    assert "(twin)" in listed.stdout


def test_a_point_is_shown_by_the_beginning_of_its_hash(main_here: RunCommand, swept: Path) -> None:
    shown = main_here("results", "show", _point(swept)[:8], str(swept))
    assert "ioengine=fio_virtio" in shown.stdout
    assert "pyfio_virtio.backends.builtin" in shown.stdout
    assert f"{swept}/points/{_point(swept)}/r02" in shown.stdout


def test_an_unknown_point_is_refused(main_here: RunCommand, swept: Path) -> None:
    shown = main_here("results", "show", "nothing", str(swept))
    assert shown.status == 2
    assert f"has no points nothing; see: pyfio-virtio results list {swept}" in shown.stderr


def test_runs_are_exported_a_row_each(main_here: RunCommand, swept: Path) -> None:
    exported = main_here("results", "export", "--csv", str(swept))
    rows = list(csv.DictReader(io.StringIO(exported.stdout)))
    assert len(rows) == 8
    first = next(iter(SweepFolder(swept).rows()))
    assert float(rows[0]["iops"]) == first["iops"]
    assert {"sleepy_poll", "kicks", "host_kernel", "fio_user_s"} <= set(rows[0])


def test_a_folder_without_a_sweep_is_named(main_here: RunCommand, private: Path) -> None:
    listed = main_here("results", "list", str(private))
    assert listed.status == 1
    assert f"{private} holds no sweep: it has no runs.jsonl" in listed.stderr


def test_a_point_is_run_again_and_compared(command: RunCommand, swept: Path, private: Path) -> None:
    before = SweepFolder(swept).rows()
    again = command("replay", _point(swept), str(swept), "-o", str(private / "again"))
    assert again.status == 0, again.stderr
    assert "IOPS now" in again.stdout
    assert "in 2 runs)" in again.stdout
    [record] = SweepFolder(private / "again").records()
    assert record.point.job in {each.point.job for each in SweepFolder(swept).records()}
    assert SweepFolder(swept).rows() == before

# SPDX-License-Identifier: GPL-2.0-or-later
"""cli/results.py: what a sweep kept, listed, shown, exported, and run again."""

import csv
import io
import json
import os
import signal
from pathlib import Path

import pytest

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
    assert f"has no point nothing; see: pyfio-virtio results list {swept}" in shown.stderr


@pytest.mark.parametrize("flags", [(), ("--csv",)])
def test_runs_are_exported_a_row_each(
    main_here: RunCommand, swept: Path, flags: tuple[str, ...]
) -> None:
    exported = main_here("results", "export", *flags, str(swept))
    rows = list(csv.DictReader(io.StringIO(exported.stdout)))
    assert len(rows) == 8
    first = next(iter(SweepFolder(swept).rows()))
    assert float(rows[0]["iops"]) == first["iops"]
    assert {"sleepy_poll", "kicks", "host_kernel", "fio_user_s"} <= set(rows[0])


def test_a_run_is_a_line_of_the_csv(main_here: RunCommand, swept: Path) -> None:
    """The text of a job has many lines, but programs such as awk read a line as a row."""
    lines = main_here("results", "export", str(swept)).stdout.splitlines()
    assert len(lines) == 1 + 8
    assert all("[global]\\n" in line for line in lines[1:])


@pytest.mark.parametrize("name", ["runs.json", "runs.JSONL", "runs.csv"])
def test_the_name_of_the_file_chooses_the_format(
    main_here: RunCommand, swept: Path, private: Path, name: str
) -> None:
    file = private / name
    exported = main_here("results", "export", str(swept), "-o", str(file))
    assert (exported.status, exported.stdout) == (0, f"{file}\n"), exported.stderr
    text = file.read_text()
    if name == "runs.csv":
        assert len(text.splitlines()) == 1 + 8
        return
    rows = json.loads(text) if name == "runs.json" else list(map(json.loads, text.splitlines()))
    assert rows == SweepFolder(swept).rows()


def test_a_file_of_an_unknown_format_is_refused(
    main_here: RunCommand, swept: Path, private: Path
) -> None:
    ended = main_here("results", "export", str(swept), "-o", str(private / "runs.xlsx"))
    assert ended.status == 2
    assert "name a .csv, .json or .jsonl file" in ended.stderr
    as_json = ("--json", "-o", str(private / "runs.txt"))
    assert main_here("results", "export", str(swept), *as_json).status == 0
    assert main_here("results", "export", str(swept), "--json", "--csv").status == 2


def test_points_are_listed_as_json(main_here: RunCommand, swept: Path) -> None:
    found = json.loads(main_here("results", "list", "--json", str(swept)).stdout)
    assert {each["role"] for each in found} == {"measured", "twin", "null"}
    assert found[0]["role"] == "measured"
    for each in found:
        assert (each["runs"], each["failed"]) == (2, 0)
        assert each["iops"] > 0
        assert each["options"]["rw"] == "randread"


def test_a_point_is_shown_as_json(main_here: RunCommand, swept: Path) -> None:
    found = json.loads(main_here("results", "show", _point(swept)[:8], str(swept), "--json").stdout)
    assert found["point"] == _point(swept)
    assert found["job"].startswith("[global]\n")
    assert [run["repeat"] for run in found["runs"]] == [1, 2]
    assert Path(found["runs"][1]["folder"]) == swept / "points" / _point(swept) / "r02"


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_while_a_file_is_written_leaves_nothing_of_it(
    main_here: RunCommand, swept: Path, private: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: signal.raise_signal(number))
    ended = main_here("results", "export", str(swept), "-o", "runs.csv")
    assert (ended.status, ended.stderr.strip()) == (128 + number, "pyfio-virtio: interrupted")
    assert not list(private.iterdir())

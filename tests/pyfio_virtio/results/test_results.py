# SPDX-License-Identifier: GPL-2.0-or-later
"""results/results.py: nothing that was finished is lost or torn, whenever the writer dies."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pyfio_virtio import files
from pyfio_virtio.errors import UsageError
from pyfio_virtio.results.record import Across, OnHost, from_row, to_row
from pyfio_virtio.results.results import (
    FIO_JSON,
    HOSTS,
    LOCK,
    PLAN,
    POINTS,
    RECORD,
    RUNS,
    ResultsError,
    SweepFolder,
    _take,
    open_sweep,
    read_rows,
)
from tests.pyfio_virtio.results.test_record import POINT
from tests.pyfio_virtio.results.test_record import RECORD as RUN
from tests.pyfio_virtio.test_files import room

ROOT = Path(__file__).resolve().parents[3]
ACROSS = Across(2.0, 1.5, "b", 0.9, "", "")


def keep(sweep: SweepFolder, repeat: int, error: str | None = None) -> Path:
    working = sweep.begin(POINT.hash, repeat)
    (working / FIO_JSON).write_text(f"run {repeat}")
    return sweep.finish(replace(RUN, repeat=repeat, error=error))


def test_a_finished_run_has_its_folder_and_its_line(tmp_path: Path) -> None:
    sweep = SweepFolder(tmp_path)
    with sweep.lock():
        folder = keep(sweep, 1)
    assert folder == tmp_path / POINTS / POINT.hash / "r01"
    assert (folder / FIO_JSON).read_text() == "run 1"
    assert json.loads((folder / RECORD).read_text()) == sweep.rows()[0]
    assert sweep.records()[0].repeat == 1
    assert sweep.finished() == {(POINT.hash, 1)}


def test_an_unfinished_run_is_not_among_the_results(tmp_path: Path) -> None:
    sweep = SweepFolder(tmp_path)
    with sweep.lock():
        sweep.begin(POINT.hash, 1)
    assert sweep.rows() == []
    assert not sweep.run_folder(POINT.hash, 1).exists()


def test_what_was_unfinished_is_gone_when_the_sweep_goes_on(tmp_path: Path) -> None:
    sweep = SweepFolder(tmp_path)
    with sweep.lock():
        left = sweep.begin(POINT.hash, 1)
    with sweep.lock():
        assert not left.exists()


def test_a_failed_run_is_kept_but_not_finished(tmp_path: Path) -> None:
    sweep = SweepFolder(tmp_path)
    with sweep.lock():
        keep(sweep, 1, error="fio hung")
    assert sweep.rows()[0]["error"] == "fio hung"
    assert sweep.finished() == set()


def test_the_latest_try_of_a_run_counts(tmp_path: Path) -> None:
    sweep = SweepFolder(tmp_path)
    with sweep.lock():
        keep(sweep, 1, error="fio hung")
        keep(sweep, 1)
    assert len(read_rows(tmp_path / RUNS)) == 2
    assert [row["error"] for row in sweep.rows()] == [None]


def test_a_torn_last_line_is_passed_over_and_mended(tmp_path: Path) -> None:
    sweep = SweepFolder(tmp_path)
    with sweep.lock():
        keep(sweep, 1)
        keep(sweep, 2)
    whole = (tmp_path / RUNS).read_bytes()
    (tmp_path / RUNS).write_bytes(whole[:-30])
    assert sweep.finished() == {(POINT.hash, 1)}
    with sweep.lock():
        assert sweep.finished() == {(POINT.hash, 1), (POINT.hash, 2)}
    assert (tmp_path / RUNS).read_bytes() == whole


def keep_on_hosts(sweep: SweepFolder, started: str = "2026-01-02T03:04:05Z") -> Path:
    run = replace(RUN, started=started, across=ACROSS)
    hosts = [replace(run, across=None, on_host=OnHost(name, 0.0, 0.0, 0.1)) for name in "ab"]
    sweep.begin(POINT.hash, RUN.repeat)
    return sweep.finish(run, hosts)


def test_a_run_on_hosts_has_a_line_for_each_host_and_one_for_all(tmp_path: Path) -> None:
    sweep = SweepFolder(tmp_path)
    with sweep.lock():
        folder = keep_on_hosts(sweep)
    assert [row["on_name"] for row in sweep.host_rows()] == ["a", "b"]
    assert [row["across_window_s"] for row in sweep.rows()] == [2.0]
    assert json.loads((folder / HOSTS / "b" / RECORD).read_text()) == sweep.host_rows()[1]
    assert [from_row(row).on_host for row in sweep.host_rows()] == [
        OnHost("a", 0.0, 0.0, 0.1),
        OnHost("b", 0.0, 0.0, 0.1),
    ]
    assert sweep.records()[0].across == ACROSS


def test_lost_lines_of_hosts_are_added_again(tmp_path: Path) -> None:
    sweep = SweepFolder(tmp_path)
    with sweep.lock():
        keep_on_hosts(sweep)
    whole = (tmp_path / RUNS).read_bytes()
    for lines in range(3):
        (tmp_path / RUNS).write_bytes(b"".join(whole.splitlines(keepends=True)[:lines]))
        with sweep.lock():
            pass
        assert (tmp_path / RUNS).read_bytes() == whole


def test_hosts_of_an_earlier_try_do_not_count(tmp_path: Path) -> None:
    sweep = SweepFolder(tmp_path)
    with sweep.lock():
        keep_on_hosts(sweep, "2026-01-01T00:00:00Z")
        keep(sweep, RUN.repeat)
    assert sweep.host_rows() == []


def test_a_host_with_the_name_of_another_folder_is_refused(tmp_path: Path) -> None:
    row = to_row(replace(RUN, on_host=OnHost("../x", 0.0, 0.0, 0.0)))
    (tmp_path / RUNS).write_text(json.dumps(row) + "\n")
    with pytest.raises(ResultsError, match=r"'\.\./x' as 'on_name'"):
        SweepFolder(tmp_path).rows()


def test_a_broken_line_elsewhere_is_named(tmp_path: Path) -> None:
    line = json.dumps(to_row(RUN))
    (tmp_path / RUNS).write_text(f"{line}\nnonsense\n{line}\n")
    with pytest.raises(ResultsError, match=r"runs\.jsonl, line 2: it is not a record"):
        read_rows(tmp_path / RUNS)


def test_a_second_sweep_is_kept_out_by_name(tmp_path: Path) -> None:
    with (
        SweepFolder(tmp_path).lock(),
        pytest.raises(ResultsError, match=f"another sweep writes.*process {os.getpid()}"),
        SweepFolder(tmp_path).lock(),
    ):
        pass
    with SweepFolder(tmp_path).lock():
        pass


def test_a_sweep_that_keeps_nothing_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), SweepFolder(tmp_path / "a" / "b").lock():
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_folder_that_another_sweep_has_removed_is_told(tmp_path: Path) -> None:
    lock = tmp_path / LOCK
    lock.touch()
    with lock.open() as opened:
        lock.unlink()
        lock.touch()
        with pytest.raises(ResultsError, match="another sweep has just removed"):
            _take(opened.fileno(), tmp_path)


def test_a_folder_without_a_sweep_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"holds no sweep: it has no runs\.jsonl"):
        open_sweep(tmp_path)
    with pytest.raises(ResultsError, match="no such folder"):
        open_sweep(tmp_path / "none")


def test_a_folder_that_cannot_be_made_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ResultsError, match="cannot write results to"),
        SweepFolder(tmp_path / "file" / "sweep").lock(),
    ):
        pass


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    files.replace(tmp_path / "plan.toml", "one")
    files.replace(tmp_path / "plan.toml", "two")
    assert (tmp_path / "plan.toml").read_text() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["plan.toml"]


WRITER = """
import sys
from pathlib import Path
from pyfio_virtio.results.results import SweepFolder
from tests.pyfio_virtio.results.test_results import keep, POINT

sweep = SweepFolder(Path(sys.argv[1]))
with sweep.lock():
    for repeat in range(1, 61):
        if (POINT.hash, repeat) not in sweep.finished():
            keep(sweep, repeat)
            print(repeat, flush=True)
"""


def test_kills_at_random_moments_lose_nothing_and_tear_nothing(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    moments, told = random.Random(seed), set()
    for kill in [True] * 20 + [False]:
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as writer:
            assert writer.stdout
            if kill:
                writer.stdout.readline()
                time.sleep(moments.uniform(0, 0.02))
                writer.send_signal(signal.SIGKILL)
            told |= {int(line) for line in writer.communicate()[0].split()}
        rows = read_rows(tmp_path / RUNS)
        assert told <= {row["repeat"] for row in rows}, "a run that was told of is lost"
    assert [row["repeat"] for row in rows] == list(range(1, 61))
    for repeat in range(1, 61):
        folder = SweepFolder(tmp_path).run_folder(POINT.hash, repeat)
        assert (folder / FIO_JSON).read_text() == f"run {repeat}"
    assert not list(tmp_path.glob("points/*/*unfinished"))


@pytest.mark.parametrize("name", [LOCK, RUNS, f".{PLAN}.PID"])
def test_a_link_in_a_shared_folder_leads_nowhere(tmp_path: Path, name: str) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious, and no newline")
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / name.replace("PID", str(os.getpid()))).symlink_to(precious)
    sweep = SweepFolder(shared)
    with contextlib.suppress(ResultsError, OSError), sweep.lock():
        sweep.write_plan("title = 'a'")
        keep(sweep, 1)
    assert precious.read_text() == "precious, and no newline"


@pytest.mark.parametrize("name", ["README.md", ".git", "points", ".lock-of-somebody", "run.py"])
def test_a_folder_of_somebody_else_is_not_written_to(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match="has files already, and holds no sweep; name a new"):  # noqa: SIM117
        with SweepFolder(tmp_path).lock():
            pass
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_a_list_of_somebody_else_s_runs_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / RUNS).write_text('{"run": 1}\ncut')
    with pytest.raises(ResultsError, match=r"runs\.jsonl, line 1"):  # noqa: SIM117
        with SweepFolder(tmp_path).lock():
            pass
    assert [each.name for each in tmp_path.iterdir()] == [RUNS]
    assert (tmp_path / RUNS).read_text().endswith("cut")


@pytest.mark.parametrize("kept", [(), (PLAN,), (RUNS,), (PLAN, "report.html")])
def test_an_empty_folder_and_one_of_a_sweep_are_written_to(
    tmp_path: Path, kept: tuple[str, ...]
) -> None:
    for name in kept:
        (tmp_path / name).touch()
    for _ in range(2):  # the second time, it has what a killed sweep leaves
        with SweepFolder(tmp_path).lock():
            pass


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"hash": None}, "None as 'hash'"),
        ({"hash": "../../x"}, "'../../x' as 'hash'"),
        ({"repeat": "1"}, "'1' as 'repeat'"),
        ({"iops": "many"}, "'many' as 'iops'"),
        ({"ios": 10**30}, "as 'ios'"),
        ({"option_names": "rw"}, "'rw' as 'option_names'"),
        ({"option_names": [1]}, "[1] as 'option_names'"),
        ({"option_names": ["absent"]}, "lacks 'absent'"),
        ({"counter_names": ["started"]}, "as 'started'"),
        ({"host_cpu": {}}, "{} as 'host_cpu'"),
    ],
)
def test_a_line_with_another_type_of_value_is_refused_in_words(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    row = {**to_row(RUN), **change}
    (tmp_path / RUNS).write_text(json.dumps(row) + "\n")
    with pytest.raises(ResultsError, match=r"runs\.jsonl, line 1: a record") as refusal:
        open_sweep(tmp_path).rows()
    assert reason in str(refusal.value)


def test_a_line_that_lacks_a_column_is_refused_in_words(tmp_path: Path) -> None:
    for name in to_row(RUN):
        row = to_row(RUN)
        del row[name]
        (tmp_path / RUNS).write_text(json.dumps(row) + "\n")
        with contextlib.suppress(ResultsError):  # a column of an option may be missing
            open_sweep(tmp_path).records()


def test_the_line_of_a_run_that_does_not_fit_is_added_later(tmp_path: Path) -> None:
    sweep = SweepFolder(tmp_path)
    with sweep.lock():
        keep(sweep, 1)
        size = (tmp_path / RUNS).stat().st_size
        with room(size + 10), pytest.raises(ResultsError, match="finished runs are kept"):
            keep(sweep, 2)
        assert (tmp_path / RUNS).stat().st_size == size
        keep(sweep, 3)
    assert [row["repeat"] for row in sweep.rows()] == [1, 3]


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, '{"schema": NaN}', '{"schema": 3}'], ids=lambda text: text[:9]
)
def test_a_copy_of_a_record_that_is_broken_is_named(tmp_path: Path, text: str) -> None:
    sweep = SweepFolder(tmp_path)
    with sweep.lock():
        folder = keep(sweep, 1)
    (folder / RECORD).write_text(text)
    with pytest.raises(ResultsError, match=f"{RECORD}, line 1"), sweep.lock():
        pass


def test_text_of_somebody_else_is_not_cut(tmp_path: Path) -> None:
    (tmp_path / RUNS).write_text("my notes")
    with pytest.raises(ResultsError, match="is not a record"), SweepFolder(tmp_path).lock():
        pass
    assert (tmp_path / RUNS).read_text() == "my notes"

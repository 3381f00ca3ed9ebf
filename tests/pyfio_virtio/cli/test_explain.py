# SPDX-License-Identifier: GPL-2.0-or-later
"""cli/explain.py and explaining.py: real runs by the real command."""

import csv
import json
import os
import socket
from pathlib import Path

from tests.conftest import RunCommand

FILES = ["explain.csv", "explain.json", "explain.png", "explain.txt"]
# All requests of these runs are timed, so the sums are those of the same requests.
SHORT = ("--every", "1", "--iodepth", "1", "--runtime", "0.3", "--disk-size", "4M")


def test_the_parts_sum_to_fios_latency(command: RunCommand, tmp_path: Path) -> None:
    slow = ("--backend-option", "latency=50us")
    done = command("explain", *SHORT, *slow, "--wait", "event", "-o", str(tmp_path / "new"))
    assert done.status == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == FILES
    (run,) = json.loads((tmp_path / "new" / "explain.json").read_text())
    median = run["bars"][0]
    assert abs(sum(median["parts"].values()) / run["fio_median_ns"] - 1) < 0.05
    assert median["parts"]["service"] >= 50000
    with (tmp_path / "new" / "explain.csv").open() as table:
        assert {row["part"] for row in csv.DictReader(table)} == set(median["parts"])
    assert "wait=event, iodepth 1, the median request: of " in done.stdout


def test_another_back_end_shows_our_side(command: RunCommand, tmp_path: Path) -> None:
    done = command(
        *("explain", *SHORT, "--wait", "event", "--backend", "qsd", "--watch", "off"),
        *("-o", str(tmp_path)),
    )
    assert done.status == 0, done.stderr
    (run,) = json.loads((tmp_path / "explain.json").read_text())
    median = run["bars"][0]
    assert list(median["parts"]) == ["submit", "gather", "kick", "away", "hand"]
    assert abs(sum(median["parts"].values()) / run["fio_median_ns"] - 1) < 0.05


def test_a_watched_ring_divides_the_time_of_another_back_end(
    command: RunCommand, tmp_path: Path
) -> None:
    cpu = str(max(os.sched_getaffinity(0)))
    done = command(
        *("explain", *SHORT, "--wait", "event", "--backend", "qsd", "--watch", cpu),
        *("--runtime", "0.1", "-o", str(tmp_path)),
    )
    assert done.status == 0, done.stderr
    assert "the used ring" in done.stderr
    (run,) = json.loads((tmp_path / "explain.json").read_text())
    watched = ["submit", "gather", "kick", "used", "notice", "hand"]
    # On a busy machine the thread may see too few.
    assert list(run["bars"][0]["parts"]) == watched or "in time" in run["note"]


def test_the_built_in_back_end_needs_no_watcher(command: RunCommand, tmp_path: Path) -> None:
    done = command("explain", "--watch", "0", "--dry-run", "-o", str(tmp_path / "new"))
    assert done.status == 2
    assert "takes the times itself" in done.stderr


def test_if_fio_fails_only_its_message_is_printed(command: RunCommand, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(path))
        done = command("explain", "--socket", str(path), "-o", str(tmp_path / "new"))
    assert done.status == 1
    assert str(path) in done.stderr
    assert '"jobs"' not in done.stderr


def test_a_folder_with_other_things_is_left_alone(command: RunCommand, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    done = command("explain", *SHORT, "-o", str(tmp_path))
    assert done.status == 2
    assert "it has notes" in done.stderr


def test_run_explain_says_where_the_time_goes(command: RunCommand) -> None:
    done = command(
        *("run", "--explain", "latency", "--disk-size", "4M"),
        *("--", "--time_based=0", "--ramp_time=0", "--bs=512", "--number_ios=8000"),
    )
    assert done.status == 0, done.stderr
    assert "wait=busy, the median request: of " in done.stdout


def test_run_explain_watches_the_ring_of_another_back_end(command: RunCommand) -> None:
    first, *others = sorted(os.sched_getaffinity(0))
    shared = ("run", "--explain", "--cpus", f"{first}:{first}", "--dry-run", "latency")
    watched = [f"explain_watch={max(others)}"] if others else []
    for kind, wanted in (("qsd", watched), ("builtin", [])):
        done = command(*shared, "--backend", kind)
        assert done.status == 0, done.stderr
        lines = done.stdout.splitlines()
        assert [line for line in lines if line.startswith("explain_watch=")] == wanted


def test_a_cpu_that_a_job_binds_is_not_spare(command: RunCommand) -> None:
    usable = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    for name in ("run", "explain"):
        more = ("--explain",) if name == "run" else ()
        done = command(
            *(name, *more, "--dry-run", "--backend", "qsd"),
            *("latency", "--", f"--cpus_allowed={usable}"),
        )
        assert done.status == 0, done.stderr
        assert "explain_watch=" not in done.stdout

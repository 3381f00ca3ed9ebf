# SPDX-License-Identifier: GPL-2.0-or-later
"""cli/sweep.py: the real command, disturbed in every way that people know."""

import json
import os
import pty
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from pyfio_virtio.engine import engine
from pyfio_virtio.results.results import RUNS, SweepFolder
from pyfio_virtio.sweep.settings import read_settings
from tests.conftest import ROOT, RunCommand, StartBackend
from tests.pyfio_virtio.conftest import SWEEP, Start
from tests.waiting import wait_until

# Two runs at most, and no controls.
ONE = (
    *("sweep", "--wait", "event", "--iodepth", "4", "--runtime", "0.2", "--ramp-time", "0"),
    *("--repeats", "1", "--no-controls"),
)
PSYNC = ("sweep", "--engines", "psync", "--iodepth", "1", "--no-controls")
# Only bounds a hang.
PATIENCE_S = 30.0


def _family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _runs(folder: Path) -> set[tuple[str, int]]:
    return SweepFolder(folder).finished()


def _points(folder: Path) -> set[tuple[str, str, int]]:
    """By job, not by hash: the engine may have been built anew since `swept`."""
    runs = SweepFolder(folder).records()
    return {(each.point.job, each.point.role, each.repeat) for each in runs if not each.error}


def _fio_works(folder: Path) -> bool:
    """Whether fio runs a job, and is not only asked for its version."""
    return any(folder.glob("points/*/*.unfinished/fio.json"))


# ---- what a sweep survives --------------------------------------------------------------


def test_a_sweep_killed_at_any_moment_goes_on_to_the_same_end(
    start: Start, command: RunCommand, private: Path, swept: Path
) -> None:
    folder = private / "out"
    moments = random.Random(7)
    for _ in range(3):
        process = start(*SWEEP, "-o", str(folder))
        wait_until(lambda: process.poll() is not None or bool(_family(process)))  # noqa: B023
        time.sleep(moments.uniform(0, 2.5))
        family = _family(process)
        process.kill()
        process.communicate()
        wait_until(lambda: all(_is_gone(child) for child in family))  # noqa: B023
        _assert_untorn(folder)
    ended = command(*SWEEP, "-o", str(folder))
    assert ended.status == 0, ended.stderr
    assert _points(folder) == _points(swept)
    assert len(list(folder.glob("points/*/*"))) == len(_runs(folder)) == len(_runs(swept))


def _has_job_processes(process: subprocess.Popen[str]) -> bool:
    """Whether a fio has begun a job as a process."""
    with suppress(psutil.NoSuchProcess):
        fios = [each for each in _family(process) if each.name() == "fio"]
        return any(each.parent() in fios for each in fios)
    return False


def test_a_kill_during_the_checks_leaves_no_job_of_fio(start: Start) -> None:
    """The jobs of a fio that is killed as well would wait for it for ever."""
    for _ in range(3):
        process = start("sweep", "--iodepth", "1,4", "--rw", "randread,randwrite", "--dry-run")
        while process.poll() is None and not _has_job_processes(process):
            pass
        family = _family(process)
        process.kill()
        process.communicate()
        wait_until(lambda: all(_is_gone(child) for child in family))  # noqa: B023


def _assert_untorn(folder: Path) -> None:
    """Each line is whole but, at most, the last, which the next sweep mends."""
    path = folder / RUNS
    for line in path.read_text().split("\n")[:-1] if path.exists() else ():
        assert json.loads(line)["error"] is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_sweep_says_how_it_goes_on(
    start: Start, private: Path, number: signal.Signals
) -> None:
    folder = private / "out"
    process = start(*ONE, "--runtime", "60", "-o", str(folder))
    wait_until(lambda: _fio_works(folder))
    family = _family(process)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + number
    again = f"pyfio-virtio sweep {folder / 'plan.toml'} -o {folder}"
    assert f"interrupted before a run was finished; begin again with: {again}" in stderr
    assert "kept" not in stderr
    assert "Traceback" not in stderr
    wait_until(lambda: all(_is_gone(child) for child in family))
    assert list(folder.glob("points/*/*")) == []


def test_an_interrupted_sweep_counts_the_runs_that_it_has(start: Start, private: Path) -> None:
    folder = private / "out"
    process = start(*ONE, "--repeats", "100", "-o", str(folder))
    wait_until(lambda: bool(_runs(folder)) if folder.exists() else False)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=PATIENCE_S)
    kept = len(_runs(folder))
    assert f"interrupted; {kept} finished run" in stderr
    assert f"continue with: pyfio-virtio sweep {folder / 'plan.toml'} -o {folder}" in stderr


def test_the_plan_that_it_names_goes_on(command: RunCommand, private: Path) -> None:
    folder = private / "out"
    assert command(*ONE, "-o", str(folder)).status == 0
    before = _runs(folder)
    again = command("sweep", str(folder / "plan.toml"), "--repeats", "2", "-o", str(folder))
    assert again.status == 0, again.stderr
    assert before < _runs(folder)


def test_a_second_sweep_in_the_folder_is_kept_out(
    start: Start, command: RunCommand, private: Path
) -> None:
    folder = private / "out"
    process = start(*ONE, "--runtime", "60", "-o", str(folder))
    wait_until(lambda: _fio_works(folder))
    second = command(*ONE, "--runtime", "60", "-o", str(folder))
    assert second.status == 1
    assert f"another sweep writes to {folder}: process {process.pid}" in second.stderr


# ---- exit statuses -----------------------------------------------------------------------------


def test_a_sweep_that_goes_well_is_quiet_and_ends_with_zero(
    command: RunCommand, private: Path
) -> None:
    ended = command(*ONE, "-o", str(private / "out"))
    assert (ended.status, ended.stdout) == (0, "")
    assert "1 run in" in ended.stderr
    assert "\x1b" not in ended.stderr


def test_a_terminal_sees_how_far_it_is(private: Path) -> None:
    """rich draws the bar; long enough for fio to tell its IOPS once."""
    ours, theirs = pty.openpty()
    line = [sys.executable, "-m", "pyfio_virtio", *ONE, "--runtime", "2.5"]
    with subprocess.Popen(
        [*line, "-o", str(private / "out")], cwd=ROOT, stderr=theirs, stdin=subprocess.DEVNULL
    ) as process:
        os.close(theirs)
        shown = _read_all(ours)
    assert process.returncode == 0
    assert "1/1" in shown
    assert "repeat 1" in shown
    assert "k IOPS" in shown


def _read_all(descriptor: int) -> str:
    text = b""
    with suppress(OSError):  # Linux's word for the other side having closed
        while piece := os.read(descriptor, 65536):
            text += piece
    os.close(descriptor)
    return text.decode()


def test_failed_runs_end_with_one(command: RunCommand, private: Path) -> None:
    failing = ("--backend-option", "fault=error:type=read")
    ended = command(*ONE, *failing, "-o", str(private / "out"))
    assert ended.status == 1
    assert "failed: repeat 1: virtio wait=event" in ended.stderr
    assert ended.stderr.endswith(", 1 failed\n")


def test_a_folder_that_cannot_be_made_is_named(command: RunCommand) -> None:
    ended = command(*ONE, "-o", "/proc/none")
    assert ended.status == 1
    assert "cannot write results to /proc/none: No such file" in ended.stderr
    assert "name another folder with -o" in ended.stderr
    assert "kept" not in ended.stderr


def test_a_sweep_that_stops_says_why_and_what_next(command: RunCommand, private: Path) -> None:
    failing = ("--repeats", "5", "--backend-option", "fault=error:type=read")
    folder = private / "out"
    ended = command(*ONE, *failing, "-o", str(folder))
    assert ended.status == 1
    *failed, stopped, last = ended.stderr.splitlines()[1:]
    assert len(failed) == 2
    assert stopped.startswith("pyfio-virtio: stopped: the last 2 runs failed in the same way")
    assert "the same command continues; --keep-going" in stopped
    assert last == f"2 runs in {folder}, 2 failed"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--set", "thread=0"), "cannot set fio's option thread"),
        (("--set", "bs"), "cannot read --set bs"),
        (("--sleepy-poll", "long"), "sleepy_poll=long is not a number of microseconds"),
        (("--order", "backwards"), "'backwards' is not one of"),
        (("--backend", "qsd", "--serve", "poll"), "qsd has no --serve"),
        (("--backend", "tape"), "unknown back-end 'tape'"),
        (("--set", "opendir=/none"), "cannot set fio's option opendir"),
        (("--set", "replay_redirect=/none"), "cannot set fio's option replay_redirect"),
        (("--set", "include=/none"), "fio would take it for an include"),
        (("--set", "exec_prerun=true"), 'runs the command "true"'),
        (("--backend-option", "storage=file:/none"), "storage=file:/none"),
        (("none.toml",), "'none.toml' does not exist"),
        (("--cpus", "together"), "unknown cpus 'together'"),
        (("--engines", "libaio", "--storage", "null"), "libaio needs a file"),
    ],
)
def test_what_cannot_be_done_ends_with_two_and_leaves_nothing(
    main_here: RunCommand, private: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    ended = main_here("sweep", *arguments)
    assert ended.status == 2
    assert sentence in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not (private / "sweep-results").exists()


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        (("--fio", "no-such-fio"), {}, "cannot run no-such-fio"),
        ((), {engine.FOLDER_VARIABLE: "/none"}, "cannot find the engine"),
        (("--engines", "warp"), {}, "has no engine warp"),
        (("--backend", "qsd"), {"PATH": "{bin}"}, "cannot start qemu-storage-daemon"),
    ],
)
def test_what_the_machine_lacks_ends_with_three(
    command: RunCommand,
    tmp_path: Path,
    arguments: tuple[str, ...],
    environment: dict[str, str],
    sentence: str,
) -> None:
    (tmp_path / "fio").symlink_to("/usr/bin/fio")
    variables = {key: value.format(bin=tmp_path) for key, value in environment.items()}
    ended = command("sweep", *arguments, **variables)
    assert ended.status == 3, ended.stderr
    assert sentence in ended.stderr


# ---- nothing is run that was not asked for -----------------------------------------------------


def test_a_dry_run_tells_all_and_starts_nothing(
    command: RunCommand, private: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    asked = tmp_path / "fio"
    asked.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec /usr/bin/fio "$@"\n')
    asked.chmod(0o755)
    ended = command(*SWEEP, "--dry-run", "--fio", str(asked))
    assert ended.status == 0, ended.stderr
    assert ended.stdout.count("ioengine=") == 4
    assert ended.stdout.count("pyfio_virtio.backends.builtin") == 3
    assert ended.stdout.count("--output-format=json+") == 4
    assert "4 points, 8 runs, about " in ended.stdout
    for line in log.read_text().splitlines():
        assert line.startswith(("--version", "--enghelp", "--parse-only")) or "eta" not in line
    assert not (private / "sweep-results").exists()
    assert list((private / "pyfio-virtio").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "name", "values"),
    [
        (("--iodepth", "1", "--iodepth", "2,4"), "iodepth", ("1", "2", "4")),
        (("--set", "rwmixread=50", "--set", "rwmixread=70"), "rwmixread", ("50", "70")),
        (("--iodepth", "1", "--set", "iodepth=2"), "iodepth", ("1", "2")),
        (("--set", "bssplit=4k/50:8k/50"), "bssplit", ("4k/50:8k/50",)),
        (
            ("--set", r"bssplit=4k/50:8k/50\,8k/100,16k/9"),
            "bssplit",
            ("4k/50:8k/50,8k/100", "16k/9"),
        ),
        (("--bs", r"4k\,8k"), "bs", ("4k,8k",)),
    ],
)
def test_values_are_added_and_may_hold_commas(
    main_here: RunCommand, private: Path, arguments: tuple[str, ...], name: str, values: object
) -> None:
    file = private / "my.toml"
    assert main_here("sweep", *arguments, "--save", str(file)).status == 0
    assert read_settings(file)[0].options[name] == values


def test_a_disk_may_refuse_writes(main_here: RunCommand, private: Path) -> None:
    ended = main_here("sweep", "--read-only", "--poll-max-ns", "7", "--backend=qsd", "--dry-run")
    assert ended.status == 0, ended.stderr
    assert "writable=off" in ended.stdout
    assert "poll-max-ns=7" in ended.stdout


def test_a_sweep_is_saved_and_run_from_its_file(command: RunCommand, private: Path) -> None:
    file = private / "my.toml"
    assert command(*ONE, "--title", "Does it?", "--save", str(file)).status == 0
    assert read_settings(file)[0].title == "Does it?"
    assert not (private / "sweep-results").exists()
    ended = command("sweep", str(file), "--bs", "8k", "-o", str(private / "out"))
    assert ended.status == 0, ended.stderr
    [record] = SweepFolder(private / "out").records()
    assert (record.options["bs"], record.options["wait"]) == ("8k", "event")


def test_a_file_that_was_there_is_written_to_only_when_that_was_said(
    command: RunCommand, private: Path
) -> None:
    disk = private / "precious.img"
    disk.write_bytes(b"x" * (1 << 20))
    writing = (*ONE, "--rw", "randwrite", "--storage", f"file:{disk}", "-o", str(private / "out"))
    refused = command(*writing)
    assert refused.status == 2
    assert f"writes to {disk}" in refused.stderr
    assert set(disk.read_bytes()) == {ord("x")}
    assert command(*writing, "--yes").status == 0


def test_a_file_of_somebody_s_is_not_laid_out_anew_without_asking(
    command: RunCommand, private: Path
) -> None:
    """fio does that for a job that reads, where size= is more than the file has."""
    disk = private / "precious.img"
    disk.write_bytes(b"x" * (1 << 20))
    reading = (*PSYNC, "--storage", f"file:{disk}", "--set", "size=2m")
    ended = command(*reading, "-o", str(private / "out"))
    assert ended.status == 2
    assert f"writes to {disk}" in ended.stderr
    assert set(disk.read_bytes()) == {ord("x")}


def test_no_sweep_puts_a_file_in_the_place_of_a_socket(
    command: RunCommand, private: Path, builtin: StartBackend
) -> None:
    socket = builtin().socket
    asked = (*PSYNC, "--storage", f"file:{socket}", "--set", "size=2m", "--yes")
    ended = command(*asked, "-o", str(private / "out"))
    assert ended.status == 2
    assert "that is a socket" in ended.stderr


def test_a_log_is_replayed_on_the_disk_of_the_sweep(
    command: RunCommand, private: Path, builtin: StartBackend
) -> None:
    precious, log = private / "precious", private / "log"
    precious.write_bytes(bytes(1 << 20))
    theirs = builtin(storage=f"file:{precious}").socket
    # fio tells a rate only of what takes 1 ms or longer.
    writes = [f"write {4096 * number} 4096" for number in range(256)] * 8
    actions = ("add", "open", *writes, "close")
    log.write_text("fio version 2 iolog\n" + "".join(f"{theirs} {each}\n" for each in actions))
    options = ("--set", f"read_iolog={log}", "--set", "buffer_pattern=0xff")
    ended = command(*ONE, *options, "-o", str(private / "out"))
    assert ended.status == 0, ended.stderr
    assert not any(precious.read_bytes())


def test_options_of_the_back_end_that_a_file_holds_are_asked_about(
    command: RunCommand, private: Path
) -> None:
    file, stats = private / "theirs.toml", private / "stats"
    typed = (*ONE, "--backend-option", f"stats-file={stats}")
    assert command(*typed, "--save", str(file)).status == 0
    ended = command("sweep", str(file), "-o", str(private / "out"))
    assert ended.status == 2
    assert f"starts the built-in back-end with --stats-file={stats}" in ended.stderr
    assert command(*typed, "-o", str(private / "out")).status == 0


def test_a_disk_of_somebody_s_is_written_only_when_that_was_said(
    command: RunCommand, private: Path, builtin: StartBackend
) -> None:
    backend = builtin()
    writing = (*ONE, "--rw", "randwrite", "--backend", backend.socket, "-o", str(private / "out"))
    refused = command(*writing)
    assert refused.status == 2
    assert f"writes to {backend.socket}" in refused.stderr
    assert not (private / "out").exists()


def test_a_disk_of_somebody_s_is_read_without_asking(
    command: RunCommand, private: Path, builtin: StartBackend
) -> None:
    backend = builtin()
    ended = command(*ONE, "--backend", backend.socket, "-o", str(private / "out"))
    assert ended.status == 0, ended.stderr

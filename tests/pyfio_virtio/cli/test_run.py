# SPDX-License-Identifier: GPL-2.0-or-later
"""cli/run.py and run.py: real runs of fio by the real command."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT, RunCommand, StartBackend
from tests.pyfio_virtio.conftest import Start
from tests.waiting import wait_until

# A job that is done at once, and one that goes on until it is told to end.
SHORT = ("--", "--time_based=0", "--number_ios=100")
LONG = ("--", "--time_based", "--runtime=100")
# Only bounds a hang.
PATIENCE_S = 20.0


def _family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The children of a run, once fio has begun to work.

    It has three threads then: its main thread, its helper and the job. It also has that many for a
    moment while it tests its clocks, but does not yet handle signals then: one of them would end
    it at once.
    """
    family: list[psutil.Process] = []

    def is_found() -> bool:
        family[:] = psutil.Process(process.pid).children(recursive=True)
        return any(
            _handles_signals(child) and _threads(child) > 2 and _has_a_job(child)
            for child in _fios(family)
        )

    wait_until(is_found)
    return family


def _handles_signals(process: psutil.Process) -> bool:
    """Whether it has a handler for SIGTERM: SigCgt of proc(5)."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    [caught] = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(caught, 16) >> signal.SIGTERM - 1 & 1)


def _has_a_job(process: psutil.Process) -> bool:
    """Whether this fio runs a job. Before that, fio is asked about its options."""
    try:
        return any(word.endswith("/job.fio") for word in process.cmdline())
    except psutil.NoSuchProcess:
        return False


def _fios(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if _name(process) == "fio"]


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:  # fio forks for a moment while it starts
        return ""


def _threads(process: psutil.Process) -> int:
    try:
        return process.num_threads()
    except psutil.NoSuchProcess:
        return 0


def _is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _left(private: Path) -> list[Path]:
    return list(private.glob("pyfio-virtio/*"))


def test_the_default_job_runs_on_a_disk_of_its_own(command: RunCommand, private: Path) -> None:
    ended = command("run", *SHORT)
    assert ended.status == 0, ended.stderr
    assert "err= 0" in ended.stdout
    assert _left(private) == []


@pytest.mark.parametrize("text", ["", "rw=read\n", "[global]\nioengine=fio_virtio\n"])
def test_a_file_without_a_job_is_refused(command: RunCommand, private: Path, text: str) -> None:
    (private / "job").write_text(text)
    ended = command("run", str(private / "job"))
    assert (ended.status, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert "it has no job" in ended.stderr


def test_a_dash_is_a_job_on_standard_input(private: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "pyfio_virtio", "run", "--dry-run", "-", "--", "--bs=8k"],
        input="[piped]\nioengine=fio_virtio\n",
        capture_output=True,
        cwd=ROOT,
        text=True,
    )
    assert "[piped]" in ended.stdout, ended.stderr
    assert "bs=8k" in ended.stdout


def test_one_line_tells_what_runs_where(command: RunCommand) -> None:
    line = command("run", "--disk-size", "64M", *SHORT, "--size=1m").stderr.splitlines()[0]
    assert "jobs/virtio.fio" in line
    assert "64 MiB" in line


def test_json_is_all_that_stdout_gets(command: RunCommand) -> None:
    ended = command("run", "--json", *SHORT)
    [job] = json.loads(ended.stdout)["jobs"]
    assert job["error"] == 0


def test_json_is_whole_when_the_engine_has_something_to_say(command: RunCommand) -> None:
    ended = command("run", "--json", *SHORT, "--hugepages=auto")
    assert ended.stdout.startswith("{")


def test_counters_follow_fios_result(command: RunCommand) -> None:
    ended = command("run", "--counters", *SHORT, "--wait=event")
    words = r"virtio, wait=event: kicks [\d.]+, calls [\d.]+, looks [\d.]+, sleeps [\d.]+ per I/O, "
    assert re.search(words + r"[\d.]+ µs CPU per I/O", ended.stdout)
    assert "kick: " in ended.stdout


def test_counters_leave_json_whole(command: RunCommand) -> None:
    ended = command("run", "--counters", "--json", *SHORT)
    json.loads(ended.stdout)
    assert " per I/O" in ended.stderr


def test_each_job_has_its_counters(command: RunCommand) -> None:
    ended = command("run", "--counters", *SHORT, "--numjobs=2")
    assert "virtio (job 1), " in ended.stdout
    assert "virtio (job 2), " in ended.stdout


def test_a_file_for_counters_that_the_job_names_is_kept(
    command: RunCommand, tmp_path: Path
) -> None:
    stats = tmp_path / "stats.json"
    ended = command("run", "--counters", *SHORT, f"--stats_file={stats}")
    assert " per I/O" in ended.stdout
    assert json.loads(stats.read_text())["ios"] == 100


def test_jobs_of_another_engine_are_not_counted(command: RunCommand) -> None:
    null = ("--", "--ioengine=null", "--name=a", "--size=1m")
    ended = command("run", "--backend=none", "--counters", *null)
    assert ended.status == 2
    assert "--counters" in ended.stderr


def test_an_option_of_fio_that_is_wrong_leaves_no_counters(command: RunCommand) -> None:
    ended = command("run", "--counters", *SHORT, "--rw=backwards")
    assert ended.status == 2
    assert " per I/O" not in ended.stdout


@pytest.mark.parametrize("flags", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--no_such_option=1", "fio refuses it: Bad option <no_such_option=1>"),
        ("--nrfilez=1", "Bad option <nrfilez=1>; did you mean nrfiles?"),
        ("--rw=${NO_SUCH_RW}", "set the environment variable NO_SUCH_RW"),
        ("--rw=backwards", "failed parsing rw=backwards; use read, write"),
        ("--wait=buzy", "failed parsing wait; use event, busy, sleepy or adaptive"),
        ("--rwmixread=200", "rwmixread: max value out of range: 200 (100 max)"),
    ],
)
def test_a_job_that_fio_refuses_is_not_begun(
    main_here: RunCommand, flags: tuple[str, ...], option: str, words: str
) -> None:
    ended = main_here("run", *flags, *SHORT, option)
    assert (ended.status, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert "cannot run " in ended.stderr
    assert words in ended.stderr


def test_a_number_that_fio_reads_only_in_part_is_told(main_here: RunCommand) -> None:
    ended = main_here("run", "--dry-run", *SHORT, "--iodepth=1-64", "--thinktime=5us")
    assert ended.status == 0
    assert ended.stderr == (
        "pyfio-virtio: note: fio reads iodepth=1-64 as 1; for several values, write 1,64\n"
    )


@pytest.mark.parametrize("flags", [(), ("--dry-run",)])
def test_a_socket_that_nobody_serves_is_not_begun(
    main_here: RunCommand, private: Path, flags: tuple[str, ...]
) -> None:
    path = private / "x.sock"
    ended = main_here("run", *flags, "--socket", str(path), *SHORT)
    assert (ended.status, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert f"cannot use the back-end at {path}: there is no such socket; start the" in ended.stderr


def test_the_status_is_one_however_many_jobs_fail(command: RunCommand, private: Path) -> None:
    jobs = ("--name=a", "--ioengine=fio_virtio", "--thread", "--create_serialize=0", "--numjobs=3")
    missing = f"--filename={private / 'no.sock'}"
    ended = command("run", "--backend", "none", "--", *jobs, missing, "--rw=read")
    assert ended.status == 1, ended.stderr


def test_a_disk_gets_a_queue_for_each_job(command: RunCommand) -> None:
    ended = command("run", "--json", *SHORT, "--numjobs=4")
    assert ended.status == 0, ended.stderr
    assert len(json.loads(ended.stdout)["jobs"]) == 4


def test_whatever_disk_the_job_names_is_not_touched(command: RunCommand, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(bytes(1 << 20))
    job = tmp_path / "job.fio"
    job.write_text(
        "[a]\nioengine=fio_virtio\nthread=1\nrw=write\nbs=4k\nnumber_ios=10\n"
        f"buffer_pattern=0xff\nfilename={precious}\n"
    )
    assert command("run", str(job)).status == 0
    assert not any(precious.read_bytes())


def test_a_job_runs_on_the_socket_that_is_named(command: RunCommand, qsd: StartBackend) -> None:
    ended = command("run", "--socket", qsd().socket, "--yes", *SHORT)
    assert ended.status == 0, ended.stderr


def test_writing_to_a_disk_that_is_named_needs_a_yes(
    command: RunCommand, qsd: StartBackend
) -> None:
    ended = command("run", "--socket", qsd().socket, *SHORT)
    assert ended.status == 2
    assert "--yes" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_job_as_it_stands_needs_a_yes_too(command: RunCommand) -> None:
    ended = command("run", "--backend", "none", *SHORT)
    assert ended.status == 2
    assert "/tmp/vhost.0" in ended.stderr  # noqa: S108 - what the job names


def test_a_file_that_was_there_needs_a_yes_too(command: RunCommand, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(bytes(1 << 20))
    ended = command("run", "--storage", f"file:{precious}", *SHORT)
    assert ended.status == 2
    assert str(precious) in ended.stderr


def test_a_file_that_is_made_for_the_run_needs_none(command: RunCommand, tmp_path: Path) -> None:
    made = tmp_path / "made"
    ended = command("run", "--storage", f"file:{made}", "--disk-size=1M", *SHORT)
    assert ended.status == 0, ended.stderr
    assert made.stat().st_size == 1 << 20


def test_reading_needs_no_yes(command: RunCommand, qsd: StartBackend) -> None:
    ended = command("run", "--socket", qsd().socket, *SHORT, "--rw=randread")
    assert ended.status == 0, ended.stderr


def test_a_disk_in_memory_that_we_started_needs_no_yes(command: RunCommand) -> None:
    socket = command("backend", "start", "qsd").stdout.strip()
    ended = command("run", "--socket", socket, *SHORT)
    command("backend", "stop", "--all")
    assert ended.status == 0, ended.stderr


def test_at_a_terminal_one_is_asked(private: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "pyfio_virtio", "run", "--backend", "none", *SHORT],
        cwd=ROOT,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.write(ours, b"n\n")
        _, stderr = process.communicate(timeout=PATIENCE_S)
    os.close(ours)
    os.close(theirs)
    assert "Continue?" in stderr
    assert process.returncode == 130


def test_a_dry_run_shows_all_and_starts_nothing(command: RunCommand, private: Path) -> None:
    shown = command("run", "--backend", "qsd", "--dry-run", "--", "--numjobs=3")
    assert shown.status == 0, shown.stderr
    for part in ("ioengine=fio_virtio", "num-queues=3", "LD_LIBRARY_PATH=", "fio "):
        assert part in shown.stdout
    assert list(private.iterdir()) == []


def test_a_fio_that_the_engine_was_not_built_for_is_refused(
    command: RunCommand, tmp_path: Path
) -> None:
    other = tmp_path / "fio"
    other.write_text("#!/bin/sh\necho fio-3.99\n")
    other.chmod(0o755)
    ended = command("run", "--fio", str(other))
    assert ended.status == 3
    assert "fio-3.99" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_back_end_that_dies_ends_the_run(start: Start, private: Path) -> None:
    process = start("run", *LONG)
    for child in _family(process):
        if _name(child) != "fio":
            child.kill()
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode != 0
    assert "the back-end ended during the run" in stderr.splitlines()[-1]
    assert _left(private) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_in_order(start: Start, private: Path, number: int) -> None:
    process = start("run", *LONG)
    family = _family(process)
    process.send_signal(number)
    stdout, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + number
    assert "Run status group 0" in stdout  # fio got to its summary
    wait_until(lambda: all(_is_gone(child) for child in family))
    assert _left(private) == []


def test_a_kill_leaves_no_orphan(start: Start) -> None:
    process = start("run", *LONG)
    family = _family(process)
    process.kill()
    wait_until(lambda: all(_is_gone(child) for child in family))


@pytest.mark.parametrize("output", [(), ("--json",)])
def test_jobs_that_are_processes_end_too(start: Start, output: tuple[str, ...]) -> None:
    null = ("--name=a", "--ioengine=null", "--size=1g", "--numjobs=2")
    process = start("run", "--backend=none", *output, "--", *null, *LONG[1:])
    wait_until(lambda: len(_fios(psutil.Process(process.pid).children(recursive=True))) >= 3)
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    wait_until(lambda: all(_is_gone(child) for child in family))


def test_what_a_killed_run_left_goes_with_the_next(
    start: Start, command: RunCommand, private: Path
) -> None:
    process = start("run", *LONG)
    family = _family(process)
    process.kill()
    process.wait()
    assert _left(private) != []
    wait_until(lambda: all(_is_gone(child) for child in family))
    command("run", *SHORT)
    assert _left(private) == []


def test_a_stop_stops_fio_too_until_it_goes_on(
    start: Start,
) -> None:
    process = start("run", *LONG)
    [fio] = _fios(_family(process))
    process.send_signal(signal.SIGTSTP)
    run = psutil.Process(process.pid)
    wait_until(lambda: {fio.status(), run.status()} == {psutil.STATUS_STOPPED})
    process.send_signal(signal.SIGCONT)
    wait_until(lambda: fio.status() != psutil.STATUS_STOPPED)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + signal.SIGINT


@pytest.mark.parametrize("asked", [("jobs/scsi.fio", *SHORT), (*SHORT, "--device=scsi")])
def test_a_job_for_scsi_gets_a_scsi_disk(command: RunCommand, asked: tuple[str, ...]) -> None:
    first, *rest = asked
    job_file = [str(ROOT / first)] if first.endswith(".fio") else [first]
    ended = command("run", *job_file, *rest)
    assert ended.status == 0, ended.stderr
    assert "err= 0" in ended.stdout


def test_a_job_for_scsi_is_refused_where_there_is_none(command: RunCommand) -> None:
    ended = command("run", str(ROOT / "jobs" / "scsi.fio"), "--backend=qsd")
    assert ended.status != 0
    assert "qsd has no virtio-scsi" in ended.stderr


def test_a_device_that_is_named_is_not_changed(command: RunCommand) -> None:
    line = command(
        *("run", str(ROOT / "jobs" / "scsi.fio"), "--backend-option=device=blk", "--dry-run")
    ).stdout
    assert "--device=blk" in line
    assert "--device=scsi" not in line


# ---- strangers' jobs ----------------------------------------------------------------------------


def test_what_follows_the_dashes_wins_over_the_section_that_chooses_the_engine(
    command: RunCommand, private: Path
) -> None:
    (private / "job").write_text(
        "[a]\nioengine=fio_virtio\nwait=adaptive\nsize=64k\n"
        "[b]\nioengine=cpuio\ncpuload=1\ncpuchunks=10\nruntime=1\n"
    )
    ended = command("run", "--counters", str(private / "job"), "--", "--wait=busy")
    assert ended.status == 0, ended.stderr
    assert "wait=busy" in ended.stdout


def test_job_files_run_one_after_the_other(command: RunCommand, private: Path) -> None:
    for name in ("one", "two"):
        (private / name).write_text(f"[{name}]\nioengine=fio_virtio\nsize=64k\nbs=64k\n")
    ended = command(
        "run", "--json", str(private / "one"), str(private / "two"), "--", "--bs=4k", "--rw=write"
    )
    assert ended.status == 0, ended.stderr
    jobs = json.loads(ended.stdout)["jobs"]
    assert [(job["jobname"], job["write"]["total_ios"]) for job in jobs] == [
        ("one", 16),
        ("two", 16),
    ]
    assert [job["groupid"] for job in jobs] == [0, 1]


def test_global_sections_of_a_job_file_end_with_it(command: RunCommand, private: Path) -> None:
    (private / "one").write_text("[global]\nbs=8k\n[a]\nioengine=fio_virtio\nsize=64k\n")
    (private / "two").write_text("[b]\nioengine=fio_virtio\nsize=64k\n")
    ended = command("run", "--json", str(private / "one"), str(private / "two"))
    jobs = json.loads(ended.stdout)["jobs"]
    assert [job["read"]["total_ios"] for job in jobs] == [8, 16]


def test_bytes_that_are_not_utf_8_are_no_obstacle(command: RunCommand, private: Path) -> None:
    held = b"# caf\xe9 \x01\n[a]\nioengine=fio_virtio\ndescription=caf\xe9\nsize=64k\n"
    (private / "job").write_bytes(held)
    assert command("run", str(private / "job")).status == 0
    shown = subprocess.run(
        [sys.executable, "-m", "pyfio_virtio", "run", "--dry-run", str(private / "job")],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    assert b"description=caf\xe9\n" in shown


@pytest.mark.parametrize("place", ["global", "job", "typed", "typed job"])
def test_no_folder_is_put_before_the_socket(command: RunCommand, private: Path, place: str) -> None:
    line = f"directory={private}"
    (private / "job").write_text(
        f"[global]\n{line if place == 'global' else ''}\nioengine=fio_virtio\nsize=64k\n"
        f"[a]\n{line if place == 'job' else ''}\n"
    )
    typed = [f"--{line}"] if place == "typed" else []
    typed += ["--name=b", f"--{line}"] if place == "typed job" else []
    ended = command("run", str(private / "job"), "--", *typed)
    assert ended.status == 0, ended.stderr


@pytest.mark.parametrize(
    ("text", "queues"),
    [
        ("".join(f"[j{number}]\nstonewall\nnumjobs=16\n" for number in range(20)), 16),
        ("[a]\nnumjobs=$ncpus\n", os.sysconf("SC_NPROCESSORS_CONF")),
        ("[a]\nnumjobs=0x2\n[b]\nwait_for=a\nnumjobs=3\n", 3),
    ],
)
def test_the_disk_has_a_queue_for_each_job_that_runs_at_the_same_time(
    command: RunCommand, private: Path, text: str, queues: int
) -> None:
    text = f"[global]\nioengine=fio_virtio\nthread=1\nsize=4k\ngroup_reporting\n{text}"
    (private / "job").write_text(text)
    ended = command("run", "--disk-size", "1M", str(private / "job"))
    assert ended.status == 0, ended.stderr
    assert re.search(rf"\b{queues} queues?\b", ended.stderr.splitlines()[0])


# ---- ^C while the disk hangs or is slow ----------------------------------------------------------

RUNNING = ("--time_based", "--runtime=100", "--rw=randread", "--iodepth=4")
every_kind_of_job = pytest.mark.parametrize("jobs", [("--thread",), ("--thread=0", "--numjobs=2")])


def _faulty(private: Path, fault: str) -> tuple[str, ...]:
    control = f"control={private / 'control'}"
    return ("--backend-option", f"fault={fault}", "--backend-option", control)


def _has_struck(private: Path) -> bool:
    """Whether the fault has struck a request of the job."""
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(PATIENCE_S)
        if control.connect_ex(str(private / "control")):
            return False
        control.sendall(b"stats\n")
        return b'"fault_' in control.recv(4096)


def _folder_is_clean(private: Path) -> bool:
    return not [path for path in private.rglob("*") if path.is_socket() or path.suffix == ".log"]


@every_kind_of_job
def test_a_second_interrupt_ends_a_run_on_a_disk_that_hangs(
    start: Start, private: Path, jobs: tuple[str, ...]
) -> None:
    process = start(
        "run", *_faulty(private, "lose:type=read"), "--", *RUNNING, "--request_timeout=0", *jobs
    )
    wait_until(lambda: _has_struck(private))
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    time.sleep(1)  # the run waits for its requests, without end
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode > 0
    assert "a second signal ended the run" in errors
    wait_until(lambda: all(_is_gone(child) for child in family))
    assert _folder_is_clean(private)


@every_kind_of_job
def test_the_first_interrupt_lets_a_slow_disk_finish(
    start: Start, private: Path, jobs: tuple[str, ...]
) -> None:
    process = start("run", *_faulty(private, "delay:for=2500ms,type=read"), "--", *RUNNING, *jobs)
    wait_until(lambda: _has_struck(private))
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + signal.SIGINT, errors
    assert "fio_virtio: " not in errors.replace("fio_virtio: ordinary pages", "")
    wait_until(lambda: all(_is_gone(child) for child in family))
    assert _folder_is_clean(private)


# ---- names of jobs and back-ends ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["latency", "latency.fio", "jobs/latency.fio"])
def test_a_job_that_comes_with_us_runs_by_its_name(main_here: RunCommand, name: str) -> None:
    shown = main_here("run", name, "--dry-run")
    assert shown.status == 0, shown.stderr
    assert "[latency]" in shown.stdout


@pytest.mark.parametrize("flag", ["--socket", "--backend"])
@pytest.mark.parametrize("path", ["disk0.sock", "./disk0.sock"])
def test_a_relative_path_of_a_socket_is_a_socket(
    main_here: RunCommand, builtin: StartBackend, private: Path, flag: str, path: str
) -> None:
    builtin()
    shown = main_here("run", flag, path, "--dry-run", "latency")
    assert shown.status == 0, shown.stderr
    assert f"filename={private / 'disk0.sock'}" in shown.stdout
    assert "# back-end" not in shown.stdout


@pytest.mark.parametrize(
    ("named", "words"),
    [("qds", "did you mean qsd?"), ("a.sock", "./a.sock"), ("", "--backend is empty")],
)
def test_an_unknown_back_end_is_one_sentence(main_here: RunCommand, named: str, words: str) -> None:
    ended = main_here("run", "--backend", named)
    assert (ended.status, ended.stderr.count("\n")) == (2, 1)
    assert words in ended.stderr


def test_options_of_a_back_end_follow_its_name(main_here: RunCommand) -> None:
    shown = main_here("run", "--backend", "builtin,latency=20us", "--dry-run")
    assert "--latency=20us" in shown.stdout

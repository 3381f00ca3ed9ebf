# SPDX-License-Identifier: GPL-2.0-or-later
"""cli/tune.py: the real command on a real disk, for as short a time as it takes."""

import re
import shutil
import signal
from pathlib import Path

from pyfio_virtio.engine import engine
from pyfio_virtio.fio import job
from pyfio_virtio.machine import folders
from tests.conftest import RunCommand, StartBackend
from tests.pyfio_virtio.conftest import Start
from tests.pyfio_virtio.tune.test_job_file import parse_only
from tests.waiting import wait_until

_FEW = ("--goal", "latency", "--wait", "event,busy", "--cpus", "any")
FEW = ("tune", *_FEW, "--set", "event_idx=auto", "--set", "indirect=auto")


def test_it_writes_a_job_that_fio_takes(
    command: RunCommand, builtin: StartBackend, private: Path
) -> None:
    socket = builtin(storage="null").socket
    fio, build = private / "my-fio", private / "build"
    fio.symlink_to(str(shutil.which("fio")))
    shutil.copytree(engine.folder(), build, ignore=lambda _, names: {*names} - {engine.NAME})
    own = ("--fio", str(fio), "--engine-build", str(build))
    ended = command(*FEW, *own, "--time", "8", "-o", "out", socket)
    path = private / "out" / "latency.fio"
    assert (ended.status, ended.stdout.splitlines()[-1]) == (0, "out/latency.fio")
    # What is shown depends on how many rounds fit into the time.
    assert re.search("^Latency: .*wait=busy", ended.stdout, re.MULTILINE)
    assert parse_only(path) == (0, b"")
    text = path.read_text()
    [section] = job.parse(text).sections()
    expected = {"filename": socket, "iodepth": "1", "rw": "randread"}
    assert expected.items() <= section.options.items()
    assert re.search(rf"^#   LD_LIBRARY_PATH={build}\S* {fio} out/latency.fio$", text, re.MULTILINE)
    assert {each.name for each in private.iterdir()} & {"out", "runs"} == {"out"}


def test_a_time_that_is_too_short_ends_with_how_much_is_needed(
    command: RunCommand, builtin: StartBackend, private: Path
) -> None:
    ended = command("tune", "--time", "2", builtin(storage="null").socket)
    sentence = (
        r"cannot tune within 2 s: (there was no time to compare anything with the defaults|"
        r"the checks before the first run ended after \d+\.\d s); "
        r"use --time \d+ or more, or fewer goals\n"
    )
    assert (ended.status, ended.stdout) == (1, "")
    assert re.search(sentence, ended.stderr), ended.stderr
    assert not (private / "tuned").exists()


def test_an_interruption_leaves_nothing_and_says_what_was_learned(
    start: Start, builtin: StartBackend, private: Path
) -> None:
    process = start(*FEW, "-o", str(private / "out"), builtin(storage="null").socket)
    mine = f"run-{process.pid}-*"

    def runs() -> int:
        found = folders.memory_folder().glob(f"{mine}/runs/runs.jsonl")
        return sum(len(each.read_text().splitlines()) for each in found)

    # A run is in the file before it is learned from.
    wait_until(lambda: process.poll() is not None or runs() > 2)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate()
    assert process.returncode == 130, stderr
    assert "wait=busy" in stdout
    assert "interrupted; no job file was written" in stderr
    assert not (private / "out").exists()
    assert not [*folders.memory_folder().glob(mine), *folders.state_folder().glob(mine)]


def test_job_files_are_not_replaced_unasked(command: RunCommand, private: Path) -> None:
    old = private / "tuned" / "iops.fio"
    old.parent.mkdir()
    old.write_text("old")
    ended = command("tune", "qsd")
    assert ended.status == 2
    assert re.search(r"tune replaces tuned/iops.fio; use --yes .* -o\n", ended.stderr)
    assert old.read_text() == "old"


def test_a_folder_in_a_job_files_place_is_seen_before_the_first_run(
    command: RunCommand, private: Path
) -> None:
    (private / "tuned" / "iops.fio").mkdir(parents=True)
    ended = command("tune", "--yes")
    assert ended.status == 2
    assert ended.stderr.endswith(
        "cannot write tuned/iops.fio: it is not a file; name another folder with -o\n"
    )

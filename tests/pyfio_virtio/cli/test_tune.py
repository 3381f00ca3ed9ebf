# SPDX-License-Identifier: GPL-2.0-or-later
"""cli/tune.py: the real command on a real disk, for as short a time as it takes."""

import re
import signal
from pathlib import Path

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
    ended = command(*FEW, "--time", "2.5", "-o", "out", socket)
    path = private / "out" / "latency.fio"
    assert (ended.status, ended.stdout.splitlines()[-1]) == (0, "out/latency.fio")
    # How many rounds fit into the time is not said, but they are too few for a claim.
    assert re.search("cannot tell whether wait=busy is|wait=busy was not compared", ended.stdout)
    assert parse_only(path) == (0, b"")
    [section] = job.parse(path.read_text()).sections()
    expected = {"filename": socket, "iodepth": "1", "wait": "event", "rw": "randread"}
    assert expected.items() <= section.options.items()
    assert {each.name for each in private.iterdir()} & {"out", "runs"} == {"out"}


def test_an_interruption_leaves_nothing_and_says_what_was_learned(
    start: Start, builtin: StartBackend, private: Path
) -> None:
    process = start(*FEW, "-o", str(private / "out"), builtin(storage="null").socket)
    mine = f"run-{process.pid}-*"

    def runs() -> int:
        found = folders.memory_folder().glob(f"{mine}/runs/runs.jsonl")
        return sum(len(each.read_text().splitlines()) for each in found)

    wait_until(lambda: process.poll() is not None or runs() > 0)
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

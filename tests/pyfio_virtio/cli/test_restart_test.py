# SPDX-License-Identifier: GPL-2.0-or-later
"""cli/restart_test.py: real back-ends that are killed, one that loses data, and what is refused.

tests/pyfio_virtio/restarts has the load on simulated disks.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pyfio_virtio.backends.unix_sockets import accepts, listener
from pyfio_virtio.engine import engine
from pyfio_virtio.machine.process import start_ticks
from tests.conftest import ROOT, RunCommand
from tests.pyfio_virtio.conftest import Start
from tests.waiting import PATIENCE_S, wait_until

# Small disks and short pauses. Waiting for the eventfd leaves the CPUs to the back-end.
SHORT = ("--every", "10ms-100ms", "--wait", "event", "--iodepth", "4", "--json")
BLOCK_BYTES = 4096
BLOCKS = 256
IN_FLIGHT = 8

# Kills the back-end if there is one, and starts one on a file. At the second kill, an older copy of
# the file takes its place, and the number of blocks that differ is written down.
RESTART = f"""
import os, select, signal
from pathlib import Path
from pyfio_virtio.backends.backends import start
from pyfio_virtio.backends.spec import BackendSpec

disk, old, pid, count = (Path(name) for name in ("disk.img", "old.img", "pid", "count"))
if pid.exists():
    victim = os.pidfd_open(int(pid.read_text()))
    signal.pidfd_send_signal(victim, signal.SIGKILL)
    select.select([victim], [], [])
    Path("disk.sock").unlink()
    now = disk.read_bytes()
    if old.exists():
        then = old.read_bytes()
        places = range(0, len(now), {BLOCK_BYTES})
        differ = [now[i : i + {BLOCK_BYTES}] != then[i : i + {BLOCK_BYTES}] for i in places]
        count.write_text(str(sum(differ)))
        old.rename(disk)
    else:
        old.write_bytes(now)
spec = BackendSpec(storage=f"file:{{disk}}", size_bytes={BLOCKS * BLOCK_BYTES})
made = start(spec, "disk.sock", "log", outlives_us=True)
pid.write_text(str(made.process.pid))
"""


@pytest.fixture
def restart(private: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A command that restarts the back-end at disk.sock, and loses data at its second restart."""
    script = private / "restart.py"
    script.write_text(RESTART)
    monkeypatch.chdir(private)
    line = (
        f"PYTHONPATH={ROOT} {engine.FOLDER_VARIABLE}={engine.folder()} {sys.executable} restart.py"
    )
    assert os.system(line) == 0  # noqa: S605 - as the command runs it
    yield line
    with suppress(ProcessLookupError):
        os.kill(int((private / "pid").read_text()), signal.SIGKILL)


def test_nothing_is_lost_on_a_back_end_that_keeps_its_data(
    command: RunCommand, private: Path
) -> None:
    done = command(
        *("restart-test", "--restarts", "3", "--disk-size", "4M", "--queues", "2", *SHORT),
        *("--storage", f"file:{private / 'disk.img'}"),
    )
    assert done.status == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["done"] == len(found["restarts"]) == 3
    assert (found["total"]["wrong"], found["total"]["errors"]) == (0, 0)
    assert all(each["reconnects"] and each["stall_worst_ns"] for each in found["restarts"])
    assert all(each["reads"] >= found["blocks"] for each in found["restarts"])
    assert found["last"]["reads"] == found["blocks"] == 1024


def test_each_lost_write_is_found(command: RunCommand, private: Path, restart: str) -> None:
    done = command(
        *("restart-test", "--socket", "disk.sock", "--restart-with", restart, "--yes"),
        *("--restarts", "2", *SHORT),
    )
    found = json.loads(done.stdout)
    assert (done.status, found["done"]) == (1, 2)
    # Writes that were in flight are sent again, and repair their blocks.
    differed = int((private / "count").read_text())
    first, second = found["restarts"]
    assert differed - IN_FLIGHT <= second["older"] == second["wrong"] <= differed
    assert (first["wrong"], found["last"]["wrong"], found["total"]["errors"]) == (0, 0, 0)
    assert f"{second['older']} held an earlier write" in done.stderr
    assert "and write" in found["findings"][0]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--restart-with true", "name yours with --socket PATH"),
        ("--socket no.sock", "say how: --restart-with"),
        ("--socket no.sock --restart-with true", "there is no such socket"),
        ("--socket no.sock --restart-with true --storage memory", "cannot use --storage here"),
        ("--socket no.sock --restart-with true --down-for 1", "cannot use --down-for here"),
        ("--socket no.sock --backend qsd", "cannot use --backend here"),
        ("--storage null", "it keeps no data"),
        ("--every 2-1", "2-1 is not a time"),
        ("--every 1-2-3", "1-2-3 is not a time"),
        ("--picture a.jpg", "name a .png or .svg file"),
        ("--picture no/a.png", "its folder does not exist"),
        ("--bs 0", "0 is no size for this"),
        ("--read-percent nan", "nan is not a number"),
        ("--backend qsd --device scsi", "has no virtio-scsi"),
    ],
)
def test_what_makes_no_sense_is_refused(command: RunCommand, words: str, sentence: str) -> None:
    done = command("restart-test", *words.split())
    assert (done.status, sentence in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--bs 1000", "the blocks of the disk have 512 bytes"),
        ("--size 8M", "do not fit"),
        ("--size 64k", "need 128 blocks"),
    ],
)
def test_a_part_that_does_not_fit_the_disk_is_refused(
    command: RunCommand, words: str, sentence: str
) -> None:
    done = command("restart-test", "--disk-size", "4M", *words.split())
    assert (done.status, sentence in done.stderr) == (2, True), done.stderr


def test_a_file_of_the_user_is_not_written_unasked(command: RunCommand, private: Path) -> None:
    disk = private / "mine.img"
    disk.write_bytes(b"mine" * 1024)
    done = command("restart-test", "--storage", f"file:{disk}")
    assert done.status == 2
    assert "use --yes if the data on it may be lost" in done.stderr
    assert disk.read_bytes() == b"mine" * 1024


@pytest.mark.parametrize(
    ("restart_with", "sentence"),
    [
        ("echo broken; exit 3", "failed with status 3: broken"),
        ("sleep 60", "did not return within 0.2 s"),
        ("true", "it did not hang up"),
    ],
)
def test_a_command_that_does_not_restart_it_ends_the_test(
    command: RunCommand, restart: str, restart_with: str, sentence: str
) -> None:
    done = command(
        *("restart-test", "--socket", "disk.sock", "--restart-with", restart_with, "--yes"),
        *("--reconnect-timeout", "200ms", *SHORT),
    )
    assert (done.status, sentence in done.stderr) == (1, True), done.stderr
    found = json.loads(done.stdout)
    assert (done.stderr.count("\n"), found["done"]) == (1, 0)
    # What the end of the test interrupts did not fail.
    assert found["total"]["errors"] == 0


def test_a_signal_ends_it_and_the_back_end(start: Start, private: Path) -> None:
    process = start("restart-test", "--every", "100", "--disk-size", "4M", "--wait", "event")
    run = wait_for_folder(private)
    back_end = listener(str(run / "disk.sock"))
    process.terminate()
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, errors.lstrip()) == (143, "pyfio-virtio: interrupted\n")
    assert not run.exists()
    assert back_end is not None
    assert start_ticks(back_end) is None


def wait_for_folder(private: Path) -> Path:
    """The folder of the run, when its back-end serves."""
    wait_until(lambda: any(map(accepts, map(str, private.glob("pyfio-virtio/run-*/disk.sock")))))
    return next(private.glob("pyfio-virtio/run-*"))

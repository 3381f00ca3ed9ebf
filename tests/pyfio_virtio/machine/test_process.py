# SPDX-License-Identifier: GPL-2.0-or-later
"""machine/process.py: children started, told apart, ended."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyfio_virtio.machine import process

# Starts a child that dies with it, says the child's number, and waits to be killed.
PARENT = """
import signal, sys, time
from pyfio_virtio.machine import process
child = process.start(["sleep", "60"], death_signal=signal.SIGKILL)
print(child.pid, child.start_ticks, flush=True)
time.sleep(60)
"""

# Is interrupted where Python drops whatever is raised: in its own work after a fork. With a second
# thread the kernel has somebody to deliver the signal to while the main thread has it blocked.
INTERRUPTED = """
import os, signal, sys, threading, time
from pyfio_virtio.machine import process
number, over = int(sys.argv[1]), threading.Event()
threading.Thread(target=over.wait).start()
def interrupt(number, frame):
    raise KeyboardInterrupt
signal.signal(number, interrupt)
def signal_us(child):
    os.kill(os.getpid(), number)
try:
    process.start(["sleep", "60"], death_signal=signal.SIGKILL, before=signal_us)
    for _ in range(3000):  # the other thread takes the signal in its own time
        time.sleep(0.01)
except KeyboardInterrupt:
    print("interrupted")
over.set()
"""


KILLED_BEFORE = """
import os, signal
from pyfio_virtio.machine import process
def kill_us(child):
    print(child.pid, child.start_ticks, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
process.start(["sleep", "60"], death_signal=None, before=kill_us)
"""


@pytest.fixture
def sleeper() -> Iterator[process.Process]:
    child = process.start(["sleep", "60"], death_signal=signal.SIGKILL)
    yield child
    child.end()


def test_a_child_runs_until_it_is_ended(sleeper: process.Process) -> None:
    assert sleeper.is_running()
    sleeper.end()
    assert not sleeper.is_running()


def test_a_child_that_ignores_sigterm_is_killed() -> None:
    command = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"]
    child = process.start(command, death_signal=signal.SIGKILL, output=subprocess.PIPE)
    assert child.child is not None
    with child.child:
        assert child.child.stdout is not None
        assert child.child.stdout.readline() == b"ready\n"
        child.end(grace_s=0.1)
    assert child.child.returncode == -signal.SIGKILL


def test_ending_twice_is_fine(sleeper: process.Process) -> None:
    sleeper.end()
    sleeper.end()


def test_another_process_with_the_number_is_not_taken_for_it(sleeper: process.Process) -> None:
    earlier = process.Process(sleeper.pid, sleeper.start_ticks - 1)
    assert not earlier.is_running()
    earlier.end()
    assert sleeper.is_running()


@pytest.mark.parametrize(
    "other",
    [{"boot_id": "another"}, {"start_ticks": 1}, {"mark": "PYFIO_VIRTIO_TEST=other"}],
    ids=lambda other: next(iter(other)),
)
def test_only_what_is_right_in_all_is_taken_for_it(
    sleeper: process.Process, other: dict[str, Any]
) -> None:
    unlike = replace(sleeper, child=None, **other)
    assert not unlike.is_running()
    unlike.end()
    assert sleeper.is_running()


def test_one_that_is_marked_is_known_by_its_mark() -> None:
    environment = {**os.environ, "PYFIO_VIRTIO_TEST": "this"}
    command = ["sleep", "60"]
    child = process.start(command, death_signal=signal.SIGKILL, environment=environment)
    marked = replace(child, child=None, mark="PYFIO_VIRTIO_TEST=this")
    assert marked.is_running()
    marked.end()
    assert not child.is_running()


def test_one_that_is_marked_is_known_while_it_executes_other_programs(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text('[ "$1" = 0 ] && exec sleep 60; exec sh "$0" $(($1 - 1))')
    environment = {**os.environ, "PYFIO_VIRTIO_TEST": "this"}
    command = ["sh", str(script), "300"]
    child = process.start(command, death_signal=signal.SIGKILL, environment=environment)
    marked = replace(child, child=None, mark="PYFIO_VIRTIO_TEST=this")
    while Path(f"/proc/{child.pid}/comm").read_text() != "sleep\n":
        assert marked.is_running()
    child.end()


def test_without_time_to_end_it_is_killed(sleeper: process.Process) -> None:
    sleeper.end(grace_s=0)
    assert sleeper.child is not None
    assert sleeper.child.returncode == -signal.SIGKILL


def test_a_thread_is_not_ended_in_a_processs_place() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    assert thread.native_id is not None
    process.Process(thread.native_id, process.start_ticks(thread.native_id) or 0).end()
    stop.set()
    thread.join()


def test_before_is_called_with_the_new_process(tmp_path: Path) -> None:
    seen = tmp_path / "seen"

    def note(me: process.Process) -> None:
        seen.write_text(f"{me.pid} {me.start_ticks}")

    child = process.start(["sleep", "60"], death_signal=signal.SIGKILL, before=note)
    assert seen.read_text() == f"{child.pid} {child.start_ticks}"
    child.end()


def test_if_before_fails_there_is_no_process() -> None:
    seen: list[process.Process] = []

    def fail(started: process.Process) -> None:
        assert started.is_running()
        seen.append(started)
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        process.start(["sleep", "60"], death_signal=None, before=fail)
    assert not seen[0].is_running()


def test_a_starter_that_is_killed_leaves_nothing() -> None:
    """Also before the new process knows what it becomes: here, while `before` runs."""
    starter = subprocess.run(
        [sys.executable, "-c", KILLED_BEFORE], capture_output=True, text=True, check=False
    )
    assert starter.returncode == -signal.SIGKILL
    pid, ticks = map(int, starter.stdout.split())
    child = process.Process(pid, ticks)
    assert child.wait(timeout_s=10)


def test_other_threads_may_start_and_fork_at_the_same_time() -> None:
    """None of them waits for a lock that another thread held when the process was forked."""

    def start_some() -> None:
        for _ in range(20):
            child = process.start(["true"], death_signal=None)
            assert child.wait(timeout_s=10)

    threads = [threading.Thread(target=start_some) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_a_child_starts_is_not_lost(number: signal.Signals) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(int(number))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("interrupted\n", "")


def test_a_signal_that_is_ignored_is_ignored_by_a_child_too() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        child = process.start(["sleep", "60"], death_signal=signal.SIGKILL)
    finally:
        signal.signal(signal.SIGHUP, before)
    status = Path(f"/proc/{child.pid}/status").read_text()
    ignored = next(line for line in status.splitlines() if line.startswith("SigIgn:"))
    child.end()
    assert int(ignored.split()[1], 16) & 1 << signal.SIGHUP - 1


def test_a_child_can_be_interrupted() -> None:
    child = process.start(["sleep", "60"], death_signal=signal.SIGKILL)
    assert child.child is not None
    child.child.send_signal(signal.SIGINT)
    assert child.wait(timeout_s=10)


def test_a_child_has_a_process_group_of_its_own(sleeper: process.Process) -> None:
    assert os.getpgid(sleeper.pid) == sleeper.pid


def test_no_process_has_the_number_0() -> None:
    assert process.start_ticks(0) is None


def test_a_child_whose_starter_is_another_process_does_not_begin() -> None:
    """As if its starter had ended before the kernel was asked for a signal at that end."""
    shell = ("sh", "-c", process._BEGIN, "sh")
    ended = subprocess.run(
        [*shell, "echo", "begun"], input=b"%d\n" % os.getppid(), capture_output=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, b"")


def test_a_kill_of_the_parent_ends_the_child() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid, ticks = map(int, parent.stdout.readline().split())
        parent.kill()
    assert process.Process(pid, ticks).wait(timeout_s=10)


def test_what_a_child_wrote_is_kept() -> None:
    command = ["sh", "-c", "echo out; exit 3"]
    child = process.start(command, death_signal=signal.SIGTERM, output=subprocess.PIPE)
    assert b"".join(process.pieces(child)) == b"out\n"
    assert process.finish(child) == 3


def test_a_command_line_that_is_shown_hides_secrets() -> None:
    words = ("--object", "secret,id=s0,data=letmein", "--password=x", "--size=1G")
    # Its command line is empty for a moment after Popen has returned.
    code = "import sys; print(flush=True); sys.stdin.read()"
    line = [sys.executable, "-c", code, *words]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        shown = process.command_line(child.pid)
        child.communicate()
    assert shown.endswith("--object '(hidden)' '(hidden)' --size=1G")
    assert process.command_line(child.pid) == ""

# SPDX-License-Identifier: GPL-2.0-or-later
"""A fio in the middle of its run: told apart from one that only starts, signalled, waited for.

Used from the test's thread. It never judges how fio ended: tests do.
"""

import json
import os
import signal
import subprocess
import time
from contextlib import suppress

import psutil
import pytest

from pyfio_virtio.fio.fio import split_notes
from tests.conftest import Fio, FioRun

# Bounds a hang; ample for what is expected within a second.
PATIENCE_S = 20.0
# CPU time that only requests take. Being connected to takes 0.1 s of it, with a sanitizer.
WORKED_S = 0.2


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


class RunningFio:
    def __init__(self, fio: Fio, *arguments: str) -> None:
        self.child = subprocess.Popen(
            ["fio", "--output-format=json", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **fio.environment()},
            process_group=0,
            text=True,
        )

    def wait_until_served(self, backend_pid: int) -> None:
        """Returns once the back-end has carried out requests for some time."""
        target = _cpu_s(backend_pid) + WORKED_S
        deadline = time.monotonic() + PATIENCE_S
        while _cpu_s(backend_pid) < target:
            if self.child.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the back-end was given nothing to do: {self.finish()}")
            time.sleep(0.01)

    def signal(self, number: int, to_all: bool = False) -> None:
        """Sends a signal to fio's first process, or to all of them, as a terminal does."""
        (os.killpg if to_all else os.kill)(self.child.pid, number)

    def signal_until_it_ends(self, number: int, to_all: bool = False) -> FioRun:
        """Sends a signal twice a second, because a busy fio takes two of them for one: fio notices
        the first one in its own time, and the second one counts if it comes after that."""
        deadline = time.monotonic() + PATIENCE_S
        while self.child.poll() is None and time.monotonic() < deadline:
            self.signal(number, to_all)
            with suppress(subprocess.TimeoutExpired):
                self.child.communicate(timeout=0.5)
        return self.finish()

    def finish(self, patience_s: float = PATIENCE_S) -> FioRun:
        """Waits for fio's end; a fio that does not end is killed, and fails the test."""
        try:
            stdout, stderr = self.child.communicate(timeout=patience_s)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"fio did not end within {patience_s} s")
        _, document = split_notes(stdout)
        return FioRun(
            self.child.returncode, stdout, stderr, json.loads(document) if document else {}
        )

    def kill(self) -> None:
        if self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.communicate()

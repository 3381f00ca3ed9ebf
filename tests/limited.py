# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs a command that may hang."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path


def run_limited(
    command: Sequence[str],
    environment: Mapping[str, str],
    limit_s: float,
    folder: Path | None,
    only: Mapping[str, str] | None = None,
) -> tuple[bool, int, str, str]:
    """Whether it ended by itself within `limit_s`, with which status, and what it wrote.

    At the limit it ends with all of its descendants, also those that left its process group, as the
    jobs of fio do. It runs in `folder`, so that what fio leaves in its working directory ends
    there. `environment` is added to ours, or to `only`.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**(os.environ if only is None else only), **environment},
        cwd=folder,
        process_group=0,
        text=True,
        errors="replace",
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            kill_descendants(process.pid)
            stdout, stderr = process.communicate()
            return False, process.returncode, stdout, stderr
    return True, process.returncode, stdout, stderr


def kill_descendants(pid: int) -> None:
    """Also the process itself."""
    for each in [pid, *_descendants(pid)]:
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def _descendants(pid: int) -> Iterator[int]:
    with suppress(FileNotFoundError, ProcessLookupError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (thread / "children").read_text().split()):
                yield child
                yield from _descendants(child)

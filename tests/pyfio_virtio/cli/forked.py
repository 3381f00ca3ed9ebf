# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs many commands, each in a fork of one process that has loaded everything already.

Each line of stdin is a JSON object: the words of a command, the folder to run it in, and files for
its output. Each line of stdout is the exit status, and whether a process of the command is left.
Unlike a call in the process of the test, a command has real streams, and cannot harm the next one.
"""

import ctypes
import json
import os
import signal
import sys
import traceback

import pyfio_virtio.analysis  # noqa: F401 - loaded once for all commands
from pyfio_virtio.cli.main import main

_SET_CHILD_SUBREAPER = 36
_LONGEST_S = 60
_UNCAUGHT = 99


def _run(words: list[str], folder: str, stdout: str, stderr: str) -> None:
    signal.alarm(_LONGEST_S)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in ((1, stdout), (2, stderr)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    os.chdir(folder)
    sys.argv = ["pyfio-virtio", *words]
    status = _UNCAUGHT
    try:
        main()
    except SystemExit as ending:
        status = int(ending.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # at once, because unloading what is loaded takes a while


def _has_children() -> bool:
    """Collects the processes that ended, and says whether others still run."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


if __name__ == "__main__":
    # Processes that a command leaves become children of this one.
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _run(**json.loads(line))
        _, status = os.waitpid(child, 0)
        print(json.dumps([os.waitstatus_to_exitcode(status), _has_children()]), flush=True)

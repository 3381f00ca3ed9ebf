# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the command pyfio-virtio as a fork of a process that has loaded its modules already.

To load them takes longer than most commands. Unlike a call in the process of the test, a fork is a
process of its own: it has real streams, an environment and a folder, and cannot harm the next one.

Forks is for tests; any thread may use it. Its process forks a supervisor for each command, and the
supervisor forks the command, so that many can run at once. What a command leaves behind becomes a
child of its supervisor, which says whether there is any.
"""

import atexit
import ctypes
import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from pyfio_virtio.__main__ import main
from tests.limited import kill_descendants

_ROOT = Path(__file__).resolve().parent.parent
_SET_CHILD_SUBREAPER = 36
_UNCAUGHT = 99


# ---- for tests -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ended:
    status: int  # negative: the signal that ended it
    stdout: str
    stderr: str
    left_children: bool


class Forks:
    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="pv-")
        self._path = str(Path(self._folder.name) / "forks")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self._path)
            listener.listen(64)
            starter = subprocess.Popen(
                [sys.executable, "-m", "tests.forked", str(listener.fileno())],
                cwd=_ROOT,
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
            )
        starter.wait()
        assert starter.stdin
        self._life = starter.stdin

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._life.close()
        self._folder.cleanup()

    def run(
        self, words: Sequence[str], environment: Mapping[str, str], limit_s: float, folder: Path
    ) -> Ended | None:
        """None if it does not end within `limit_s`. Then all its processes are killed."""
        deadline = time.monotonic() + limit_s
        question = {"words": words, "environment": dict(environment), "folder": str(folder)}
        with ExitStack() as stack:
            link = stack.enter_context(socket.socket(socket.AF_UNIX))
            link.connect(self._path)
            outputs = [os.pipe() for _ in range(2)]
            for reader, _ in outputs:
                stack.callback(os.close, reader)
            socket.send_fds(link, [b"?"], [writer for _, writer in outputs])
            for _, writer in outputs:
                os.close(writer)
            link.sendall(json.dumps(question).encode())
            link.shutdown(socket.SHUT_WR)
            answers = stack.enter_context(link.makefile())
            supervisor = int(answers.readline())
            # A process that is left behind and still holds a stream is waited for as well.
            texts = _read_all([reader for reader, _ in outputs], deadline)
            if texts is None or not _is_readable(link.fileno(), deadline):
                kill_descendants(supervisor)
                return None
            status, left_children = json.loads(answers.readline())
            stdout, stderr = texts
            return Ended(status, stdout, stderr, left_children)


def _read_all(readers: Sequence[int], deadline: float) -> list[str] | None:
    found = dict.fromkeys(readers, b"")
    with selectors.DefaultSelector() as selector:
        for reader in readers:
            selector.register(reader, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                return None
            for key, _ in ready:
                data = os.read(key.fd, 1 << 16)
                found[key.fd] += data
                if not data:
                    selector.unregister(key.fd)
    return [text.decode(errors="replace") for text in found.values()]


def _is_readable(fd: int, deadline: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        return bool(selector.select(max(0.0, deadline - time.monotonic())))


# ---- the process that forks ----------------------------------------------------------------------


def _serve(listener: socket.socket) -> None:
    """Until the process of the tests closes our stdin, or ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # supervisors are not waited for
    with selectors.DefaultSelector() as selector:
        for each in (0, listener.fileno()):
            selector.register(each, selectors.EVENT_READ)
        while all(key.fd for key, _ in selector.select()):
            link, _ = listener.accept()
            if not os.fork():
                listener.close()
                os._exit(_supervise(link))
            link.close()


def _supervise(link: socket.socket) -> int:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1)
    _, (stdout, stderr), *_ = socket.recv_fds(link, 1, 2)
    with link.makefile() as questions:
        question = json.loads(questions.read())
    child = os.fork()
    if not child:
        link.close()
        _become(stdout, stderr, **question)
    os.close(stdout)
    os.close(stderr)
    link.sendall(f"{os.getpid()}\n".encode())
    _, status = os.waitpid(child, 0)
    answer = [os.waitstatus_to_exitcode(status), _has_children()]
    link.sendall(f"{json.dumps(answer)}\n".encode())
    return 0


def _become(
    stdout: int, stderr: int, words: list[str], environment: dict[str, str], folder: str
) -> NoReturn:
    """Runs the command in this process, as Python does, to its end."""
    status = _UNCAUGHT
    try:
        os.setpgid(0, 0)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(stdout, 1, inheritable=True)
        os.dup2(stderr, 2, inheritable=True)
        for stream in (stdout, stderr):
            os.close(stream)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = ["pyfio-virtio", *words]
        main()
    except SystemExit as ending:
        status = int(ending.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        if sys.stderr:
            sys.stderr.flush()
        os._exit(status)


def _has_children() -> bool:
    """Collects the processes that ended, and says whether others still run."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


# Loaded once for all commands, also what few of them need, but nothing that loads the engine.
LOADED = (
    *("asyncio", "importlib.metadata", "psutil"),
    *(f"pyfio_virtio.{name}" for name in ("analysis.compare", "analysis.report", "cli.main")),
)

if __name__ == "__main__":
    if os.fork():
        os._exit(0)  # so that what follows is no child of the tests' process
    for name in LOADED:
        import_module(name)

    # A collection in a fork would write to each object, and so copy all memory.
    gc.collect()
    gc.freeze()
    _serve(socket.socket(fileno=int(sys.argv[1])))

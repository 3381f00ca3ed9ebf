# SPDX-License-Identifier: GPL-2.0-or-later
"""What all tests share: real back-ends, the real fio with the engine, the real command.

- `serve(kind, **spec)` starts a back-end of that kind and returns its Backend (.socket, .process,
  .log). Arguments are those of BackendSpec; without any: 64 MiB in memory, one queue. All end with
  the test. `qsd(**spec)` and `builtin(**spec)` are the same with the kind given:
  `qsd(storage="null", queues=4)`, `builtin(options=("latency=20us", "device=scsi"))`.
- `fio(socket, **options)` runs one job on a socket: `fio(disk.socket, rw="randread", bs="4k",
  number_ios=100)`. True makes an option a flag (time_based=True), None leaves out a default
  (thread=None). `fio.job(text)` runs a job file, `fio.arguments(...)` what one would type. Each
  returns a FioRun: status, stdout, stderr, and json (of the jobs: .jobs, .first). None of them
  judges the status: tests do. A run that takes too long is killed, with all its processes, and
  fails the test.
- `command(...)` runs pyfio-virtio as a process, which forked.py makes, and returns status, stdout,
  stderr; its state lies in `private`, a folder of the test's own with a path short enough for
  sockets.
Tests run in one process each way, in the main thread; nothing here is shared between tests.
"""

import gc
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pyfio_virtio.backends import backends
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.engine import engine
from pyfio_virtio.fio.fio import library_path, split_notes
from pyfio_virtio.fio.job import escaped_filename
from tests.forked import Forks
from tests.limited import run_limited

ROOT = Path(__file__).resolve().parent.parent
# Ample for any run of the tests; it only bounds a hang.
TIMEOUT_S = 100.0

StartBackend = Callable[..., backends.Backend]
RunCommand = Callable[..., "Finished"]
Option = str | int | bool | None
Options = Mapping[str, Option]


def pytest_configure(config: pytest.Config) -> None:
    """Tests send these signals, also if they were started with them ignored: nohup(1) ignores
    SIGHUP, and a shell ignores SIGINT for what a script runs in the background."""
    _keep_the_thread_sanitizer(config)
    for number, usual in (
        (signal.SIGHUP, signal.SIG_DFL),
        (signal.SIGINT, signal.default_int_handler),
    ):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, usual)


def _keep_the_thread_sanitizer(config: pytest.Config) -> None:
    """`make tsan` loads it into the processes that run tests. Programs that they start, such as a
    shell, crash with it."""
    runs_tests = hasattr(config, "workerinput") or not config.getoption("numprocesses")
    if runs_tests and "libtsan" in os.environ.get("LD_PRELOAD", ""):
        del os.environ["LD_PRELOAD"]


def pytest_collection_finish() -> None:
    """Thousands of tests and all modules stay until the end. The garbage collector need not look
    at them again and again; many tests call it, to see that nothing is left open."""
    gc.collect()
    gc.freeze()


@dataclass(frozen=True)
class Finished:
    """A process that ended."""

    status: int
    stdout: str
    stderr: str

    def __post_init__(self) -> None:
        # A sanitizer ends a process with the status of a job that failed.
        assert "Sanitizer" not in self.stderr, self.stderr


@dataclass(frozen=True)
class FioRun(Finished):
    json: Mapping[str, Any] = field(default_factory=dict)  # empty when fio wrote none

    @property
    def jobs(self) -> Sequence[Mapping[str, Any]]:
        return list(self.json.get("jobs", ()))

    @property
    def first(self) -> Mapping[str, Any]:
        """The first job, or the group that group_reporting made."""
        assert self.jobs, f"fio reported no job: {self.stderr or self.stdout}"
        return self.jobs[0]


def run_to_end(
    command: Sequence[str],
    environment: Mapping[str, str],
    timeout_s: float = TIMEOUT_S,
    folder: Path | None = None,
) -> Finished:
    """Fails where the command does not end in time; see run_limited()."""
    ended, status, stdout, stderr = run_limited(command, environment, timeout_s, folder)
    if not ended:
        pytest.fail(f"did not end within {timeout_s} s: {command}\n{stdout}\n{stderr}")
    return Finished(status, stdout, stderr)


def defaults(socket: str) -> Options:
    """The options of a job on a socket."""
    return {
        "ioengine": engine.NAME,
        "filename": escaped_filename(socket),
        "thread": 1,
        # fio tests the clocks of all CPUs if it may choose, for half of the time of a short run.
        "clocksource": "clock_gettime",
    }


class Fio:
    """Runs the fio on the PATH with the engine that was built for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, socket: str, **options: Option) -> FioRun:
        line = as_arguments({**defaults(socket), **options})
        return self.arguments("--name=test", *line)

    def job(self, text: str, *program_options: str, timeout_s: float = TIMEOUT_S) -> FioRun:
        path = self.folder / "test.fio"
        path.write_text(text)
        return self.arguments(*program_options, str(path), timeout_s=timeout_s)

    def arguments(self, *arguments: str, timeout_s: float = TIMEOUT_S) -> FioRun:
        command = ["fio", "--output-format=json", *arguments]
        ended = run_to_end(command, self.environment(), timeout_s, self.folder)
        _, document = split_notes(ended.stdout)
        parsed = json.loads(document) if document else {}
        return FioRun(ended.status, ended.stdout, ended.stderr, parsed)

    def environment(self) -> dict[str, str]:
        return {"LD_LIBRARY_PATH": library_path(engine.folder())}


def as_arguments(options: Options) -> list[str]:
    return [
        f"--{key}" if value is True else f"--{key}={value}"
        for key, value in options.items()
        if value is not None and value is not False
    ]


@pytest.fixture
def private(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose path is short enough for sockets; our command keeps its state in it."""
    folder = Path(tempfile.mkdtemp(prefix="pv-"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield folder
    shutil.rmtree(folder)


def _filled_as_used(spec: BackendSpec) -> BackendSpec:
    """To fill memory takes as long as the rest of a start. Only measurements need it."""
    in_memory = (spec.kind, spec.storage) == ("builtin", "memory")
    if not in_memory or any(each.startswith("populate=") for each in spec.options):
        return spec
    return replace(spec, options=(*spec.options, "populate=off"))


@pytest.fixture
def serve(private: Path) -> Iterator[StartBackend]:
    running: list[backends.Backend] = []

    def start(kind: str, **spec: Any) -> backends.Backend:  # noqa: ANN401 - BackendSpec's fields
        number = len(running)
        wanted = BackendSpec(kind=kind, **{"size_bytes": 64 << 20, **spec})
        socket, log = private / f"disk{number}.sock", private / f"disk{number}.log"
        running.append(backends.start(_filled_as_used(wanted), str(socket), str(log)))
        return running[-1]

    yield start
    for backend in running:
        backend.stop()


@pytest.fixture
def qsd(serve: StartBackend) -> StartBackend:
    return partial(serve, "qsd")


@pytest.fixture
def builtin(serve: StartBackend) -> StartBackend:
    return partial(serve, "builtin")


@pytest.fixture
def fio(private: Path) -> Fio:
    return Fio(private)


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    with Forks() as started:
        yield started


@pytest.fixture
def command(private: Path, forks: Forks) -> RunCommand:
    def run(*arguments: str, timeout_s: float = TIMEOUT_S, **environment: str) -> Finished:
        ours = {"PYTHONPATH": str(ROOT), engine.FOLDER_VARIABLE: str(engine.folder())}
        if "LD_PRELOAD" in os.environ:  # a sanitizer, which reports at the end of a whole process
            line = [sys.executable, "-m", "pyfio_virtio", *arguments]
            return run_to_end(line, {**ours, **environment}, timeout_s, private)
        ended = forks.run(arguments, {**os.environ, **ours, **environment}, timeout_s, private)
        if ended is None:
            pytest.fail(f"did not end within {timeout_s} s: pyfio-virtio {' '.join(arguments)}")
        return Finished(ended.status, ended.stdout, ended.stderr)

    return run

# SPDX-License-Identifier: GPL-2.0-or-later
"""The folder of a sweep's results, in which nothing is ever torn.

Owns the layout below, and that a run's folder appears whole or not at all, and its line in
runs.jsonl too, wherever a kill strikes. The process that holds the lock writes, from one
thread; any thread or process may read meanwhile. It never runs fio, never changes what is
finished, never judges a number, and never writes through a link: the folder may be shared.

    SWEEP/plan.toml             the sweep as resolved
    SWEEP/runs.jsonl            a line a run, append-only; the latest line of a run counts
    SWEEP/points/HASH/r01/      job.fio, fio.json, counters.jsonl, environment.json,
                                samples.jsonl, backend.log, and record.json: its line again
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.results.record import Record, RecordError, Row, from_row, to_row, upgrade

PLAN, RUNS, POINTS, LOCK = "plan.toml", "runs.jsonl", "points", ".lock"
JOB, FIO_JSON, COUNTERS = "job.fio", "fio.json", "counters.jsonl"
ENVIRONMENT, SAMPLES, RECORD = "environment.json", "samples.jsonl", "record.json"
_UNFINISHED = ".unfinished"


class ResultsError(PyfioVirtioError):
    """A folder of results cannot be read or written as asked."""


@dataclass(frozen=True)
class Sample:
    """What a running fio and its machine did in one moment; a line of samples.jsonl."""

    time_s: float  # since fio started, ramp and all
    is_ramp: bool
    iops: float
    fio_cpu: float  # CPUs in use: 1.0 is a whole one
    backend_cpu: float
    steal_percent: float


class SweepFolder:
    """One sweep's results. Reading needs nothing; writing needs lock()."""

    def __init__(self, path: Path) -> None:
        self.path = path

    # ---- reading -------------------------------------------------------------

    def rows(self) -> list[Row]:
        """The latest row of each run, in the order of the file, in today's columns."""
        latest = {(row["hash"], row["repeat"]): row for row in read_rows(self.path / RUNS)}
        return list(latest.values())

    def records(self) -> list[Record]:
        """The same as records."""
        return [from_row(row) for row in self.rows()]

    def finished(self) -> set[tuple[str, int]]:
        """Point hash and repeat of each run that needs no second try."""
        return {(row["hash"], row["repeat"]) for row in self.rows() if not row["error"]}

    def run_folder(self, point: str, repeat: int) -> Path:
        """Where a run's own files are, or will be."""
        return self.path / POINTS / point / f"r{repeat:02d}"

    # ---- writing, under the lock ------------------------------------------------

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps a second sweep out, and mends what a killed one left; made on demand."""
        with _writing(self.path):
            (self.path / POINTS).mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        with os.fdopen(lock, "r+", encoding="ascii") as file:
            _take(lock, self.path)
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            self._recover()
            yield

    def write_plan(self, text: str) -> None:
        """Keeps the sweep as resolved."""
        write_atomically(self.path / PLAN, text)

    def begin(self, point: str, repeat: int) -> Path:
        """An empty folder for fio and the others to write into; finish() makes it the run's."""
        folder = self._unfinished(point, repeat)
        with _writing(folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        return folder

    def finish(self, record: Record) -> Path:
        """Keeps a run for good: its folder first, then its line."""
        point, repeat = record.point.hash, record.repeat
        line = json.dumps(to_row(record), allow_nan=False)
        working, folder = self._unfinished(point, repeat), self.run_folder(point, repeat)
        with _writing(folder):
            working.mkdir(parents=True, exist_ok=True)
            write_atomically(working / RECORD, line + "\n")
            _sync_files(working)
            # A failed run gives way to its next try; rename() takes an empty target only.
            shutil.rmtree(folder, ignore_errors=True)
            working.rename(folder)
            _sync(folder.parent)
            append_line(self.path / RUNS, line)
        return folder

    def _unfinished(self, point: str, repeat: int) -> Path:
        folder = self.run_folder(point, repeat)
        return folder.with_name(folder.name + _UNFINISHED)

    def _recover(self) -> None:
        """Ends what a kill left between: no half folder, no folder without its line."""
        for leftover in self.path.glob(f"{POINTS}/*/*{_UNFINISHED}"):
            shutil.rmtree(leftover)
        cut_torn_line(self.path / RUNS)
        known = {(row["hash"], row["repeat"], row["started"]) for row in self.rows()}
        for record in sorted(self.path.glob(f"{POINTS}/*/r*/{RECORD}")):
            line = record.read_text(encoding="utf-8").strip()
            row = json.loads(line)
            if (row["hash"], row["repeat"], row["started"]) not in known:
                append_line(self.path / RUNS, line)


def open_sweep(path: Path) -> SweepFolder:
    """An existing folder of results; an error says what is missing."""
    if not (path / RUNS).is_file():
        reason = f"it has no {RUNS}" if path.is_dir() else "no such folder"
        raise ResultsError(f"{path} holds no sweep", reason, "name the folder that sweep -o wrote")
    return SweepFolder(path)


def read_rows(path: Path) -> list[Row]:
    """All rows of a runs.jsonl; a torn last line, which a kill leaves, is passed over."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return []
    *lines, _torn = text.split(b"\n")
    return [_row(line, path, number) for number, line in enumerate(lines, 1) if line.strip()]


def _row(line: bytes, path: Path, number: int) -> Row:
    try:
        row = json.loads(line)
        return upgrade(row)
    except (ValueError, AttributeError) as failure:
        raise ResultsError(f"{path}, line {number}", "it is no record") from failure
    except RecordError as failure:
        raise ResultsError(f"{path}, line {number}", str(failure)) from failure


# ---- writing that cannot be torn -----------------------------------------------------


def write_atomically(path: Path, text: str) -> None:
    """The file has its old content or the new one, and after a power cut too."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    with temporary.open("x", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync(path.parent)


def append_line(path: Path, line: str) -> None:
    """One write at the end of the file, so that a reader sees all of the line or no newline."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    with os.fdopen(descriptor, "ab", buffering=0) as file:
        file.write(line.encode() + b"\n")
        os.fsync(descriptor)


def cut_torn_line(path: Path) -> None:
    """Removes what follows the last newline: a line whose writer was killed."""
    with suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "r+b") as file:
            file.truncate(file.read().rfind(b"\n") + 1)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turns what the file system refuses into a sentence."""
    try:
        yield
    except OSError as failure:
        raise ResultsError(
            f"cannot write results to {path}",
            failure.strerror or str(failure),
            "finished runs are safe: mend it and give the same command again",
        ) from failure


def _take(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as failure:
        owner = os.pread(descriptor, 32, 0).decode().strip()
        raise ResultsError(
            f"another sweep writes to {path}",
            f"process {owner}",
            "wait for it, or name another folder with -o",
        ) from failure


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_files(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_file():
            _sync(path)
    _sync(folder)

# SPDX-License-Identifier: GPL-2.0-or-later
"""The folder of a sweep's results, which stays complete whenever the process is killed.

Owns the layout below. The folder of a run and its line in runs.jsonl appear as a whole or not at
all. One thread of the process that holds the lock writes; any thread or process may read at the
same time. Finished runs are not changed, and numbers are not judged. The folder may be shared with
other users, so nothing is written through a link.

    SWEEP/plan.toml             the settings of the sweep, and what they were resolved to
    SWEEP/runs.jsonl            a line for each run, append-only; the last line of a run counts
    SWEEP/points/HASH/r01/      job.fio, fio.json, counters.jsonl, environment.json,
                                samples.jsonl, backend.log, and record.json: a copy of its line
    .../r01/hosts/NAME/         the same files of one host, if the run was on several

A run on several hosts has a line for each host and one for all of them together.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pyfio_virtio import files
from pyfio_virtio.errors import PyfioVirtioError, UsageError
from pyfio_virtio.results.record import Record, RecordError, Row, checked, from_row, to_row

PLAN, RUNS, POINTS, LOCK = "plan.toml", "runs.jsonl", "points", ".lock"
JOB, FIO_JSON, COUNTERS = "job.fio", "fio.json", "counters.jsonl"
ENVIRONMENT, SAMPLES, RECORD = "environment.json", "samples.jsonl", "record.json"
HOSTS = "hosts"  # the folder with those of the single hosts
_UNFINISHED = ".unfinished"
_BEGINNING = b'{"schema": '  # of a line of RUNS
_AGAIN = "give the same command again"
_CONTINUE = f"finished runs are kept; fix this and {_AGAIN}"


class ResultsError(PyfioVirtioError):
    """A folder of results cannot be read or written."""


@dataclass(frozen=True)
class Sample:
    """What fio and the machine did at one moment of a run; a line of samples.jsonl."""

    time_s: float  # since fio started, ramp included
    is_ramp: bool
    iops: float
    fio_cpu: float  # CPUs in use: 1.0 is one whole CPU
    backend_cpu: float
    steal_percent: float


class SweepFolder:
    """The results of one sweep. Writing needs lock(); reading does not."""

    def __init__(self, path: Path) -> None:
        self.path = path

    # ---- reading -------------------------------------------------------------

    def rows(self) -> list[Row]:
        """The last row of each run, in the order of the file, with the present columns."""
        return [row for row in self._latest().values() if _host_of(row) is None]

    def host_rows(self) -> list[Row]:
        """The rows of single hosts, of the runs that rows() has."""
        started = {(row["hash"], row["repeat"]): row["started"] for row in self.rows()}
        return [
            row
            for row in self._latest().values()
            if _host_of(row) is not None
            and started.get((row["hash"], row["repeat"])) == row["started"]
        ]

    def _latest(self) -> dict[tuple[str, int, str | None], Row]:
        rows = read_rows(self.path / RUNS)
        return {(row["hash"], row["repeat"], _host_of(row)): row for row in rows}

    def records(self) -> list[Record]:
        """The same rows as records."""
        return [from_row(row) for row in self.rows()]

    def finished(self) -> set[tuple[str, int]]:
        """The point hash and the repeat of each run that succeeded."""
        return {(row["hash"], row["repeat"]) for row in self.rows() if not row["error"]}

    def run_folder(self, point: str, repeat: int) -> Path:
        """The folder of a run's files, which may not exist yet."""
        return self.path / POINTS / point / f"r{repeat:02d}"

    # ---- writing, under the lock ------------------------------------------------

    def check_own(self) -> None:
        """Refuses a folder with files that are not a sweep's. It may be empty, or missing."""
        with writing(self.path, "name another folder with -o"):
            foreign = files.check_folder(self.path, self._is_own)
        if foreign:
            raise UsageError(
                f"cannot write results to {self.path}",
                "the folder has files already, and holds no sweep",
                "name a new folder with -o, or an empty one",
            )
        with writing(self.path, "name another folder with -o"):
            self.rows()  # refuses runs.jsonl of somebody else

    def _is_own(self, name: str) -> bool:
        if any((self.path / each).is_file() for each in (PLAN, RUNS)):
            return True
        # What is there if it was killed before its plan or its first run was kept.
        begun = (LOCK, POINTS) if (self.path / LOCK).is_file() else ()
        return name in begun or name.startswith(f".{PLAN}.")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Locks out a second sweep, and repairs the folder after a kill. Makes it if needed, and
        removes it again if nothing was kept.
        """
        self.check_own()
        made = [each for each in (self.path, *self.path.parents) if not each.exists()]
        with writing(self.path, "name another folder with -o"):
            self.path.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            with writing(self.path):
                _take(lock, self.path)
            try:
                with writing(self.path):
                    (self.path / POINTS).mkdir(exist_ok=True)
                    os.ftruncate(lock, 0)
                    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
                    self._recover()
                yield
            finally:
                self._remove_unused(made)
        finally:
            os.close(lock)

    def _remove_unused(self, made: Sequence[Path]) -> None:
        """Removes what lock() made, if neither a plan nor a run was kept."""
        if any((self.path / name).exists() for name in (PLAN, RUNS)):
            return
        with suppress(OSError):  # somebody else has put a file there
            if (self.path / POINTS).exists():
                (self.path / POINTS).rmdir()
            (self.path / LOCK).unlink()
            for folder in made:
                folder.rmdir()

    def write_plan(self, text: str) -> None:
        """Writes plan.toml."""
        with writing(self.path):
            files.replace(self.path / PLAN, text)

    def begin(self, point: str, repeat: int) -> Path:
        """Makes an empty folder for the files of a run; finish() makes it the folder of the run."""
        folder = self._unfinished(point, repeat)
        with writing(folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        return folder

    def finish(self, record: Record, of_hosts: Sequence[Record] = ()) -> Path:
        """Keeps a run: first its folder, then its line. With `of_hosts`, the records of its hosts,
        which start at the same moment as the run's, so that they belong to it.
        """
        point, repeat = record.point.hash, record.repeat
        line = json.dumps(to_row(record), allow_nan=False)
        working, folder = self._unfinished(point, repeat), self.run_folder(point, repeat)
        with writing(folder):
            working.mkdir(parents=True, exist_ok=True)
            files.replace(working / RECORD, line + "\n")
            lines = [_keep_part(working, each) for each in of_hosts]
            for kept in (working, *working.glob(f"{HOSTS}/*")):
                _sync_files(kept)
            # A new try replaces a failed run. rename() needs a target that is empty or missing.
            shutil.rmtree(folder, ignore_errors=True)
            working.rename(folder)
            files.sync(folder.parent)
            for each in (*lines, line):
                files.append_line(self.path / RUNS, each)
        return folder

    def _unfinished(self, point: str, repeat: int) -> Path:
        folder = self.run_folder(point, repeat)
        return folder.with_name(folder.name + _UNFINISHED)

    def _recover(self) -> None:
        """Repairs the results after a kill: removes unfinished folders, and adds missing lines."""
        for leftover in self.path.glob(f"{POINTS}/*/*{_UNFINISHED}"):
            shutil.rmtree(leftover)
        cut_incomplete_line(self.path / RUNS)
        known = {_identity(row) for row in self._latest().values()}
        runs = f"{POINTS}/*/r*"
        of_hosts = sorted(self.path.glob(f"{runs}/{HOSTS}/*/{RECORD}"))
        for record in (*of_hosts, *sorted(self.path.glob(f"{runs}/{RECORD}"))):
            line = files.read(record).strip()
            if _identity(_row(line, record, 1)) not in known:
                files.append_line(self.path / RUNS, line.decode())


def _host_of(row: Row) -> str | None:
    """The host of a row that is one host's part of a run."""
    host: str | None = row.get("on_name")
    return host


def _identity(row: Row) -> tuple[str, int, str | None, str]:
    return row["hash"], row["repeat"], _host_of(row), row["started"]


def _keep_part(working: Path, record: Record) -> str:
    """Writes the record of one host into its folder, and returns its line."""
    if record.on_host is None:
        raise ValueError("the record is not that of one host")
    line = json.dumps(checked(to_row(record)), allow_nan=False)
    folder = working / HOSTS / record.on_host.name
    folder.mkdir(parents=True, exist_ok=True)
    files.replace(folder / RECORD, line + "\n")
    return line


def open_sweep(path: Path) -> SweepFolder:
    """Opens an existing folder of results. The error says what is missing."""
    if not (path / RUNS).is_file():
        reason = f"it has no {RUNS}" if path.is_dir() else "there is no such folder"
        raise ResultsError(f"{path} holds no sweep", reason, "name the folder that sweep -o wrote")
    return SweepFolder(path)


def read_rows(path: Path) -> list[Row]:
    """All rows of a runs.jsonl. An incomplete last line, which a kill may leave, is ignored."""
    try:
        text = files.read(path)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as failure:
        raise ResultsError(f"cannot read {path}", failure.strerror or str(failure)) from failure
    *lines, _incomplete = text.split(b"\n")
    return [_row(line, path, number) for number, line in enumerate(lines, 1) if line.strip()]


def _row(line: bytes, path: Path, number: int) -> Row:
    try:
        return checked(json.loads(line, parse_constant=_refuse))
    # The JSON parser raises RecursionError if brackets are nested too deeply.
    except (ValueError, AttributeError, RecursionError) as failure:
        raise ResultsError(f"{path}, line {number}", "it is not a record") from failure
    except RecordError as failure:
        raise ResultsError(f"{path}, line {number}", str(failure)) from failure


def _refuse(word: str) -> None:
    """NaN and infinity are no JSON, although Python reads them."""
    raise ValueError(word)


# ---- writing that survives a kill ----------------------------------------------------


def cut_incomplete_line(path: Path) -> None:
    """Removes the text after the last newline, because its writer was killed. Refuses text that no
    record begins with, because somebody else wrote it.
    """
    with suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "r+b") as file:
            whole, newline, rest = file.read().rpartition(b"\n")
            if not _BEGINNING.startswith(rest[: len(_BEGINNING)]):
                raise ResultsError(f"{path}, the last line", "it is not a record")
            file.truncate(len(whole + newline))


@contextmanager
def writing(path: Path, next_step: str = _CONTINUE) -> Iterator[None]:
    """Turns an OSError into a ResultsError, in a block that writes results to `path`."""
    try:
        yield
    except OSError as failure:
        raise ResultsError(
            f"cannot write results to {path}",
            failure.strerror or str(failure),
            next_step,
        ) from failure


def _take(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as failure:
        owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        raise ResultsError(
            f"another sweep writes to {path}",
            f"process {owner}",
            "wait for it, or name another folder with -o",
        ) from failure
    # Another sweep may have removed its unused folder since we opened the lock.
    if not os.path.samestat(os.fstat(descriptor), (path / LOCK).stat()):
        raise ResultsError(f"another sweep has just removed {path}", "", _AGAIN)


def _sync_files(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_file():
            files.sync(path)
    files.sync(folder)

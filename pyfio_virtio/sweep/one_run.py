# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes single runs, and keeps each of them before the next one begins.

Owns the steps of a run from an empty folder to its line in runs.jsonl, and the records of the runs
that the folder has already. Called from the main thread, which starts every process. A run that
fails is kept with its error. The caller decides what is run, and in which order.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from pyfio_virtio import files
from pyfio_virtio.engine import engine
from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.machine import folders, host, signals
from pyfio_virtio.results.record import Point, Record, Scalar
from pyfio_virtio.results.results import ENVIRONMENT, JOB, SweepFolder, writing
from pyfio_virtio.sweep import outcome as sweep_record
from pyfio_virtio.sweep.job import Wanted
from pyfio_virtio.sweep.measure import Live, Task, measure
from pyfio_virtio.sweep.outcome import Asked, Observed
from pyfio_virtio.sweep.servers import Servers, servers

PATIENCE_S = 30.0


class Fleet(Protocol):
    """Several hosts that make a run together."""

    def run(
        self, trial: Trial, asked: Asked, working: Path, patience_s: float
    ) -> tuple[Record, Sequence[Record]]:
        """Makes one run; gives its record, and those of the hosts."""


@dataclass(frozen=True)
class Trial:
    """Everything that is needed to run a point once."""

    point: Point
    wanted: Wanted
    options: Mapping[str, Scalar]  # the columns of its record
    command: Sequence[str]  # fio's; it must write FIO_JSON into its working folder
    runtime_s: float
    ramp_s: float = 0.0
    engine_folder: Path = field(default_factory=engine.folder)
    patience_s: float | None = None  # None: the runner's
    hosts: int = 0  # on how many it runs; 0: on this machine


class Runner:
    """Makes runs, and keeps their results in a folder."""

    def __init__(
        self,
        folder: SweepFolder,
        disks: Servers,
        versions: Mapping[str, str],
        patience_s: float,
        live: Live,
        fleet: Fleet | None = None,
    ) -> None:
        self.folder = folder
        self._servers = disks
        self._versions = versions
        self._patience_s = patience_s
        self._live = live
        self._fleet = fleet
        self._records = {(each.point.hash, each.repeat): each for each in folder.records()}
        self._order = max((each.order for each in self._records.values()), default=0)

    def finished(self, point: Point) -> dict[int, Record]:
        """The successful runs of the point, by their repeat."""
        return {
            repeat: record
            for (hash_, repeat), record in sorted(self._records.items())
            if hash_ == point.hash and not record.error
        }

    def run(self, trial: Trial, repeat: int) -> Record:
        """Makes one run, from an empty folder to a line in runs.jsonl."""
        working = self.folder.begin(trial.point.hash, repeat)
        try:
            record, of_hosts = self._attempt(trial, repeat, working)
            # A run that ended is kept whole, or ^C would leave its folder without its line.
            with signals.held():
                self.folder.finish(record, of_hosts)
                self._records[trial.point.hash, repeat] = record
        except BaseException:  # interrupted, so the run is incomplete and is not kept
            shutil.rmtree(working, ignore_errors=True)
            raise
        return record

    def _attempt(self, trial: Trial, repeat: int, working: Path) -> tuple[Record, Sequence[Record]]:
        """The record of the run, and those of its hosts if it was on several."""
        machine = host.describe()
        about = {"host": asdict(machine), "versions": dict(self._versions)}
        with writing(working):
            files.write(working / JOB, trial.point.job)
            files.write(working / ENVIRONMENT, json.dumps(about, indent=1))
        self._order += 1
        asked = sweep_record.Asked(
            trial.point, trial.options, repeat, self._order, datetime.now(UTC), machine
        )
        if self._fleet is not None and trial.hosts:
            return self._fleet.run(trial, asked, working, self._patience_of(trial))
        observed = self._observe(trial, working)
        with writing(working):
            self._servers.leave(working, failed=observed.problem is not None)
        return sweep_record.build(asked, observed, working), ()

    def _patience_of(self, trial: Trial) -> float:
        return self._patience_s if trial.patience_s is None else trial.patience_s

    def _observe(self, trial: Trial, working: Path) -> Observed:
        try:
            served = self._servers.serve(trial.wanted)
        except PyfioVirtioError as failure:
            return Observed("", "", None, str(failure))
        patience_s = self._patience_of(trial)
        task = Task(
            command=trial.command,
            environment=served.environment(trial.engine_folder),
            folder=working,
            runtime_s=trial.runtime_s,
            ramp_s=trial.ramp_s,
            patience_s=patience_s,
            backend_pid=served.pid,
        )
        measured = measure(task, self._live)
        problem = None
        if measured.hung:
            problem = f"fio was killed because it had not ended {patience_s:g} s after its runtime"
        elif (death := served.death()) is not None:
            problem = f"the back-end ended during the run: {death}"
        line = served.shell_line(trial.command, trial.engine_folder)
        return Observed(line, served.command, measured, problem)


def _ignore(iops: float) -> None:
    """Does not show the present IOPS."""


@contextmanager
def runner(
    folder: SweepFolder,
    private: Path,
    versions: Mapping[str, str],
    *,
    keep_backend: bool = False,
    patience_s: float = PATIENCE_S,
    live: Live = _ignore,
    fleet: Fleet | None = None,
) -> Iterator[Runner]:
    """Makes a runner, which is the only one that writes to `folder` during the block.

    At the end, its back-end is stopped. The folder `private` is made for its sockets and its
    scratch file, and is removed at the end.
    """
    with (
        signals.ending_tidily(),
        folder.lock(),
        folders.run_folder(private),
        servers(private, keep_backend) as disks,
    ):
        yield Runner(folder, disks, versions, patience_s, live, fleet)

# SPDX-License-Identifier: GPL-2.0-or-later
"""A sweep carried out: round by round, each run kept before the next begins.

Owns what is run when, what is passed over because it was finished, and the record of each
run. Called from the main thread, which starts every process. A run that fails is kept with
its error and the sweep goes on; a sweep that is interrupted goes on with the same command.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Protocol

from pyfio_virtio import folders, host, sweep_record
from pyfio_virtio.errors import PyfioVirtioError, UsageError
from pyfio_virtio.measure import Task, measure
from pyfio_virtio.record import MEASURED, Record
from pyfio_virtio.results import ENVIRONMENT, JOB, PLAN, SweepFolder
from pyfio_virtio.sweep_plan import Run, order
from pyfio_virtio.sweep_points import Planned, Sweep
from pyfio_virtio.sweep_record import Observed
from pyfio_virtio.sweep_servers import Servers, servers
from pyfio_virtio.sweep_settings import Settings, read_settings, to_toml

# May change between one call and the next: they tell how far a sweep goes, not what it is.
_EXTENT = ("title", "repeats", "target_ci", "max_repeats")
PATIENCE_S = 30.0

Settled = Callable[[Sequence[float]], bool]


class Watcher(Protocol):
    """Who wants to know how far it is."""

    def expect(self, runs: int) -> None:
        """So many more runs are to come."""

    def begin(self, planned: Planned, repeat: int) -> None:
        """A run begins."""

    def live(self, iops: float) -> None:
        """The IOPS of this moment."""

    def end(self, record: Record) -> None:
        """A run was kept."""


@dataclass(frozen=True)
class Tally:
    """What a sweep has kept."""

    kept: int
    failed: int


def carry_out(
    sweep: Sweep,
    path: Path,
    watcher: Watcher,
    settled: Settled,
    patience_s: float = PATIENCE_S,
) -> Tally:
    """Runs all that is not finished; `settled` says whether these IOPS are known well enough."""
    folder, private = SweepFolder(path), folders.run_folder_path()
    with _interrupted_by_signals(), folder.lock(), folders.run_folder(private):
        sweep, maximum = _resumed(sweep, folder)
        with servers(private, sweep.settings.keep_backend) as them:
            runner = _Runner(sweep, folder, them, watcher, patience_s)
            runner.measure(sweep.points(), settled)
            if sweep.settings.rate_steps:
                maximum = {**runner.maximum(sweep.points()), **maximum}
                folder.write_plan(plan_text(sweep, maximum))
                runner.measure(sweep.rated_points(maximum), settled)
    rows = folder.rows()
    return Tally(len(rows), sum(bool(row["error"]) for row in rows))


def run_again(sweep: Sweep, planned: Planned, path: Path, watcher: Watcher) -> Record:
    """One more run of a point, kept in a folder of its own."""
    folder, private = SweepFolder(path), folders.run_folder_path()
    with (
        _interrupted_by_signals(),
        folder.lock(),
        folders.run_folder(private),
        servers(private, keep=False) as them,
    ):
        folder.write_plan(plan_text(sweep, {}))
        runner = _Runner(sweep, folder, them, watcher, PATIENCE_S)
        watcher.expect(1)
        return runner.run(planned, 1 + max(runner.repeats_of(planned), default=0))


# ---- what is known of it already --------------------------------------------------------


def plan_text(sweep: Sweep, maximum: Mapping[str, float]) -> str:
    """plan.toml: the settings, and what they were resolved to."""
    return to_toml(sweep.settings, {"versions": sweep.versions, "maximum": maximum})


def _resumed(sweep: Sweep, folder: SweepFolder) -> tuple[Sweep, Mapping[str, float]]:
    """The sweep with the seed and the maxima of the one that the folder holds, if it is it."""
    settings, maximum = sweep.settings, {}
    if (folder.path / PLAN).exists():
        before, found = read_settings(folder.path / PLAN)
        settings = replace(settings, seed=before.seed if settings.seed is None else settings.seed)
        _check_same(before, settings, found.get("versions", {}), sweep, folder.path)
        maximum = found.get("maximum", {})
    elif settings.seed is None:
        settings = replace(settings, seed=random.SystemRandom().randrange(1 << 31))
    sweep = replace(sweep, settings=settings)
    folder.write_plan(plan_text(sweep, maximum))
    return sweep, maximum


def _check_same(
    before: Settings, now: Settings, versions: Mapping[str, str], sweep: Sweep, path: Path
) -> None:
    names = [each.name for each in fields(Settings) if each.name not in _EXTENT]
    unlike = [name for name in names if getattr(before, name) != getattr(now, name)]
    changed = [name for name, is_now in sweep.versions.items() if versions.get(name) != is_now]
    unlike += [f"{name}'s version" for name in changed]
    if unlike:
        raise UsageError(
            f"{path} holds another sweep",
            f"{', '.join(unlike)} {'differ' if len(unlike) > 1 else 'differs'}",
            f"name another folder with -o, or go on with: pyfio-virtio sweep {path / PLAN} "
            f"-o {path}",
        )


# ---- running --------------------------------------------------------------------------------


class _Runner:
    """Runs what is asked of it, unless it is finished, and keeps it."""

    def __init__(
        self, sweep: Sweep, folder: SweepFolder, them: Servers, watcher: Watcher, patience_s: float
    ) -> None:
        self._sweep = sweep
        self._settings = sweep.settings
        self._folder = folder
        self._servers = them
        self._watcher = watcher
        self._patience_s = patience_s
        self._rows = {(row["hash"], row["repeat"]): row for row in folder.rows()}
        self._order = max((row["order"] for row in self._rows.values()), default=0)

    def measure(self, points: Sequence[Planned], settled: Settled) -> None:
        """Every repeat of every point, then rounds of those that are not known well enough."""
        self._runs(points, range(1, self._settings.repeats + 1))
        if self._settings.target_ci is None:
            return
        for repeat in range(self._settings.repeats + 1, self._settings.max_repeats + 1):
            loose = [each for each in points if self._is_loose(each, repeat, settled)]
            self._runs(loose, range(repeat, repeat + 1))

    def _is_loose(self, planned: Planned, repeat: int, settled: Settled) -> bool:
        """Judged by the rounds before, so that a sweep that goes on decides as it did."""
        values = self._iops(planned, below=repeat)
        return planned.point.role == MEASURED and bool(values) and not settled(values)

    def _iops(self, planned: Planned, below: int | None = None) -> list[float]:
        return [
            row["iops"]
            for (point, repeat), row in sorted(self._rows.items())
            if point == planned.point.hash
            and not row["error"]
            and (below is None or repeat < below)
        ]

    def maximum(self, points: Sequence[Planned]) -> dict[str, float]:
        """What each measured point reached, by its hash."""
        reached = {
            each.point.hash: self._iops(each) for each in points if each.point.role == MEASURED
        }
        return {point: statistics.median(values) for point, values in reached.items() if values}

    def repeats_of(self, planned: Planned) -> list[int]:
        return [repeat for point, repeat in self._rows if point == planned.point.hash]

    def _runs(self, points: Sequence[Planned], repeats: range) -> None:
        by_choice = {each.choice: each for each in points}
        runs = order(list(by_choice), repeats, self._settings.order, self._settings.seed or 0)
        left = [run for run in runs if not self._is_finished(by_choice[run.choice], run)]
        self._watcher.expect(len(left))
        for run in left:
            self.run(by_choice[run.choice], run.repeat)

    def _is_finished(self, planned: Planned, run: Run) -> bool:
        row = self._rows.get((planned.point.hash, run.repeat))
        return row is not None and not row["error"]

    def run(self, planned: Planned, repeat: int) -> Record:
        """One run, from an empty folder to a line in runs.jsonl."""
        self._watcher.begin(planned, repeat)
        working = self._folder.begin(planned.point.hash, repeat)
        try:
            record = self._attempt(planned, repeat, working)
        except BaseException:  # interrupted: what is not whole is not kept
            shutil.rmtree(working, ignore_errors=True)
            raise
        self._folder.finish(record)
        self._rows[planned.point.hash, repeat] = {
            "iops": record.total.iops,
            "error": record.error,
        }
        self._watcher.end(record)
        return record

    def _attempt(self, planned: Planned, repeat: int, working: Path) -> Record:
        machine = host.describe()
        (working / JOB).write_text(planned.point.job)
        (working / ENVIRONMENT).write_text(
            json.dumps({"host": asdict(machine), "versions": dict(self._sweep.versions)}, indent=1)
        )
        self._order += 1
        asked = sweep_record.Asked(
            planned, self._settings, repeat, self._order, datetime.now(UTC), machine
        )
        observed = self._observe(planned, working)
        self._servers.leave(working, failed=observed.problem is not None)
        return sweep_record.build(asked, observed, working)

    def _observe(self, planned: Planned, working: Path) -> Observed:
        try:
            served = self._servers.serve(planned.wanted)
        except PyfioVirtioError as failure:
            return Observed("", "", None, str(failure))
        task = Task(
            command=self._sweep.command(),
            environment=self._sweep.environment(served.disk),
            folder=working,
            runtime_s=self._settings.runtime,
            ramp_s=self._settings.ramp_time,
            patience_s=self._patience_s,
            backend_pid=served.pid,
        )
        measured = measure(task, self._watcher.live)
        problem = None
        if measured.hung:
            problem = f"fio had not ended {self._patience_s:g} s after its time, and was killed"
        elif (death := served.death()) is not None:
            problem = f"the back-end ended during the run: {death}"
        return Observed(self._sweep.shell_line(served.disk), served.command, measured, problem)


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end a sweep as ^C does: by way of every `finally`."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

# SPDX-License-Identifier: GPL-2.0-or-later
"""Carries out a sweep, round by round.

Owns which run comes next, and which runs are skipped because they are finished. Called from the
main thread. A run that fails is kept with its error, and the sweep continues unless the failure
would repeat (sweep/failures.py). After an interruption, the same command continues the sweep.
"""

from __future__ import annotations

import random
import shlex
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Protocol

from pyfio_virtio.errors import UsageError
from pyfio_virtio.machine import folders
from pyfio_virtio.results.record import MEASURED, Record
from pyfio_virtio.results.results import PLAN, SweepFolder
from pyfio_virtio.sweep.failures import Failures
from pyfio_virtio.sweep.fleet import fleet_of
from pyfio_virtio.sweep.job import columns
from pyfio_virtio.sweep.one_run import PATIENCE_S, Runner, Trial, runner
from pyfio_virtio.sweep.plan import order
from pyfio_virtio.sweep.points import Planned, Sweep
from pyfio_virtio.sweep.settings import Settings, located, read_settings, to_toml

# These settings may change when a sweep is continued, because they do not change its points.
_EXTENT = ("title", "repeats", "target_ci", "max_repeats")

Settled = Callable[[Sequence[float]], bool]


class Watcher(Protocol):
    """Is told about the progress of a sweep."""

    def expect(self, runs: int) -> None:
        """This many more runs will follow."""

    def begin(self, planned: Planned, repeat: int) -> None:
        """A run begins."""

    def live(self, iops: float) -> None:
        """The present IOPS."""

    def end(self, record: Record) -> None:
        """A run was kept."""


@dataclass(frozen=True)
class Tally:
    """The number of runs that the folder has, and how many of them failed."""

    kept: int
    failed: int
    stopped: str = ""  # why the sweep did not continue; "" if it went to its end


class _StopError(Exception):
    """No further run should be made."""


def carry_out(
    sweep: Sweep,
    path: Path,
    watcher: Watcher,
    settled: Settled,
    patience_s: float = PATIENCE_S,
    keep_going: bool = False,
) -> Tally:
    """Makes all runs that are not finished. `settled` says whether IOPS are known well enough.

    With `keep_going`, it does not stop after failures that would repeat.
    """
    folder, private = SweepFolder(path), folders.run_folder_path()
    stopped = ""
    with (
        fleet_of(sweep, private) as hosts,
        runner(
            folder,
            private,
            sweep.versions,
            keep_backend=sweep.settings.keep_backend,
            patience_s=patience_s,
            live=watcher.live,
            fleet=hosts,
        ) as running,
    ):
        sweep, maximum = _resumed(sweep, folder)
        try:
            _measure(sweep, maximum, folder, _Rounds(sweep, running, watcher, keep_going), settled)
        except _StopError as reason:
            stopped = str(reason)
    rows = folder.rows()
    return Tally(len(rows), sum(bool(row["error"]) for row in rows), stopped)


def _measure(
    sweep: Sweep,
    maximum: Mapping[str, float],
    folder: SweepFolder,
    rounds: _Rounds,
    settled: Settled,
) -> None:
    """Measures all points, and then at shares of the IOPS that they reach."""
    rounds.measure(sweep.points(), settled)
    if sweep.settings.rate_steps:
        maximum = {**rounds.maximum(sweep.points()), **maximum}
        folder.write_plan(plan_text(sweep, maximum))
        rounds.measure(sweep.rated_points(maximum), settled)


def run_again(sweep: Sweep, planned: Planned, path: Path, watcher: Watcher) -> Record:
    """Runs a point once more, and keeps the result in another folder."""
    folder = SweepFolder(path)
    with runner(folder, folders.run_folder_path(), sweep.versions, live=watcher.live) as running:
        folder.write_plan(plan_text(sweep, {}, runs=1))
        watcher.expect(1)
        repeats = running.finished(planned.point)
        return _Rounds(sweep, running, watcher).run(planned, 1 + max(repeats, default=0))


# ---- the plan, and a folder that holds a sweep already ----------------------------------


def plan_text(sweep: Sweep, maximum: Mapping[str, float], runs: int | None = None) -> str:
    """The text of plan.toml: the settings, and what they were resolved to."""
    planned = {"runs": sweep.runs() if runs is None else runs}
    return to_toml(
        sweep.settings, {"versions": sweep.versions, "maximum": maximum, "planned": planned}
    )


def check_folder(sweep: Sweep, path: Path) -> None:
    """Refuses a folder that holds another sweep, or something else. Writes nothing."""
    SweepFolder(path).check_own()
    _continued(sweep, path)


def _resumed(sweep: Sweep, folder: SweepFolder) -> tuple[Sweep, Mapping[str, float]]:
    """The sweep with a seed, and the maxima that were found before; the folder has its plan."""
    sweep, maximum = _continued(sweep, folder.path)
    if sweep.settings.seed is None:
        seed = random.SystemRandom().randrange(1 << 31)
        sweep = replace(sweep, settings=replace(sweep.settings, seed=seed))
    folder.write_plan(plan_text(sweep, maximum))
    return sweep, maximum


def _continued(sweep: Sweep, path: Path) -> tuple[Sweep, Mapping[str, float]]:
    """The sweep with the seed of the sweep in the folder, and the maxima that were found there.

    Refuses a folder that holds another sweep.
    """
    if not (path / PLAN).exists():
        return sweep, {}
    settings = sweep.settings
    before, found = read_settings(path / PLAN)
    settings = replace(settings, seed=before.seed if settings.seed is None else settings.seed)
    _check_same(before, settings, found.get("versions", {}), sweep, path)
    return replace(sweep, settings=settings), found.get("maximum", {})


def _check_same(
    before: Settings, now: Settings, versions: Mapping[str, str], sweep: Sweep, path: Path
) -> None:
    differing = settings_that_differ(before, now)
    changed = [name for name, is_now in sweep.versions.items() if versions.get(name) != is_now]
    differing += [f"{name}'s version" for name in changed]
    if differing:
        options = "these options differ" if len(differing) > 1 else "this option differs"
        raise UsageError(
            f"{path} holds another sweep",
            f"{options}: {', '.join(differing)}",
            f"name another folder with -o, or continue with: pyfio-virtio sweep "
            f"{shlex.quote(str(path / PLAN))} -o {shlex.quote(str(path))}",
        )


def settings_that_differ(before: Settings, now: Settings) -> list[str]:
    """What differs between two sweeps, as the user writes it: iodepth (1,32 before, 1,64 now)."""
    before, now = located(before), located(now)
    names = [each.name for each in fields(Settings) if each.name not in (*_EXTENT, "options")]
    pairs = {name: (getattr(before, name), getattr(now, name)) for name in names}
    for name in dict.fromkeys((*before.options, *now.options)):
        pairs[name] = before.options.get(name), now.options.get(name)
    return [
        f"{name} ({_shown(was)} before, {_shown(is_now)} now)"
        for name, (was, is_now) in pairs.items()
        if was != is_now
    ]


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return "none" if value in (None, "") else str(value)


# ---- running --------------------------------------------------------------------------------


class _Rounds:
    """Makes every run that is not finished, in order."""

    def __init__(
        self, sweep: Sweep, running: Runner, watcher: Watcher, keep_going: bool = False
    ) -> None:
        self._sweep = sweep
        self._settings = sweep.settings
        self._runner = running
        self._watcher = watcher
        self._keep_going = keep_going

    def measure(self, points: Sequence[Planned], settled: Settled) -> None:
        """Every repeat of every point, and then more rounds of points that are not settled."""
        self._runs(points, range(1, self._settings.repeats + 1))
        if self._settings.target_ci is None:
            return
        for repeat in range(self._settings.repeats + 1, self._settings.max_repeats + 1):
            unsettled = [each for each in points if self._is_unsettled(each, repeat, settled)]
            self._runs(unsettled, range(repeat, repeat + 1))

    def _is_unsettled(self, planned: Planned, repeat: int, settled: Settled) -> bool:
        """Judges by the rounds before `repeat`, so that a continued sweep decides the same."""
        values = self._iops(planned, below=repeat)
        return planned.point.role == MEASURED and bool(values) and not settled(values)

    def _iops(self, planned: Planned, below: int | None = None) -> list[float]:
        return [
            record.total.iops
            for repeat, record in self._runner.finished(planned.point).items()
            if below is None or repeat < below
        ]

    def maximum(self, points: Sequence[Planned]) -> dict[str, float]:
        """The median IOPS of each measured point, by its hash."""
        reached = {
            each.point.hash: self._iops(each) for each in points if each.point.role == MEASURED
        }
        return {point: statistics.median(values) for point, values in reached.items() if values}

    def _runs(self, points: Sequence[Planned], repeats: range) -> None:
        by_choice = {each.choice: each for each in points}
        done = {each.choice: self._runner.finished(each.point) for each in points}
        runs = order(list(by_choice), repeats, self._settings.order, self._settings.seed or 0)
        left = [run for run in runs if run.repeat not in done[run.choice]]
        self._watcher.expect(len(left))
        failures = Failures(points)
        for run in left:
            planned = by_choice[run.choice]
            error = self.run(planned, run.repeat).error
            if not self._keep_going and (why := failures.why_stop(planned, error)):
                raise _StopError(why)

    def run(self, planned: Planned, repeat: int) -> Record:
        self._watcher.begin(planned, repeat)
        record = self._runner.run(self._trial(planned), repeat)
        self._watcher.end(record)
        return record

    def _trial(self, planned: Planned) -> Trial:
        return Trial(
            point=planned.point,
            wanted=planned.wanted,
            options=columns(planned.choice, self._settings, planned.rate_iops),
            command=self._sweep.command(planned.choice),
            runtime_s=self._settings.runtime,
            ramp_s=self._settings.ramp_time,
            engine_folder=self._sweep.programs.folder(planned.choice.programs),
            hosts=planned.choice.hosts,
        )

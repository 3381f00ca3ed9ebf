# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the runs of a tuner with fio, in the same way as a sweep does.

Each setup is a sweep of one point, so jobs, back-ends and records are the sweep's. Called from the
main thread. When the block of measuring() ends, no process and no file of it is left, except for
the records in a folder that the user named.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.machine import folders, signals
from pyfio_virtio.results.results import SweepFolder
from pyfio_virtio.sweep.job import columns
from pyfio_virtio.sweep.one_run import Runner, Trial, runner
from pyfio_virtio.sweep.points import Planned, Sweep
from pyfio_virtio.tune.goals import GOALS, LATENCY, values
from pyfio_virtio.tune.search import Workload
from pyfio_virtio.tune.setups import DEPTH, Setup, Tried, applied
from pyfio_virtio.tune.tuner import Length, Result

AT_ONCE = "latency"  # the workload with one I/O in flight
TOGETHER = "IOPS"


def workloads(tried: Tried, goals: Collection[str] = ()) -> list[Workload]:
    """What is measured for the goals with these keys, or for all: one I/O in flight, and many."""
    wanted = [each for each in GOALS if each.key in goals or not goals]
    at_once = tuple(each for each in wanted if each is LATENCY)
    together = tuple(each for each in wanted if each is not LATENCY)
    both = (
        Workload(AT_ONCE, at_once, tried.latency),
        Workload(TOGETHER, together, tried.throughput),
    )
    return [each for each in both if each.goals]


@dataclass(frozen=True)
class Plan:
    """What is tried, as resolved on this machine."""

    tried: Tried
    sweep: Sweep

    def planned(self, workload: str, setup: Setup, runtime_s: float, ramp_s: float) -> Planned:
        """The only point of the sweep that a setup stands for."""
        return self._sweep(workload, setup, runtime_s, ramp_s).points()[0]

    def trial(self, workload: str, setup: Setup, length: Length) -> Trial:
        """The run of a setup."""
        sweep = self._sweep(workload, setup, length.runtime_s, length.ramp_s)
        planned = sweep.points()[0]
        return Trial(
            point=planned.point,
            wanted=planned.wanted,
            options=columns(planned.choice, sweep.settings, None),
            command=sweep.command(planned.choice),
            runtime_s=length.runtime_s,
            ramp_s=length.ramp_s,
            engine_folder=sweep.programs.folder(planned.choice.programs),
            patience_s=length.patience_s,
        )

    def _sweep(self, workload: str, setup: Setup, runtime_s: float, ramp_s: float) -> Sweep:
        base = self.tried.base
        if workload == AT_ONCE:
            base = replace(base, options={**base.options, DEPTH: ("1",)})
        settings = replace(applied(base, setup), runtime=runtime_s, ramp_time=ramp_s)
        return replace(self.sweep, settings=settings)


class Bench:
    """Makes runs, one after the other. It has the form of tuner.Measure."""

    def __init__(self, plan: Plan, running: Runner) -> None:
        self._plan = plan
        self._runner = running
        self.counts_backend: bool | None = None  # whether IOPS per core include the back-end's

    def __call__(self, workload: Workload, setup: Setup, round_: int, length: Length) -> Result:
        try:
            trial = self._plan.trial(workload.name, setup, length)
        except PyfioVirtioError as failure:
            return Result({}, 0, str(failure))
        record = self._runner.run(trial, round_)
        if record.error:
            return Result({}, record.order, record.error)
        if self.counts_backend is None:
            self.counts_backend = record.backend_cpu is not None
        return Result(values(record, self.counts_backend), record.order)


@contextmanager
def measuring(plan: Plan, kept: Path | None) -> Iterator[Bench]:
    """Makes a bench. The records are kept in the folder, or not at all."""
    with ExitStack() as stack:
        stack.enter_context(signals.ending_tidily())
        if kept is None:
            private = folders.run_folder_path(folders.memory_folder())
            stack.enter_context(folders.run_folder(private))
            kept = private / "runs"
        running = runner(
            SweepFolder(kept), folders.run_folder_path(), plan.sweep.versions, keep_backend=True
        )
        yield Bench(plan, stack.enter_context(running))

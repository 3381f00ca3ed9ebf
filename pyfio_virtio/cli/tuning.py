# SPDX-License-Identifier: GPL-2.0-or-later
"""What `tune` does once it is clear what is tried: it spends the time, tells, and writes the files.

Called from the main thread. It is imported when it is needed, because the analysis is slow to
import.
"""

from __future__ import annotations

import math
import random
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from pyfio_virtio import efficiency
from pyfio_virtio.analysis import family, tuned
from pyfio_virtio.analysis.tuned import Judged, Pair
from pyfio_virtio.cli.output import make_folder, write_file
from pyfio_virtio.cli.tables import print_table
from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.fio import fio
from pyfio_virtio.machine import host, signals
from pyfio_virtio.sweep.points import Planned
from pyfio_virtio.sweep.settings import OWN_FIO
from pyfio_virtio.tune import job_file
from pyfio_virtio.tune.budget import FEWEST_ROUNDS, Budget
from pyfio_virtio.tune.goals import LATENCY, PER_CORE, TAIL
from pyfio_virtio.tune.measuring import Bench, Plan, measuring, workloads
from pyfio_virtio.tune.setups import DEFAULTS, DEPTH, Setup, label
from pyfio_virtio.tune.tuner import Finding, Tuner

_STEP_S = 5  # in which a longer time is advised
_MOST_NAMED = 3
_COLUMNS = ("best for", "use", "reached (interval)", "p99", "compared with the defaults", "shown")


class Tuning:
    """One tuning, from the first run to the job files."""

    def __init__(
        self,
        plan: Plan,
        goals: Collection[str],
        output: Path,
        runs: Path | None,
        seed: int | None,
    ) -> None:
        self._plan = plan
        self._workloads = workloads(plan.tried, goals)
        self._output = output
        self._runs = runs
        self._seed = random.SystemRandom().randrange(1 << 31) if seed is None else seed
        self._bench: Bench | None = None
        self._tuner: Tuner | None = None

    def run(self, said_s: float, left_s: float) -> int:
        """Spends the time that is left. Returns the exit status."""
        began_s = time.monotonic()
        budget = Budget(left_s, time.monotonic)
        click.echo(f"pyfio-virtio: tuning {self._disk()} for {said_s:g} s at most", err=True)
        try:
            with measuring(self._plan, self._runs) as self._bench, _telling() as tell:
                clock = time.monotonic
                self._tuner = Tuner(self._workloads, self._bench, budget, clock, self._seed, tell)
                self._tuner.run()
        except KeyboardInterrupt as ending:
            self._tell(self._judged())
            click.echo("pyfio-virtio: interrupted; no job file was written", err=True)
            return signals.exit_status(ending)
        except PyfioVirtioError:
            self._tell(self._judged())
            raise
        judged = self._judged()
        self._tell(judged)
        if self._tuner.stopped:
            raise PyfioVirtioError(
                "stopped, and wrote no job file", f"all runs failed: {self._tuner.stopped}"
            )
        if judged and self._tuner.rounds < FEWEST_ROUNDS:
            self._say_too_short(self._tuner, said_s, said_s - left_s)
        self._write(judged)
        spent_s = said_s - left_s + time.monotonic() - began_s
        found, runs = self._tuner.tried, self._tuner.runs
        tried = f"setups with results: {found}; runs: {runs}; time: {spent_s:.1f} s"
        click.echo(f"pyfio-virtio: {tried}; seed {self._seed}", err=True)
        return 0

    def _disk(self) -> str:
        return self._planned(DEFAULTS, self._workloads[0].name).wanted.describe()

    def _say_too_short(self, tuner: Tuner, said_s: float, before_s: float) -> None:
        """Says how much time is needed. Without any comparison there is nothing to write."""
        needed_s = _STEP_S * math.ceil((before_s + tuner.needed_s()) / _STEP_S)
        longer = f"use --time {max(needed_s, math.ceil(said_s) + _STEP_S)}"
        advice = f"{longer} or more" + (", or fewer goals" if self._goals() > 1 else "")
        if not tuner.rounds:
            why = "there was no time to compare anything with the defaults"
            if not tuner.runs:
                why = f"the checks before the first run ended after {before_s:.1f} s"
            raise PyfioVirtioError(f"cannot tune within {said_s:g} s", why, advice)
        count = f"{tuner.rounds} {'round' if tuner.rounds == 1 else 'rounds'} of the comparison"
        short = f"{said_s:g} s are too short to show anything, because {count} fitted into it"
        click.echo(f"pyfio-virtio: note: {short}; {advice}", err=True)

    def _goals(self) -> int:
        return sum(len(each.goals) for each in self._workloads)

    # ---- what was found --------------------------------------------------------------------

    def _judged(self) -> list[tuple[Finding, Judged]]:
        """Each goal for which there is something to compare, and what was shown."""
        findings = self._tuner.findings() if self._tuner else []
        compared = [each for each in findings if each.leader is not None]
        return list(zip(compared, tuned.judge([as_pair(each) for each in compared]), strict=True))

    def _tell(self, judged: Sequence[tuple[Finding, Judged]]) -> None:
        for note in _left_out(self._tuner.failed if self._tuner else {}):
            click.echo(f"pyfio-virtio: note: {note}", err=True)
        if not self._tuner or not self._tuner.runs or not judged:
            return
        print_table(_COLUMNS, [_row(each) for _, each in judged])
        click.echo()
        for finding, each in judged:
            click.echo(each.sentence + _looked(finding, each))
        if self._lacks_backend() and any(each.goal is PER_CORE for each, _ in judged):
            alone = f"IOPS per core are those of {efficiency.FIO_ALONE}"
            click.echo(f"{alone}, because {efficiency.UNKNOWN}.")

    def _write(self, judged: Sequence[tuple[Finding, Judged]]) -> None:
        if not judged:
            return
        make_folder(self._output)
        for finding, each in judged:
            path = self._output / finding.goal.file
            write_file(path, self._job(finding, each, path))
            click.echo(str(path))

    def _lacks_backend(self) -> bool:
        return self._bench is not None and self._bench.counts_backend is False

    # ---- a job file ------------------------------------------------------------------------

    def _planned(self, setup: Setup, workload: str) -> Planned:
        return self._plan.planned(workload, setup, job_file.RUNTIME_S, 0.0)

    def _job(self, finding: Finding, judged: Judged, path: Path) -> str:
        chosen = finding.leader if judged.is_better and finding.leader else DEFAULTS
        planned = self._planned(chosen, finding.workload.name)
        about = [judged.sentence, self._how(finding, judged), self._where(planned)]
        name = finding.goal.file.removesuffix(".fio")
        return job_file.text(planned, name, about, self._run_it(planned, path))

    def _run_it(self, planned: Planned, path: Path) -> list[str]:
        """How to run the file, with the fio and the engine of the measurement."""
        pair = planned.choice.programs
        programs = self._plan.sweep.programs
        library = shlex.quote(fio.library_path(programs.folder(pair)))
        program = programs.fios[pair[0]].path
        name = OWN_FIO if program == shutil.which(OWN_FIO) else shlex.quote(program)
        return ["Run it:", f"  LD_LIBRARY_PATH={library} {name} {shlex.quote(str(path))}"]

    def _how(self, finding: Finding, judged: Judged) -> str:
        rounds = len(finding.fresh)
        if not rounds:
            return "There was no time to compare anything with the defaults."
        defaults = self._planned(DEFAULTS, finding.workload.name)
        depth = defaults.choice.get(DEPTH)
        counted = ""
        if finding.goal is PER_CORE:
            sides = efficiency.FIO_ALONE if self._lacks_backend() else "fio and the back-end"
            counted = f" IOPS per core are those of {sides}."
        return (
            f"Both were measured in turns in {rounds} rounds, in which no setup was chosen. The "
            f"defaults have iodepth={depth}. Values are medians of runs, with intervals of "
            f"{judged.reached.interval.label}. The intervals of all ratios hold together with a "
            f"confidence of {family.CONFIDENCE:.0%}.{counted}"
        )

    def _where(self, planned: Planned) -> str:
        machine = host.describe()
        point = planned.point
        version = f" {point.backend_version}" if point.backend_version else ""
        return (
            f"Measured by pyfio-virtio tune at {datetime.now(UTC):%Y-%m-%d %H:%M} UTC on "
            f"{machine.cpu_model}, {machine.cpus} CPUs, Linux {machine.kernel}, with "
            f"{point.fio_version}, engine {point.engine_version}, and the back-end "
            f"{point.backend}{version}."
        )


def _left_out(failed: Mapping[str, str]) -> Iterator[str]:
    """What failed in the search. Setups that failed for the same reason are named together."""
    for why in dict.fromkeys(failed.values()):
        names = [name for name, each in failed.items() if each == why]
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        were = "was" if len(names) == 1 else "were"
        named = f"{', '.join(names[:_MOST_NAMED])}{more}"
        yield f"{named} failed in the search and {were} left out: {why}"


def as_pair(finding: Finding) -> Pair:
    metric, leader = finding.goal.metric, finding.leader or DEFAULTS
    orders = zip(finding.orders(DEFAULTS), finding.orders(leader), strict=True)
    both = (DEFAULTS, leader)
    base, other = (finding.series(setup, metric) for setup in both)
    tails = [finding.series(setup, TAIL) if finding.goal is LATENCY else [] for setup in both]
    return Pair(
        goal=finding.goal.name,
        metric=metric,
        better=finding.goal.better,
        leader=label(leader),
        base=base,
        other=other,
        orders=list(orders),
        tails=(tails[0], tails[1]),
        failures=[found for each in both if (found := finding.failure(each))],
    )


def _row(judged: Judged) -> tuple[str, ...]:
    return (
        judged.pair.goal,
        judged.best,
        judged.value,
        judged.tail,
        f"{judged.pair.leader}: {judged.ratio}",
        judged.shown,
    )


def _looked(finding: Finding, judged: Judged) -> str:
    """What the search made of it, if there were no runs to judge by."""
    if judged.comparison.is_enough or not math.isfinite(finding.looked):
        return ""
    factor = math.exp(finding.looked if finding.goal.better == "higher" else -finding.looked)
    return f" In the search, which proves nothing, it had {factor:.3g} times as much."


@contextmanager
def _telling() -> Iterator[Callable[[str], None]]:
    """Gives a function that shows what is measured, if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status("starting") as status:
        yield lambda text: status.update(escape(text))

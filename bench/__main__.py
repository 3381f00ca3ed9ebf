# SPDX-License-Identifier: GPL-2.0-or-later
"""python -m bench [NAME...]: runs comparisons, prints their tables, stores all runs as JSON.

No other file in this folder prints. Each run is stored when it ends, so that the same command
continues a bench that was interrupted.
"""

import json
import math
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np

from bench import (
    adaptive,
    claims,
    environment,
    growth,
    hosts,
    instructions,
    level,
    outcome,
    page,
    quick,
)
from bench.outcome import Outcome
from bench.page import Row
from bench.plan import BARE, FILES, GROUPS, Comparison
from bench.run import PATIENCE_S, Cores, OutOfTimeError, Turns, finish, turns, unfinished
from pyfio_virtio import files
from pyfio_virtio.errors import PyfioVirtioError

INSTRUCTIONS, GROWTH, ADAPTIVE, LEVEL = "instructions", "growth", "adaptive", "level"
CLAIMS, HOSTS = "claims", "hosts"
ABOUT: Mapping[str, str] = {
    **{name: group.about for name, group in GROUPS.items()},
    LEVEL: "how even a run is: half seconds beside the run's median",
    INSTRUCTIONS: "instructions for each I/O, by valgrind's callgrind",
    GROWTH: "instructions for each I/O with more queues, more disks and a greater iodepth",
    ADAPTIVE: "wait=adaptive beside the best other way at 50 points; long, so only on request",
    HOSTS: "what a controller of 1, 8 and 32 hosts needs, on this machine; only on request",
    CLAIMS: "how often reports claim differences, on simulated runs; only on request",
}
ON_REQUEST = (ADAPTIVE, CLAIMS, HOSTS)
DEFAULT = tuple(name for name in ABOUT if name not in ON_REQUEST)
WHOLE = (CLAIMS, HOSTS)  # without runs that are stored one by one
COUNTED = (INSTRUCTIONS, GROWTH)  # by valgrind
FOLDER = Path(__file__).resolve().parent
OUTPUT = FOLDER.parent / "build" / "bench"
PAIRS = 12
_INTERRUPTED = 130
_UNFINISHED = 75  # EX_TEMPFAIL of sysexits.h


@dataclass(frozen=True)
class Bench:
    """How all comparisons are run, and where their results are stored."""

    cores: Cores
    pairs: int
    folder: Path
    environment: Mapping[str, object]
    quick: bool = False
    end_s: float = math.inf  # no round begins after this time of time.monotonic()

    def turns(self, name: str) -> AbstractContextManager[Turns]:
        """The object that runs the sides of the name's comparisons in turn."""
        patience_s = instructions.PATIENCE_S if name in COUNTED else PATIENCE_S
        on_disk = name == FILES
        return turns(self.folder / name, self.cores, patience_s, on_disk=on_disk, end_s=self.end_s)

    def keep(self, name: str, results: object, text: str, rows: Sequence[Row] = ()) -> None:
        """Writes NAME.json with every run and NAME.md with the table.

        The rows are those for the table at the page's head.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        conditions = environment.summary(self.environment)
        whole = {
            "name": name,
            "about": ABOUT[name],
            "environment": self.environment,
            "conditions": conditions,
            "rows": [asdict(row) for row in rows],
            "text": text,
            "results": results,
        }
        files.replace(self.folder / f"{name}.json", json.dumps(whole, indent=1) + "\n")
        files.replace(self.folder / f"{name}.md", f"{ABOUT[name]} ({conditions})\n\n{text}")

    def show_on_page(self, name: str) -> None:
        """Writes what was kept of the name into the page."""
        kept = json.loads((self.folder / f"{name}.json").read_text())
        page.update(FOLDER, page.result_of(kept))


def plain(each: Outcome) -> dict[str, object]:
    """An outcome in the form in which it is stored."""
    comparison = each.comparison
    return {
        "title": comparison.title,
        "metric": comparison.metric,
        "shares_core": comparison.shares_core,
        "runtime_s": comparison.runtime_s,
        "sides": [
            {
                "name": side.name,
                "options": dict(side.options),
                "runs": [asdict(run) for run in runs],
            }
            for side, runs in zip(comparison.sides, each.runs, strict=True)
        ],
    }


def run_group(bench: Bench, running: Turns, name: str) -> str:
    outcomes: list[Outcome] = []
    text = ""
    comparisons = GROUPS[name].comparisons
    for comparison in quick.shortened(comparisons) if bench.quick else comparisons:
        with _progress(comparison.title):
            outcomes.append(_compared(bench, running, comparison))
        text = outcome.table(outcomes) + _added(outcomes)
        rows = outcome.rows(outcomes) if GROUPS[name].has_peers else ()
        bench.keep(name, [plain(each) for each in outcomes], text, rows)
    return text


def _compared(bench: Bench, running: Turns, comparison: Comparison) -> Outcome:
    return outcome.outcome(comparison, list(running.rounds(comparison, bench.pairs)))


def _added(outcomes: Sequence[Outcome]) -> str:
    """The latency that fio adds to the median, if its peer is the bare loop at iodepth 1."""
    text = ""
    for each in outcomes:
        base = each.comparison.base
        if base.program == BARE and base.options["iodepth"] == "1":
            added = outcome.p50_added_ns(each)
            between = f"{added.interval.low:.0f} to {added.interval.high:.0f} ns"
            title = each.comparison.full_title
            text += f"\np50 added by fio, {title}: {added.value:.0f} ns ({between})\n"
    return text


def run_instructions(bench: Bench, running: Turns) -> str:
    pairs: list[tuple[instructions.PerIo, instructions.PerIo]] = []
    text = ""
    for null, ours in instructions.sides():
        with _progress(ours.name):
            measured = [instructions.measure(side, running) for side in (null, ours)]
        pairs.append((measured[0], measured[1]))
        text = instructions.table(pairs)
        bench.keep(INSTRUCTIONS, [[asdict(each) for each in pair] for pair in pairs], text)
    return text


def run_growth(bench: Bench, running: Turns) -> str:
    counted: dict[growth.Step, tuple[instructions.PerIo, instructions.PerIo]] = {}
    text = ""
    for step in growth.STEPS:
        null, ours = step.sides()
        with _progress(step.title):
            counted[step] = instructions.measure(null, running), instructions.measure(ours, running)
        text = f"{growth.table(counted)}\n{growth.summary(counted)}\n"
        bench.keep(GROWTH, [[asdict(each) for each in pair] for pair in counted.values()], text)
    return text


def run_adaptive(bench: Bench, running: Turns) -> str:
    outcomes: list[Outcome] = []
    text = ""
    for point in adaptive.POINTS:
        with _progress(point.title):
            outcomes.append(adaptive.contest(point, running, bench.pairs))
        text = outcome.table(outcomes) + "\n" + "\n".join(adaptive.summary(outcomes)) + "\n"
        bench.keep(ADAPTIVE, [plain(each) for each in outcomes], text)
    limited = _compared(bench, running, adaptive.half_a_core())
    text += "\nCPU of fio for each I/O:\n\n" + outcome.table([limited])
    bench.keep(ADAPTIVE, [plain(each) for each in (*outcomes, limited)], text)
    return text


def run_level(bench: Bench, running: Turns) -> str:
    measured: list[list[level.Level]] = []
    text = ""
    for kept in running.kept_rounds(level.comparison(), bench.pairs):
        measured.append([level.level_of(record, folder) for record, folder in kept])
        text = level.table(measured)
        bench.keep(LEVEL, [[asdict(run) for run in each] for each in measured], text)
        click.echo(f"  round {len(measured)} done", err=True)
    return text


@contextmanager
def _progress(title: str) -> Iterator[None]:
    click.echo(f"  {title} ... ", err=True, nl=False)
    yield
    click.echo("done", err=True)


def run_claims(bench: Bench) -> str:
    lines: list[claims.Rate] = []
    text = ""
    for line in claims.rates(np.random.default_rng(claims.SEED)):
        lines.append(line)
        text = claims.table(lines)
        bench.keep(CLAIMS, [asdict(each) for each in lines], text)
        click.echo(f"  {line.name} done", err=True)
    return text


def run_hosts(bench: Bench) -> str:
    """Each round measures all numbers of hosts. It is always run as a whole."""
    rounds: list[list[hosts.Whole]] = []
    text = ""
    with hosts.servers(max(hosts.COUNTS)) as folder:
        for number in range(bench.pairs):
            copies = hosts.COPIES
            rounds.append(
                [
                    hosts.measure(folder, count, copies if count == max(hosts.COUNTS) else ())
                    for count in hosts.COUNTS
                ]
            )
            text = hosts.table(rounds)
            bench.keep(HOSTS, [[asdict(each) for each in one] for one in rounds], text)
            click.echo(f"  round {number + 1} done", err=True)
    return text


def _run(bench: Bench, name: str) -> str:
    if name in WHOLE:
        return run_claims(bench) if name == CLAIMS else run_hosts(bench)
    with bench.turns(name) as running:
        if name == INSTRUCTIONS:
            return run_instructions(bench, running)
        if name == GROWTH:
            return run_growth(bench, running)
        if name == LEVEL:
            return run_level(bench, running)
        if name == ADAPTIVE:
            return run_adaptive(bench, running)
        return run_group(bench, running, name)


def _about() -> str:
    return "\b\n" + "\n".join(f"{name:13} {about}" for name, about in ABOUT.items())


@click.command(epilog=_about())
@click.argument("names", nargs=-1, type=click.Choice(list(ABOUT)), metavar="[NAME]...")
@click.option(
    "--pairs",
    type=click.IntRange(1),
    help=f"Rounds of each comparison; use fewer than 12 only to see that it works.  "
    f"[default: {PAIRS}; with --quick {quick.ROUNDS}]",
)
@click.option(
    "--quick",
    "is_quick",
    is_flag=True,
    help="Few rounds of short runs, of each peer and the ways of waiting: five minutes.",
)
@click.option(
    "--seconds",
    type=click.IntRange(1),
    help="Begin no round after this time. If something is left, the exit status is 75, and the "
    "same command continues. (claims and hosts are always run as a whole.)",
)
@click.option(
    "--page",
    "writes_page",
    is_flag=True,
    help="Also write the results to bench/results, and their tables into bench/README.md.",
)
@click.option("--fio-cpu", type=click.IntRange(0), default=0, show_default=True)
@click.option("--backend-cpu", type=click.IntRange(0), default=1, show_default=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=OUTPUT,
    help="Folder for the results. A bench that was interrupted there continues.  "
    "[default: build/bench]",
)
def main(
    names: Sequence[str],
    pairs: int | None,
    is_quick: bool,
    seconds: int | None,
    writes_page: bool,
    fio_cpu: int,
    backend_cpu: int,
    output: Path,
) -> None:
    """Run comparisons on two cores, and print their tables.

    Without NAME, all comparisons except adaptive, claims and hosts are run; with --quick, only
    those that fit into five minutes.
    """
    end_s = time.monotonic() + (seconds or math.inf)
    cores = Cores(fio_cpu, backend_cpu)
    names = tuple(dict.fromkeys(names)) or (quick.NAMES if is_quick else DEFAULT)
    if set(names) & set(COUNTED) and shutil.which("valgrind") is None:
        raise click.ClickException("valgrind is needed to count instructions: apt install valgrind")
    pairs = pairs or (quick.ROUNDS if is_quick else PAIRS)
    about = environment.describe(cores, pairs, is_quick)
    bench = Bench(cores, pairs, output, about, is_quick, end_s)
    _warn_if_busy()
    try:
        for name in names:
            _show(bench, name)
            if writes_page:
                bench.show_on_page(name)
    except KeyboardInterrupt:
        click.echo("\nbench: interrupted; the same command continues it", err=True)
        sys.exit(_INTERRUPTED)
    except OutOfTimeError:
        click.echo(f"\nbench: {seconds} s are over; the same command continues it", err=True)
        sys.exit(_UNFINISHED)
    # Only after all names are done, because otherwise the same command would repeat the first ones.
    for name in names:
        if name not in WHOLE:
            finish(output / name)


def _show(bench: Bench, name: str) -> None:
    """Runs the name's comparisons, and prints their tables."""
    kept = unfinished(bench.folder / name)
    continues = f", continuing with the runs in {kept}" if kept.exists() else ""
    click.echo(f"{name}: {ABOUT[name]}{continues}", err=True)
    stolen_s = environment.steal_s()
    text = _run(bench, name)
    stolen_s = environment.steal_s() - stolen_s
    click.echo(f"### {name}: {ABOUT[name]}\n\n{text}")
    click.echo(f"{environment.summary(bench.environment)}; {stolen_s:.1f} s stolen\n")


def _warn_if_busy() -> None:
    load = environment.load()
    if load > environment.QUIET_LOAD:
        click.echo(f"bench: this machine is busy (load {load:.1f}): results may be wrong", err=True)


if __name__ == "__main__":
    try:
        main()
    except PyfioVirtioError as error:
        click.echo(f"\nbench: {error}", err=True)
        sys.exit(error.exit_status)

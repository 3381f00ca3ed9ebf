# SPDX-License-Identifier: GPL-2.0-or-later
"""Searches all states of the models with spin, as they are and with each of their rules broken.

`make model` prints one line for each configuration of each model; README.md says how models are
written. It needs spin and a C compiler, and nothing of build/.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
NAMES = ("ring", "turn", "reconnect")
# Each search needs a fraction of these. A search that reaches one of them has not seen all states.
DEPTH, MEMORY_MIB, TIMEOUT_S = 100_000, 1024, 250
# A search of so few states has missed nearly all of them.
FEWEST_STATES = 1000

RULE = re.compile(r"^#define (\w+) (\d+) +/\* (?:([\w ]+): )?(.+) \*/$", re.MULTILINE)
FUNCTION = re.compile(r"(engine/[\w/]+\.[ch]): (\w+)\(\)(?:: ([\w ]*\w))?")


@dataclass(frozen=True)
class Rule:
    name: str
    number: int
    text: str  # what is wrong if it is broken
    configurations: tuple[str, ...]  # in which the search must find a failure


@dataclass(frozen=True)
class Function:
    """A function of the engine that a model stands for."""

    path: str
    name: str
    accesses: tuple[str, ...]  # in their order; see sources.py


@dataclass(frozen=True)
class Model:
    name: str
    configurations: tuple[str, ...]
    rules: tuple[Rule, ...]
    functions: tuple[Function, ...]


@dataclass(frozen=True)
class Search:
    states: int
    seconds: float
    failure: str  # in spin's words; empty: none


def read(name: str) -> Model:
    text = re.sub(r"\n \*   +", " ", (FOLDER / f"{name}.pml").read_text())
    listed = re.search(r'^#define CONFIGURATIONS "(.*)"$', text, re.MULTILINE)
    if not listed:
        raise ValueError(f"{name}.pml: the line #define CONFIGURATIONS is missing")
    configurations = tuple(listed[1].split())
    before = text.partition("#include")[0].partition(listed[0])[2]
    rules = (
        Rule(name, int(number), text, tuple(where.split()) if where else configurations)
        for name, number, where, text in RULE.findall(before)
        if name.lower() not in configurations
    )
    functions = (
        Function(path, name, tuple(accesses.split()))
        for path, name, accesses in FUNCTION.findall(text)
    )
    return Model(name, configurations, tuple(rules), tuple(functions))


def compile_model(name: str, folder: Path) -> Path:
    """Returns the program that searches the states."""
    program = folder / name
    subprocess.run(["spin", "-a", FOLDER / f"{name}.pml"], cwd=folder, check=True)
    flags = ("-O2", "-w", "-DSAFETY", f"-DMEMLIM={MEMORY_MIB}")
    compiler = os.environ.get("CC", "gcc")
    subprocess.run([compiler, *flags, "-o", program, "pan.c"], cwd=folder, check=True)
    return program


def search(program: Path, configuration: int, broken: int = 0) -> Search:
    output = subprocess.run(
        [program, f"-m{DEPTH}", "-w21", "-n"],
        env={"CONFIGURATION": str(configuration), "BROKEN": str(broken)},
        cwd=program.parent,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    ).stdout
    states = re.search(r"^ *(\d+) states, stored", output, re.MULTILINE)
    seconds = re.search(r"elapsed time (\S+) seconds", output)
    failure = re.search(r"^pan:1: (.*) \(at depth", output, re.MULTILINE)
    is_complete = failure or "Search not completed" not in output
    if not states or not seconds or not is_complete or "max search depth too small" in output:
        raise RuntimeError(f"{program.name}: not all states were searched:\n{output}")
    return Search(int(states[1]), float(seconds[1]), failure[1] if failure else "")


@dataclass(frozen=True)
class Verdict:
    """One configuration of one model."""

    model: str
    configuration: str
    intact: Search
    caught: tuple[Rule, ...]
    missed: tuple[Rule, ...]

    @property
    def holds(self) -> bool:
        return not self.intact.failure and self.intact.states >= FEWEST_STATES and not self.missed


def judge(name: str) -> Iterator[Verdict]:
    model = read(name)
    with tempfile.TemporaryDirectory() as folder:
        program = compile_model(name, Path(folder))
        for number, configuration in enumerate(model.configurations):
            rules = [each for each in model.rules if configuration in each.configurations]
            found = {each: search(program, number, each.number).failure for each in rules}
            yield Verdict(
                name,
                configuration,
                search(program, number),
                tuple(each for each in rules if found[each]),
                tuple(each for each in rules if not found[each]),
            )


def _line(verdict: Verdict) -> str:
    intact = verdict.intact
    told = f"fails: {intact.failure}" if intact.failure else "holds"
    rules = len(verdict.caught) + len(verdict.missed)
    return (
        f"{verdict.model:10} {verdict.configuration:10} {intact.states:>9,} {intact.seconds:>7.1f}"
        f"  {len(verdict.caught):>2} of {rules:<2}  {told}"
    )


def main() -> int:
    if not shutil.which("spin"):
        print("model: spin is missing. Install Debian's package spin.", file=sys.stderr)
        return 1
    print(f"{'model':10} {'of':10} {'states':>9} {'seconds':>7}  caught    verdict", flush=True)
    status = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        running: list[Future[list[Verdict]]] = [
            pool.submit(lambda name: list(judge(name)), name) for name in NAMES
        ]
        for verdict in (each for future in running for each in future.result()):
            print(_line(verdict), flush=True)
            for rule in verdict.missed:
                print(f"  not found: {rule.name} ({rule.text})")
            status |= not verdict.holds
    return status


if __name__ == "__main__":
    sys.exit(main())

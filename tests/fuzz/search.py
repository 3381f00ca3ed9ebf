# SPDX-License-Identifier: GPL-2.0-or-later
"""`make fuzz`: searches for inputs that break a target, and prints what the inputs reach.

The search begins with the seeds and with what earlier searches found (build/fuzz/corpus), and
divides its time among the targets. One process runs at a time. The status is 1 if an input breaks
something; the last lines say where it is and how to run it again.
"""

import argparse
import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import coverage, seeds
from tests.fuzz.programs import (
    BUILD,
    COVERAGE,
    FUZZ,
    REPLAY,
    ROOT,
    TARGETS,
    FuzzError,
    Target,
    build,
)
from tests.fuzz.texts import TEXTS, Text

Searched = Target | Text

LONGEST_INPUT = 4096
# An input that takes longer, or needs more memory, is a finding.
LONGEST_RUN_S, MOST_MEMORY_MB = 10, 2048
# Inputs that are kept as seeds are small and few.
MOST_SEEDS, MOST_SEED_BYTES = 100, 600


@dataclass(frozen=True)
class Outcome:
    executions: int
    seconds: float
    finding: Path | None


def corpus_of(target: Searched) -> Path:
    """The folder of the target's inputs, with the seeds among them."""
    folder = BUILD / "corpus" / target.name
    folder.mkdir(parents=True, exist_ok=True)
    starts = target.starts() if isinstance(target, Text) else []
    for data in (*seeds.read(target.seeds).values(), *starts):
        (folder / hashlib.sha1(data, usedforsecurity=False).hexdigest()).write_bytes(data)
    return folder


def command_of(target: Searched) -> list[str | Path]:
    if isinstance(target, Text):
        return [sys.executable, "-m", "tests.fuzz.search_texts", target.name]
    return [build(FUZZ, [target])[target.name]]


def search(target: Searched, seconds: int) -> Outcome:
    findings, log = BUILD / "findings", BUILD / f"{target.name}.log"
    findings.mkdir(exist_ok=True)
    corpus, began = corpus_of(target), time.monotonic()
    command = [
        *(*command_of(target), corpus, f"-max_total_time={seconds}", f"-max_len={LONGEST_INPUT}"),
        *(f"-timeout={LONGEST_RUN_S}", f"-rss_limit_mb={MOST_MEMORY_MB}", "-print_final_stats=1"),
        *(f"-artifact_prefix={findings}/{target.name}-", "-verbosity=1"),
    ]
    with log.open("w") as file:
        status = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False
        ).returncode
    text = log.read_text(errors="replace")
    count = re.search(r"number_of_executed_units: (\d+)", text)
    written = re.search(r"Test unit written to (.*)", text)
    if status and not written:
        raise FuzzError(f"{target.name}: the search ended with {status}: see {log}")
    return Outcome(
        int(count[1]) if count else 0,
        time.monotonic() - began,
        Path(written[1]) if status and written else None,
    )


def print_coverage(targets: Sequence[Searched]) -> None:
    programs = build(COVERAGE, [each for each in targets if isinstance(each, Target)])
    for target in targets:
        inputs = sorted(corpus_of(target).iterdir())
        print(f"\n{target.name}: what {len(inputs)} inputs reach")
        reached = (
            coverage.measure_text(target, inputs)
            if isinstance(target, Text)
            else coverage.measure(target, programs[target.name], inputs)
        )
        for each in reached:
            print(f"  {each.describe()}")
            if each.missed:
                print(f"    not reached: line {', '.join(map(str, each.missed))}")


def keep_seeds(targets: Sequence[Target]) -> None:
    """Adds the inputs to the seeds that reach code that the seeds do not reach."""
    programs = build(FUZZ, targets)
    for target in targets:
        kept = seeds.read(target.seeds)
        old, new = BUILD / "kept" / "old", BUILD / "kept" / "new"
        shutil.rmtree(old.parent, ignore_errors=True)
        for folder in (old, new):
            folder.mkdir(parents=True)
        for name, data in kept.items():
            (old / name).write_bytes(data)
        for path in corpus_of(target).iterdir():
            if path.stat().st_size <= MOST_SEED_BYTES:
                shutil.copy(path, new)
        command: list[str | Path] = [
            programs[target.name],
            "-set_cover_merge=1",
            "-use_counters=0",
            old,
            new,
        ]
        subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=True)
        added = sorted(set(old.iterdir()) - {old / name for name in kept})
        for path in added[: max(MOST_SEEDS - len(kept), 0)]:
            kept[f"reach-{path.name[:10]}"] = path.read_bytes()
        seeds.write(target.seeds, kept)
        print(f"{target.name}: {len(kept)} seeds")


def replay_command(target: Searched, path: Path) -> str:
    if isinstance(target, Text):
        return f"build/venv/bin/python -m tests.fuzz.texts {target.name} {path.relative_to(ROOT)}"
    program = build(REPLAY, [target])[target.name]
    return f"{program.relative_to(ROOT)} {path.relative_to(ROOT)}"


def report(target: Searched, path: Path) -> None:
    print(f"\n{target.name}: an input breaks it: {path.relative_to(ROOT)}")
    print(f"  why: the end of {(BUILD / target.name).relative_to(ROOT)}.log")
    print(f"  run it again: {replay_command(target, path)}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Search for inputs that break a target.")
    names = [target.name for target in (*TARGETS, *TEXTS)]
    parser.add_argument("--minutes", type=float, default=10, help="for all targets together")
    parser.add_argument("--target", choices=names, action="append", help="only this one")
    parser.add_argument("--keep", action="store_true", help="make seeds of what was found instead")
    return parser.parse_args()


def chosen_targets(names: Sequence[str] | None) -> list[Searched]:
    every: list[Searched] = [*TARGETS, *TEXTS]
    if not importlib.util.find_spec("atheris"):
        print("The targets in Python are left out, because atheris is not installed.")
        every = [*TARGETS]
    return [each for each in every if not names or each.name in names]


def run(chosen: argparse.Namespace) -> int:
    targets = chosen_targets(chosen.target)
    if chosen.keep:
        keep_seeds([each for each in targets if isinstance(each, Target)])
        return 0
    build(FUZZ, [each for each in targets if isinstance(each, Target)])
    seconds = max(int(chosen.minutes * 60 / max(len(targets), 1)), 1)
    findings = {}
    for target in targets:
        outcome = search(target, seconds)
        rate = outcome.executions / max(outcome.seconds, 1)
        print(f"{target.name}: {outcome.executions} executions, {rate:.0f}/s", flush=True)
        if outcome.finding:
            findings[target] = outcome.finding
    print_coverage([each for each in targets if each not in findings])
    for target, path in findings.items():
        report(target, path)
    return 1 if findings else 0


def main() -> int:
    try:
        return run(arguments())
    except FuzzError as error:
        print(f"fuzz: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: GPL-2.0-or-later
"""Searches for jobs that run otherwise here than on fio's own engines, and shrinks what it finds.

python -m tests.differential.search --minutes 30 [--seed N]
    draws jobs until the time is over, and prints the smallest job of each difference with what
    each side made of it. Ends with status 1 if there was one. A round draws jobs from a seed of its
    own, which is printed; --seed begins with that round. Two rounds of three run on the built-in
    back-end, one on qemu-storage-daemon.
python -m tests.differential.search --draw 100 [--seed N]
    prints jobs for fixed.jsonl, which test_fixed.py runs.
"""

import argparse
import random
import sys
import time
from collections.abc import Sequence

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

from tests.differential.compare import Comparison, compare
from tests.differential.jobs import Job, for_daemon, jobs
from tests.differential.sides import OnBuiltin, OnDaemon, Side

JOBS_A_ROUND = 50
SETTINGS = settings(
    database=None,
    deadline=None,
    print_blob=False,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
    verbosity=hypothesis.Verbosity.quiet,
)
BUILTIN: tuple[Side, SearchStrategy[Job]] = (OnBuiltin(), jobs())
DAEMON: tuple[Side, SearchStrategy[Job]] = (OnDaemon(), jobs().map(for_daemon))
# By the seed of a round.
ROUNDS = (BUILTIN, BUILTIN, DAEMON)


class DifferenceError(Exception):
    """A job that differs; hypothesis shrinks what raises it."""


def search_round(seed: int, until: float) -> Comparison | None:
    """Draws jobs; the smallest one that differs, if any does."""
    side, strategy = ROUNDS[seed % len(ROUNDS)]
    smallest: list[Comparison] = []

    @hypothesis.seed(seed)
    @settings(SETTINGS, max_examples=JOBS_A_ROUND)
    @given(strategy)
    def try_job(job: Job) -> None:
        if time.monotonic() > until:
            return
        found = compare(job, side)
        if found.differences:
            smallest[:] = [found]
            raise DifferenceError

    try:
        try_job()
    except (DifferenceError, hypothesis.errors.Flaky):
        return smallest[0]
    return None


def search(minutes: float, seed: int) -> int:
    """Prints what differs; returns how many kinds there were."""
    until = time.monotonic() + 60 * minutes
    seen: set[frozenset[str]] = set()
    while time.monotonic() < until:
        print(f"seed {seed}", flush=True)
        found = search_round(seed, until)
        seed += 1
        if found is None or kind(found) in seen:
            continue
        print(found.describe(), end="\n\n", flush=True)
        seen.add(kind(found))
    print(f"{len(seen)} differences")
    return len(seen)


def kind(found: Comparison) -> frozenset[str]:
    """What two differences have in common that are probably one."""
    keys = {key for section in found.job.sections for key in section.options}
    return frozenset(keys | {each.fact for each in found.differences})


def draw(count: int, seed: int) -> Sequence[Job]:
    """The first jobs that the seed gives."""
    drawn: list[Job] = []

    @hypothesis.seed(seed)
    @settings(SETTINGS, max_examples=count)
    @given(jobs())
    def take(job: Job) -> None:
        drawn.append(job)

    take()
    return drawn


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential.search")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--draw", type=int, metavar="COUNT", help="print jobs instead")
    chosen = parser.parse_args()
    if chosen.draw:
        for job in draw(chosen.draw, chosen.seed):
            print(job.as_json())
        return 0
    return min(1, search(chosen.minutes, chosen.seed))


if __name__ == "__main__":
    sys.exit(main())

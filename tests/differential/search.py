# SPDX-License-Identifier: GPL-2.0-or-later
"""Searches for jobs that run otherwise here than on fio's own engines, and shrinks what it finds.

python -m tests.differential.search --minutes 30 [--seed N]
    draws jobs until the time is over, and prints the smallest job of each difference with what
    each side made of it. Ends with status 1 if there was one. A round draws jobs from a seed of its
    own, which is printed; --seed begins with that round. The rounds go through the back-ends,
    devices and block sizes in turn. At the end, a line for each of them says how much was tried.
python -m tests.differential.search --draw 100 [--seed N]
    prints jobs for fixed.jsonl, which test_fixed.py runs.
"""

import argparse
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

from tests.differential.compare import Comparison, compare
from tests.differential.jobs import DEVICES, Job, for_daemon, for_threads, jobs
from tests.differential.sides import OnBuiltin, OnDaemon, Side

JOBS_A_ROUND = 50
SETTINGS = settings(
    database=None,
    deadline=None,
    print_blob=False,
    report_multiple_bugs=False,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
    verbosity=hypothesis.Verbosity.quiet,
)


@dataclass
class Place:
    """Where the jobs of a round run, and how much of that there was."""

    name: str
    side: Side
    strategy: SearchStrategy[Job]
    jobs: int = 0
    seconds: float = 0.0

    def try_job(self, job: Job) -> Comparison:
        begun = time.monotonic()
        found = compare(job, self.side)
        self.jobs += 1
        self.seconds += time.monotonic() - begun
        return found

    def __str__(self) -> str:
        return f"{self.name}: {self.jobs} jobs in {self.seconds / 60:.1f} minutes"


def places() -> list[Place]:
    """The seed of a round chooses one of them."""
    found = []
    for block in (512, 4096):
        for device in DEVICES:
            where = f"{device}, blocks of {block}"
            found.append(Place(f"built-in, {where}", OnBuiltin(), jobs(device, block)))
            threads = jobs(device, block).map(for_threads)
            found.append(Place(f"built-in as spdk, {where}", OnBuiltin("spdk"), threads))
        daemon = jobs("blk", block).map(for_daemon)
        found.append(Place(f"qemu-storage-daemon, blk, blocks of {block}", OnDaemon(), daemon))
    return found


class DifferenceError(Exception):
    """A job that differs; hypothesis shrinks what raises it."""


def search_round(place: Place, seed: int, until: float) -> Comparison | None:
    """Draws jobs; the smallest one that differs, if any does."""
    smallest: list[Comparison] = []

    @hypothesis.seed(seed)
    @settings(SETTINGS, max_examples=JOBS_A_ROUND)
    @given(place.strategy)
    def try_job(job: Job) -> None:
        if time.monotonic() > until:
            return
        found = place.try_job(job)
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
    everywhere = places()
    while time.monotonic() < until:
        place = everywhere[seed % len(everywhere)]
        print(f"seed {seed}, {place.name}", flush=True)
        found = search_round(place, seed, until)
        print(f"  in all, {place}", flush=True)
        seed += 1
        if found is None or kind(found) in seen:
            continue
        print(found.describe(), end="\n\n", flush=True)
        seen.add(kind(found))
    print("\n".join(map(str, everywhere)))
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

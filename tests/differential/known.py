# SPDX-License-Identifier: GPL-2.0-or-later
"""Differences that are fio's own, or ours by intention, with the reason of each.

A row names the facts of compare.py in which such jobs may differ. The table is meant to stay as
small as possible: a difference that our code can mend does not belong here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests.differential.jobs import Job, Section
from tests.differential.sides import Outcome


@dataclass(frozen=True)
class Known:
    reason: str
    applies: Callable[[Job, Outcome], bool]  # the outcome is ours
    facts: frozenset[str]


def some_section(holds: Callable[[Section], bool]) -> Callable[[Job, Outcome], bool]:
    return lambda job, _: any(holds(each) for each in job.sections)


def is_deep_replay(section: Section) -> bool:
    return "read_iolog" in section.options and "iodepth" in section.options


# Options that this engine cannot keep, which docs/fio-options.md explains. None is drawn.
REFUSED = ("mem", "atomic", "file_append", "num_range", "fdp", "dataplacement")


def is_refused(section: Section) -> bool:
    offloads = section.options.get("io_submit_mode") == "offload"
    return offloads or any(name in section.options for name in REFUSED)


EVERY_FACT = frozenset(
    {"ended", "failed", "jobs", "job failed", "ios", "bytes", "short", "dropped", "errors"}
    | {"flushes", "progress", "log", "disk"}
)


def is_without_a_wall(job: Job, ours: Outcome) -> bool:
    walls = any("stonewall" in each.options for each in job.sections)
    gives_up = "you need to specify valid offset=" in ours.said
    return walls and gives_up and "queues are in use" in ours.said


KNOWN = (
    Known(
        "fio ends a replay without waiting for what it submitted last, so it does not count all of "
        "its bytes.",
        some_section(is_deep_replay),
        frozenset({"bytes"}),
    ),
    Known(
        "A promise that the engine cannot keep is refused. fio itself refuses to append, because "
        "the engine extends nothing.",
        some_section(is_refused),
        frozenset({"failed", "job failed", "jobs"}),
    ),
    Known(
        "Queues are counted before fio gives up a job whose offset= is wrong. fio does not wait at "
        "the stonewall of such a job, so more jobs run at the same time than were counted. The "
        "run fails on all sides.",
        is_without_a_wall,
        EVERY_FACT - {"failed"},
    ),
)


def excused(job: Job, ours: Outcome) -> frozenset[str]:
    """The facts in which this job may differ."""
    return frozenset(fact for row in KNOWN if row.applies(job, ours) for fact in row.facts)

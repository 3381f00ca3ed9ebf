# SPDX-License-Identifier: GPL-2.0-or-later
"""Growth: instructions for each I/O with more queues, more disks and a greater iodepth.

Each row is counted as in instructions.py, so looks that find nothing are left out, and beside fio's
null engine with as many jobs and files, which shows fio's own growth. All functions are pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bench import plan
from bench.instructions import PerIo
from bench.plan import BUILTIN_NULL, BUSY, Side

# A row beyond this ratio to the first one of its axis has grown.
FLAT = 1.10


@dataclass(frozen=True)
class Step:
    """One row: so many jobs with a queue each, or so many disks in one job."""

    queues: int = 1
    disks: int = 1
    depth: int = 32

    @property
    def title(self) -> str:
        queues = f"{self.queues} queues, " if self.queues > 1 else ""
        disks = f"{self.disks} disks, " if self.disks > 1 else ""
        return f"{queues}{disks}iodepth {self.depth}"

    def sides(self) -> tuple[Side, Side]:
        """fio's null engine and ours."""
        disk = replace(BUILTIN_NULL, queues=self.queues)
        ours = plan.virtio(disk, self.depth, BUSY, self.title)
        return self._spread(plan.null(self.depth)), self._spread(ours)

    def _spread(self, side: Side) -> Side:
        return plan.on_disks(plan.with_jobs(side, self.queues), self.disks)


AXES = {
    "queues on one connection": [Step(queues=count) for count in (1, 16, 64)],
    "disks in one job, one request in all": [Step(disks=n, depth=1) for n in (1, 16, 64)],
    "disks in one job, 32 requests in all": [Step(disks=count) for count in (1, 16, 64)],
    "disks in one job, 32 requests each": [Step(disks=n, depth=32 * n) for n in (1, 16, 64)],
    "iodepth": [Step(depth=depth) for depth in (1, 32, 1024, 4096)],
}
STEPS = tuple(dict.fromkeys(step for steps in AXES.values() for step in steps))
COLUMNS = (
    *("what grows", "fio with its null engine", "to the first", "fio with ours", "to the first"),
    *("in our object", "to the first", "an empty look, not included"),
)


Counted = Mapping[Step, tuple[PerIo, PerIo]]


def table(counted: Counted) -> str:
    """A table in Markdown of the steps that were counted."""
    lines: list[Sequence[str]] = [COLUMNS, ["---"] * len(COLUMNS)]
    for axis in AXES:
        rows = _rows(axis, counted)
        for number, (step, null, ours) in enumerate(rows):
            _, first_null, first_ours = rows[0]
            title = f"{axis}: {step.title}" if number == 0 else step.title
            lines.append(
                [
                    title,
                    *_grown(null.total, first_null.total),
                    *_grown(ours.total, first_ours.total),
                    *_grown(ours.own, first_ours.own),
                    f"{ours.empty_look:.0f}",
                ]
            )
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _rows(axis: str, counted: Counted) -> list[tuple[Step, PerIo, PerIo]]:
    return [(step, *counted[step]) for step in AXES[axis] if step in counted]


def _grown(count: float, first: float) -> tuple[str, str]:
    return f"{count:.0f}", f"{count / first:.2f}"


def summary(counted: Counted) -> str:
    """Names the rows whose instructions in our object have grown."""
    grown = []
    for axis in AXES:
        rows = _rows(axis, counted)
        ratios = {step.title: ours.own / rows[0][2].own for step, _, ours in rows}
        grown += [f"{title} ({ratio:.2f})" for title, ratio in ratios.items() if ratio > FLAT]
    which = f": {', '.join(grown)}" if grown else ""
    return f"Rows above {FLAT:.2f} times the first row of their kind: {len(grown)}{which}."

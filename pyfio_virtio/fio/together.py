# SPDX-License-Identifier: GPL-2.0-or-later
"""Which jobs fio runs at the same time, and so how many queues they need.

Reads what fio says about a job file (fio.parsed()). Pure. The engine counts in the same way once
fio runs; see engine/fio/together.h, which explains the rules.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from pyfio_virtio.fio import readings
from pyfio_virtio.fio.job import GLOBAL, is_ours, option
from pyfio_virtio.fio.readings import Reading


@dataclass(frozen=True)
class Planned:
    """A section as fio read it: what decides when its jobs start."""

    name: str = ""
    jobs: int = 1
    is_stonewalled: bool = False
    wait_for: str | None = None
    delay: tuple[int, int] = (0, 0)  # the least and the greatest startdelay, in µs
    has_queues: bool = True  # its jobs need a queue each


@dataclass
class _Read:
    """The options of a section, as far as fio has read them."""

    texts: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, list[int]] = field(default_factory=dict)

    def copy(self) -> "_Read":
        return _Read(dict(self.texts), dict(self.numbers))

    def take(self, read: Reading) -> None:
        self.texts[read.name] = read.text
        # The end of a range stays if the new value is no range.
        before = self.numbers.get(read.name, [])
        self.numbers[read.name] = read.numbers + before[len(read.numbers) :]

    def planned(self, name: str) -> Planned:
        low, high = (*self.numbers.get("startdelay", []), 0, 0)[:2]
        engine = option("ioengine", self.texts.get("ioengine", "")).engine
        return Planned(
            name=self.texts.get("name", name),
            jobs=max(1, self.numbers.get("numjobs", [1])[0]),
            is_stonewalled=self.numbers.get("stonewall", [0])[0] != 0,
            wait_for=self.texts.get("wait_for"),
            delay=(low, max(low, high)),
            has_queues=is_ours(engine),
        )


def read(said: Iterable[str]) -> list[Planned]:
    """The sections of job files, from what fio said about each file."""
    return [section for place, each in enumerate(said) for section in _sections(each, place > 0)]


def _sections(said: str, is_later_file: bool) -> Iterator[Planned]:
    shared, is_first = _Read(), is_later_file
    for section in readings.sections(said):
        is_global = section.name.startswith(GLOBAL)
        options = shared if is_global else shared.copy()
        if is_first and not is_global:
            # fio separates job files as stonewall does.
            options.numbers["stonewall"] = [1]
            is_first = False
        for each in section.options:
            options.take(each)
        if not is_global:
            yield options.planned(section.name)


# ---- which may run together ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """Jobs of a section that start in the same way."""

    section: int
    needed: int
    is_stonewalled: bool
    start: tuple[int, int]  # earliest and latest, with those of the job that it waits for
    stonewall: int  # the last one that has surely started when it starts; -1: none


def most_at_once(sections: Sequence[Planned]) -> int:
    """How many queues the jobs need at the same time, of all times."""
    waitees = [_waitee(sections, number) for number in range(len(sections))]
    places = list(_places(sections, waitees))
    phases = [-1, *(number for number, place in enumerate(places) if place.is_stonewalled)]
    return max(_most_in_phase(places, waitees, phase) for phase in phases)


def _waitee(sections: Sequence[Planned], number: int) -> int | None:
    """The section that this section waits for. fio refuses a name that is not above it."""
    wanted = sections[number].wait_for
    return next((i for i in range(number) if sections[i].name == wanted), None)


def _places(sections: Sequence[Planned], waitees: Sequence[int | None]) -> Iterator[_Place]:
    starts: list[tuple[int, int]] = []
    before: list[_Place] = []
    for number, section in enumerate(sections):
        waitee = waitees[number]
        low, high = starts[waitee] if waitee is not None else (0, 0)
        starts.append((max(low, section.delay[0]), max(high, section.delay[1])))
        # Only the first job of a section has its stonewall.
        counts = [1, section.jobs - 1] if section.is_stonewalled else [section.jobs]
        for place, count in enumerate(counts):
            if count == 0:
                continue
            is_stonewalled = section.is_stonewalled and place == 0
            new = _Place(number, count * section.has_queues, is_stonewalled, starts[-1], -1)
            before.append(replace(new, stonewall=_stonewall_before(before, new)))
            yield before[-1]


def _stonewall_before(before: Sequence[_Place], new: _Place) -> int:
    for number in reversed(range(len(before))):
        if before[number].is_stonewalled and before[number].start[1] <= new.start[0]:
            return number
    return -1


def _most_in_phase(places: Sequence[_Place], waitees: Sequence[int | None], phase: int) -> int:
    """What the jobs need between the start of this stonewall and that of the next one."""
    needed, below = [0] * len(waitees), [0] * len(waitees)
    for number, place in enumerate(places):
        if _may_run(places, number, phase):
            needed[place.section] += place.needed
    most = 0
    for section in reversed(range(len(waitees))):
        tree = max(needed[section], below[section])
        waitee = waitees[section]
        if waitee is None:
            most += tree
        else:
            below[waitee] += tree
    return most


def _may_run(places: Sequence[_Place], number: int, phase: int) -> bool:
    if number == phase:
        return True
    if places[number].is_stonewalled:
        return False
    if number < phase:
        return places[number].start[1] > places[phase].start[0]
    stonewall = places[number].stonewall
    if stonewall <= phase:
        return True
    # A delayed stonewall may start after one that stands below it.
    return phase >= 0 and places[phase].start[1] > places[stonewall].start[0]

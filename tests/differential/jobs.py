# SPDX-License-Identifier: GPL-2.0-or-later
"""Jobs drawn over fio's vocabulary, with the disks they run on.

A section is a few topics of vocabulary.py, so that options which belong together meet. settled()
then sees to it that each job has one right outcome:

- Buffers are filled in the order in which requests are issued, or alike. Seeds are fixed.
- Sections that may run at the same time have disjoint parts of the disk.
- Requests of one job that may overlap in flight are serialized (serialize_overlap=1). fio fills the
  buffer of a delayed write anew if it verifies, so such jobs have iodepth=1 instead.
- Nothing depends on time: there is no runtime=, and no rate for a mixture of reads and writes,
  because fio then chooses each direction by the clock. Paced jobs are short.

So every byte at the end is determined, save the times in verify's headers: see compare.py.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from hypothesis import strategies as st

from tests.differential.vocabulary import (
    BLOCKS,
    LOGGED,
    PLAIN,
    TRIMMING,
    Topic,
    bytes_of,
    one,
    topics,
)

KIB, MIB = 1 << 10, 1 << 20
DEVICES = ("blk", "scsi")
DIRECTIONS = ("read", "write", "trim")
LOG = "log"  # the file that another run wrote

Options = dict[str, str]


@dataclass(frozen=True)
class Fault:
    """Requests in this direction that touch these bytes of any disk fail."""

    direction: str
    first_byte: int
    num_bytes: int


@dataclass(frozen=True)
class Section:
    name: str
    options: Mapping[str, str]

    def text(self) -> str:
        lines = [f"{key}={value}" for key, value in self.options.items()]
        return "\n".join([f"[{self.name}]", *lines, ""])


@dataclass(frozen=True)
class Job:
    device: str  # how our back-end serves the disks
    block_bytes: int
    disk_bytes: int
    num_disks: int
    sections: Sequence[Section]
    faults: Sequence[Fault] = ()
    logged: Section | None = None  # the job that writes the log

    def text(self) -> str:
        return "".join(section.text() for section in self.sections)

    def describe(self) -> str:
        """Everything that matters, in the form of a job file."""
        disks = f"{self.num_disks} x {self.disk_bytes >> 20} MiB, blocks of {self.block_bytes}"
        lines = [f"# {self.device}, {disks}"]
        lines += [f"# fault: {fault}" for fault in self.faults]
        if self.logged:
            options = " ".join(f"{key}={value}" for key, value in self.logged.options.items())
            lines.append(f"# the log is written by: {options}")
        return "\n".join([*lines, self.text()])

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Job":
        raw: dict[str, Any] = json.loads(text)
        raw["sections"] = [Section(**each) for each in raw["sections"]]
        raw["faults"] = [Fault(**each) for each in raw["faults"]]
        raw["logged"] = Section(**raw["logged"]) if raw["logged"] else None
        return cls(**raw)


# What would use more of the disk than offset= and size= say.
LEAVING_THEIR_PART = ("zones", "filesize")

# ---- drawing -------------------------------------------------------------------------------------


@st.composite
def some_of(draw: st.DrawFn, topic: Topic, most: int = 3) -> Options:
    names = st.lists(st.sampled_from(list(topic.sometimes)), max_size=most, unique=True)
    chosen = {name: draw(values) for name, values in topic.always.items()}
    return chosen | {name: draw(topic.sometimes[name]) for name in draw(names)}


@st.composite
def options(draw: st.DrawFn, block: int, *without: str) -> Options:
    """`without` these topics and options."""
    vocabulary = topics(block)
    names = st.lists(
        st.sampled_from([name for name in vocabulary if name not in without]),
        max_size=4,
        unique=True,
    )
    direction = draw(one(*PLAIN, *PLAIN, *TRIMMING))
    if draw(st.integers(0, 9)) == 9:
        # Random: how many requests before the next jump. Sequential: the bytes between two.
        direction += ":3" if "rand" in direction else f":{4 * block}"
    drawn = {"rw": direction, "bs": draw(bytes_of(block, BLOCKS))}
    for name in draw(names):
        drawn |= draw(some_of(vocabulary[name]))
    return {name: value for name, value in drawn.items() if name not in without}


@st.composite
def faults(draw: st.DrawFn, disk_bytes: int, block: int) -> list[Fault]:
    one_fault = st.builds(
        lambda direction, first, count: Fault(direction, first * block, count * block),
        st.sampled_from(DIRECTIONS),
        st.integers(0, disk_bytes // block // 2),
        st.integers(1, 40),
    )
    return draw(st.lists(one_fault, min_size=1, max_size=3))


@st.composite
def extents(draw: st.DrawFn, block: int, first: int, end: int) -> Options:
    """offset= and size= within a part of the disk; sometimes none."""
    shares = st.integers(1, 16)
    offset = first + draw(st.integers(0, 15)) * (end - first) // 16 // block * block
    size = max(block, (end - offset) * draw(shares) // 16 // block * block)
    return {"offset": str(offset), "size": str(size)}


@st.composite
def alone(draw: st.DrawFn, block: int) -> list[Section]:
    """One job, which may use all of the disk, and more than there is."""
    everywhere = st.fixed_dictionaries(
        {},
        optional={
            "size": one("50%", "100%", "256k", "8m", "10g"),
            "offset": one("64k", "25%", "5m"),
        },
    )
    extent = draw(everywhere | extents(block, 0, 2 * MIB))
    return [Section("only", draw(options(block)) | extent)]


@st.composite
def one_after_another(draw: st.DrawFn, block: int, disk_bytes: int) -> list[Section]:
    """The later ones find what the first ones left; a repeated one may verify it."""
    first = draw(options(block)) | draw(extents(block, 0, disk_bytes))
    sections = [Section("first", first)]
    for name in ("second", "third")[: draw(st.integers(1, 2))]:
        again = first | {"rw": draw(one("read", "randread", first["rw"]))}
        drawn = draw(options(block)) | draw(extents(block, 0, disk_bytes))
        chosen = draw(st.sampled_from([again, again | {"verify_only": "1"}, drawn]))
        waits = draw(st.sampled_from([{"stonewall": "1"}, {"wait_for": sections[-1].name}]))
        sections.append(Section(name, chosen | waits))
    return sections


@st.composite
def side_by_side(draw: st.DrawFn, block: int, disk_bytes: int) -> list[Section]:
    """Each clone of each section has a part of the disk."""
    counts = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    part = disk_bytes // sum(counts) // (64 * KIB) * 64 * KIB
    sections: list[Section] = []
    first = 0
    for count in counts:
        extent = draw(extents(block, first, first + part))
        clones = {"numjobs": str(count), "offset_increment": str(part)} if count > 1 else {}
        may_wait = st.sampled_from([{}, {"wait_for": "part0"}] if sections else [{}])
        waits: Options = draw(may_wait)
        name = f"part{len(sections)}"
        chosen = draw(options(block, *LEAVING_THEIR_PART))
        sections.append(Section(name, chosen | extent | clones | waits))
        first += count * part
    return sections


@st.composite
def replayed(draw: st.DrawFn, block: int, disk_bytes: int) -> tuple[Section, Section]:
    """The job that writes the log, and the one that replays it."""
    written = draw(options(block)) | draw(extents(block, 0, disk_bytes))
    depth = draw(st.sampled_from([{}, {"iodepth": "8"}, {"iodepth": "64"}]))
    options_of_replay = draw(some_of(LOGGED)) | depth | {"read_iolog": LOG}
    return Section("logged", written), Section("replay", options_of_replay)


@st.composite
def jobs(draw: st.DrawFn, device: str | None = None, block_bytes: int | None = None) -> Job:
    block = block_bytes or draw(st.sampled_from([512, 4096]))
    disk_bytes = draw(st.sampled_from([4, 4, 16])) * MIB
    logged: Section | None = None
    shape = draw(st.sampled_from(["alone", "after", "beside", "replay"]))
    if shape == "replay":
        logged, replay = draw(replayed(block, disk_bytes))
        sections = [replay]
    elif shape == "alone":
        sections = draw(alone(block))
    elif shape == "after":
        sections = draw(one_after_another(block, disk_bytes))
    else:
        sections = draw(side_by_side(block, disk_bytes))
    wants_faults = any("continue_on_error" in section.options for section in sections)
    job = Job(
        device or draw(st.sampled_from(DEVICES)),
        block,
        disk_bytes,
        draw(st.sampled_from([1, 1, 1, 2])),
        sections,
        draw(faults(disk_bytes, block)) if wants_faults and draw(st.booleans()) else (),
        logged,
    )
    if draw(st.booleans()):
        job = with_global(job, "thread", "1")
    return settled(job)


def with_global(job: Job, key: str, value: str) -> Job:
    with_it = [replace(each, options={**each.options, key: value}) for each in job.sections]
    return replace(job, sections=with_it)


def for_daemon(job: Job) -> Job:
    """The same for qemu-storage-daemon: virtio-blk, one client at a time, no faults."""
    return with_global(replace(job, device="blk", faults=()), "thread", "1")


# ---- one right outcome ---------------------------------------------------------------------------

# Options by which a job may come to a block again while it is in flight.
OVERLAPPING = (
    *("norandommap", "softrandommap", "random_distribution", "blockalign", "loops", "io_size"),
    *("zonemode", "percentage_random", "rw_sequencer", "offset_align", "read_iolog"),
)
FILLED_ALIKE = ("buffer_pattern", "zero_buffers", "verify")


def may_overlap(options: Mapping[str, str]) -> bool:
    direction = options.get("rw", "")
    return (
        "trimwrite" in direction or ":" in direction or any(key in options for key in OVERLAPPING)
    )


def is_mixed(options: Mapping[str, str]) -> bool:
    return options.get("rw", "").startswith(("rw", "randrw"))


def settled_options(options: Mapping[str, str]) -> Options:
    found = {**options, "scramble_buffers": "0"}
    if not any(key in options for key in FILLED_ALIKE):
        found["refill_buffers"] = "1"
    if "iodepth" in options and may_overlap(options):
        found |= {"iodepth": "1"} if "verify" in options else {"serialize_overlap": "1"}
    if "rate" in options or is_mixed(options):
        found.pop("rate_iops", None)
    if is_mixed(options):
        found.pop("rate", None)
    return found


def settled(job: Job) -> Job:
    sections = [replace(each, options=settled_options(each.options)) for each in job.sections]
    logged = job.logged and replace(job.logged, options=settled_options(job.logged.options))
    return replace(job, sections=sections, logged=logged)

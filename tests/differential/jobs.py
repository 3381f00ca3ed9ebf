# SPDX-License-Identifier: GPL-2.0-or-later
"""Jobs drawn over fio's vocabulary, with the disks they run on.

A section is a few topics of vocabulary.py, so that options which belong together meet. settled()
then sees to it that each job has one right outcome:

- Buffers are filled in the order in which requests are issued, or alike. Seeds are fixed.
- Sections that may run at the same time have disjoint parts of the disk.
- Requests of one job that may overlap in flight are serialized (serialize_overlap=1). fio fills the
  buffer of a delayed write anew if it verifies, so such jobs have iodepth=1 instead.
- Nothing depends on time, because there is no runtime=, and no rate for a mixture of reads and
  writes, for which fio chooses each direction by the clock. Paced jobs are short.

So every byte at the end is determined, save the times in verify's headers: see compare.py. Only the
sections with the name TIMED depend on the clock. All of their writes have the same bytes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from hypothesis import strategies as st

from tests.differential.vocabulary import (
    BLOCKS,
    CLOCKED,
    LOGGED,
    PLAIN,
    RATED,
    TRIMMING,
    Topic,
    bytes_of,
    number,
    one,
    topics,
)

KIB, MIB = 1 << 10, 1 << 20
DEVICES = ("blk", "scsi")
DIRECTIONS = ("read", "write", "trim")
TIMED = "timed"  # the name of a section whose counts follow from the clock
TIMED_BYTE = 0x17  # what it writes
WRITTEN = "written"  # the log that a job writes

Options = dict[str, str]


@dataclass(frozen=True)
class Fault:
    """Requests in this direction that touch these bytes of any disk fail; of "sync", all."""

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
class Log:
    """What a job replays: the requests of another one."""

    name: str
    section: Section  # the job that writes it
    is_blktrace: bool = False


@dataclass(frozen=True)
class Job:
    device: str  # how our back-end serves the disks
    block_bytes: int
    disk_bytes: int
    num_disks: int
    sections: Sequence[Section]
    faults: Sequence[Fault] = ()
    logs: Sequence[Log] = ()

    def disks(self) -> Sequence[str]:
        """fio's names. They are the same on all sides, because fio makes seeds of them."""
        return [f"disks/{number}" for number in range(self.num_disks)]

    def describe(self) -> str:
        """Everything that matters, in the form of a job file."""
        disks = f"{self.num_disks} x {self.disk_bytes >> 20} MiB, blocks of {self.block_bytes}"
        lines = [f"# {self.device}, {disks}"]
        lines += [f"# fault: {fault}" for fault in self.faults]
        for log in self.logs:
            form = " (a blktrace)" if log.is_blktrace else ""
            written = " ".join(f"{key}={value}" for key, value in log.section.options.items())
            lines.append(f"# {log.name}{form} is written by: {written}")
        return "\n".join([*lines, *(section.text() for section in self.sections)])

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Job":
        raw: dict[str, Any] = json.loads(text)
        raw["sections"] = [Section(**each) for each in raw["sections"]]
        raw["faults"] = [Fault(**each) for each in raw["faults"]]
        raw["logs"] = [
            Log(**each | {"section": Section(**each["section"])}) for each in raw["logs"]
        ]
        return cls(**raw)


# What would use more of the disk than offset= and size= say.
LEAVING_THEIR_PART = ("zones", "filesize")
# What moves the requests of a log to other parts of the disk.
MOVING = ("replay_scale", "replay_align")
MANY_SIZES = {"bsrange", "bssplit"}
SHAPES = ("alone", "alone", "after", "after", "beside", "beside", "replay", "replay", "timed")

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
def faults(draw: st.DrawFn, disk_bytes: int, block: int, directions: Sequence[str]) -> list[Fault]:
    one_fault = st.builds(
        lambda direction, first, count: Fault(direction, first * block, count * block),
        st.sampled_from(directions),
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
    found = draw(options(block)) | draw(everywhere | extents(block, 0, 2 * MIB))
    if "iodepth" not in found and draw(st.integers(0, 3)) == 3:
        found["write_iolog"] = WRITTEN
    return [Section("only", found)]


@st.composite
def timed(draw: st.DrawFn, block: int) -> list[Section]:
    """A job that ends by the clock, or whose directions are chosen by the clock."""
    found = draw(options(block, "buffers", "verify", "trims", "zones", "errors"))
    found |= draw(extents(block, 0, 2 * MIB)) | {"buffer_pattern": hex(TIMED_BYTE)}
    found |= draw(st.sampled_from([{}, {"numjobs": "2"}]))
    if draw(st.booleans()):
        mixed = {"rw": draw(one("rw", "randrw")), "number_ios": draw(number(1, 60))}
        return [Section(TIMED, found | mixed | draw(some_of(RATED)))]
    return [Section(TIMED, found | draw(some_of(CLOCKED)))]


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
def log(draw: st.DrawFn, name: str, block: int, first: int, end: int) -> Log:
    """Of a job on this part of the disk."""
    written = draw(options(block, *LEAVING_THEIR_PART)) | draw(extents(block, first, end))
    return Log(name, Section(f"of-{name}", written), draw(st.booleans()))


DEPTHS = st.sampled_from([{}, {"iodepth": "8"}, {"iodepth": "64"}])


@st.composite
def replay(draw: st.DrawFn, logs: Sequence[Log], without: Sequence[str] = ()) -> Options:
    """A blktrace names a disk that is not here. If a log that is read in chunks has requests larger
    than bs=, fio makes its buffers anew and fills them once more, or overflows them."""
    chosen = draw(some_of(LOGGED)) | draw(DEPTHS)
    found = {name: value for name, value in chosen.items() if name not in without}
    if any(each.is_blktrace for each in logs):
        found["replay_redirect"] = "disks/0"
    if "read_iolog_chunked" in found:
        found["bs"] = "2m"
    return found | {"read_iolog": ":".join(each.name for each in logs)}


@st.composite
def replays(draw: st.DrawFn, block: int, disk_bytes: int) -> tuple[list[Section], list[Log]]:
    """One job, or several jobs or clones of a job, each with a part of the disk and a log."""
    count = draw(st.integers(1, 3))
    part = disk_bytes // count // (64 * KIB) * 64 * KIB
    logs = [draw(log(f"log{n}", block, n * part, (n + 1) * part)) for n in range(count)]
    if count == 1:
        return [Section("replay", draw(replay(logs)))], logs
    if draw(st.booleans()):
        found = draw(replay(logs, MOVING)) | {"numjobs": str(count)}
        return [Section("replay", found)], logs
    return [
        Section(f"replay{n}", draw(replay([each], MOVING))) for n, each in enumerate(logs)
    ], logs


@st.composite
def jobs(draw: st.DrawFn, device: str | None = None, block_bytes: int | None = None) -> Job:
    block = block_bytes or draw(st.sampled_from([512, 4096]))
    disk_bytes = draw(st.sampled_from([4, 4, 16])) * MIB
    logs: list[Log] = []
    shape = draw(st.sampled_from(SHAPES))
    if shape == "replay":
        sections, logs = draw(replays(block, disk_bytes))
    elif shape == "timed":
        sections = draw(timed(block))
    elif shape == "alone":
        sections = draw(alone(block))
    elif shape == "after":
        sections = draw(one_after_another(block, disk_bytes))
    else:
        sections = draw(side_by_side(block, disk_bytes))
    job = Job(
        device or draw(st.sampled_from(DEVICES)),
        block,
        disk_bytes,
        1 if is_redirected(sections) else draw(st.sampled_from([1, 1, 1, 2])),
        sections,
        (),
        logs,
    )
    if shape != "timed" and draw(st.integers(0, 3)) == 3:
        job = replace(job, faults=draw(faults(disk_bytes, block, may_fail(job))))
    if draw(st.booleans()):
        job = with_global(job, "thread", "1")
    return settled(job)


def is_redirected(sections: Sequence[Section]) -> bool:
    """fio closes the disk for all files of a log when it closes the first one, and then aborts."""
    return any("replay_redirect" in section.options for section in sections)


def may_fail(job: Job) -> Sequence[str]:
    """fio's own engines never end if they are to go on after a flush that fails."""
    goes_on = any("continue_on_error" in section.options for section in job.sections)
    return DIRECTIONS if goes_on else (*DIRECTIONS, "sync")


def is_timed(job: Job) -> bool:
    return any(section.name == TIMED for section in job.sections)


def with_global(job: Job, key: str, value: str) -> Job:
    with_it = [replace(each, options={**each.options, key: value}) for each in job.sections]
    return replace(job, sections=with_it)


def for_threads(job: Job) -> Job:
    """For a back-end that takes memory only once: all jobs share it."""
    return with_global(job, "thread", "1")


def for_daemon(job: Job) -> Job:
    """The same for qemu-storage-daemon: virtio-blk, one client at a time, no faults."""
    return for_threads(replace(job, device="blk", faults=()))


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
    return found


def without_clock(options: Options) -> Options:
    """fio takes only one of rate= and rate_iops=."""
    mixed = ("rate", "rate_iops") if is_mixed(options) else ()
    unwanted = mixed or (("rate_iops",) if "rate" in options else ())
    return {name: value for name, value in options.items() if name not in unwanted}


def settled_section(section: Section) -> Section:
    found = settled_options(section.options)
    return replace(section, options=found if section.name == TIMED else without_clock(found))


def settled(job: Job) -> Job:
    sections = [settled_section(each) for each in job.sections]
    logs = [replace(each, section=settled_section(each.section)) for each in job.logs]
    return replace(job, sections=sections, logs=logs)

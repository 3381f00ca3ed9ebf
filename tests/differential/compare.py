# SPDX-License-Identifier: GPL-2.0-or-later
"""What must be equal on all sides, and in what our side differs.

Our side has to give, fact by fact, what libaio or psync gives. These two differ from each other
where fio itself treats asynchronous engines in another way. The facts:

- ended, failed: whether fio ended at all, and whether with an error.
- job failed: the same of each job.
- ios, bytes, short, dropped: counts in each direction. errors: how many continue_on_error= passed
  over. flushes.
- disk: every byte at the end, save the times in the headers of fio's verify and their checksums.
- log: the requests that write_iolog= noted.

When a job stops at an error, nobody knows how far it has come. So of such a job only the failure is
compared, and not the disks either. The counts of a timed job (jobs.TIMED) follow from the clock. Of
such a job it is compared whether it did anything, how many bytes it moved if its size ends it, and
whether each sector of our disk is as it was, or as the job writes it.
"""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields

from tests.differential import known
from tests.differential.jobs import MANY_SIZES, TIMED, TIMED_BYTE, Job, is_timed
from tests.differential.logs import requests, write_logs
from tests.differential.sides import FIOS_OWN, Count, JobResult, Outcome, Side, first_bytes

# struct verify_header: magic, type, length, seed, offset, seconds, nanoseconds, thread, number,
# checksum. All offsets are below 2^32.
_HEADER = re.compile(rb"\xca\xac[\0-\x3f]\0.{4}.{8}.{4}\0{4}.{8}.{4}.{4}", re.DOTALL)
_TIMES = (slice(24, 32), slice(36, 40))
_SECTOR = 512


@dataclass(frozen=True)
class Difference:
    fact: str
    where: str
    values: str

    def __str__(self) -> str:
        return f"{self.fact} of {self.where}: {self.values}"


@dataclass(frozen=True)
class Comparison:
    job: Job
    outcomes: Sequence[Outcome]  # ours first
    differences: Sequence[Difference]

    def describe(self) -> str:
        """All that somebody needs to see the difference again."""
        outcomes = [outcome.describe() for outcome in self.outcomes]
        return "\n".join([self.job.describe(), *outcomes, *map(str, self.differences)])


def compare(job: Job, ours: Side) -> Comparison:
    """Runs the job on our side and on fio's own engines."""
    logs = write_logs(job)
    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(lambda side: side.run(job, logs), (ours, *FIOS_OWN)))
    excused = known.excused(job, outcomes[0])
    found = [each for each in differences(job, outcomes) if each.fact not in excused]
    return Comparison(job, outcomes, found)


def differences(job: Job, outcomes: Sequence[Outcome]) -> Iterator[Difference]:
    yield from _unlike("ended", "the run", [each.ended for each in outcomes])
    yield from _unlike("failed", "the run", [each.failed for each in outcomes])
    if len({len(each.jobs) for each in outcomes}) == 1:
        for results in zip(*(each.jobs for each in outcomes), strict=True):
            yield from _unlike_results(job, results)
    elif not all(each.failed for each in outcomes):
        yield Difference("jobs", "the run", _say([len(each.jobs) for each in outcomes]))
    if any(_is_open_ended(job, outcome) for outcome in outcomes):
        return
    yield from _unlike("log", "the run", [requests(each.written) for each in outcomes])
    for number in range(job.num_disks):
        contents = [each.disks[number] for each in outcomes]
        yield from (
            _strange(number, contents[0]) if is_timed(job) else _unlike_disks(number, contents)
        )


def _unlike_results(job: Job, results: Sequence[JobResult]) -> Iterator[Difference]:
    name = results[0].name
    if not any(_has_begun(each) for each in results):
        return  # fio does not always say which job could not begin
    yield from _unlike("job failed", name, [each.failed for each in results])
    if any(_has_stopped(job, each) for each in results):
        return
    yield from _unlike("errors", name, [each.errors for each in results])
    if name == TIMED:
        yield from _unlike("progress", name, [_progress(job, each) for each in results])
        return
    for part in fields(Count):
        values = [
            {way: getattr(count, part.name) for way, count in each.counts.items()}
            for each in results
        ]
        yield from _unlike(part.name, name, values)
    yield from _unlike("flushes", name, [each.flushes for each in results])


def _progress(job: Job, result: JobResult) -> int:
    """Of a timed job: its bytes if they do not depend on the clock, otherwise 0 or 1."""
    options = job.sections[0].options
    moved = sum(count.bytes for count in result.counts.values())
    sizes = options["bs"].split(",")
    return (
        bool(moved) if "runtime" in options or len(sizes) > 1 or MANY_SIZES & {*options} else moved
    )


def _is_open_ended(job: Job, outcome: Outcome) -> bool:
    if not outcome.ended or (outcome.failed and not outcome.jobs):
        return True
    return any(_has_stopped(job, result) for result in outcome.jobs)


def _has_begun(result: JobResult) -> bool:
    return result.flushes > 0 or any(count.ios for count in result.counts.values())


def _has_stopped(job: Job, result: JobResult) -> bool:
    """Whether it ended at an error. With continue_on_error=all it ended, and failed, at its end."""
    sections = {section.name: section.options for section in job.sections}
    return result.failed and sections[result.name].get("continue_on_error") != "all"


def _unlike(fact: str, where: str, values: Sequence[object]) -> Iterator[Difference]:
    if values[0] not in values[1:]:
        yield Difference(fact, where, _say(values))


def _say(values: Sequence[object]) -> str:
    ours, *theirs = map(str, values)
    return f"{ours}, while fio's own have {' and '.join(dict.fromkeys(theirs))}"


# ---- disks ---------------------------------------------------------------------------------------


def _unlike_disks(number: int, contents: Sequence[bytes]) -> Iterator[Difference]:
    if contents[0] in contents[1:]:
        return
    ours, *theirs = map(without_times, contents)
    if ours not in theirs:
        sectors = [at for at in range(0, len(ours), _SECTOR) if _differ(ours, theirs[0], at)]
        values = f"{len(sectors)} sectors differ from libaio's, the first at byte {sectors[0]}"
        yield Difference("disk", str(number), values)


def _strange(number: int, ours: bytes) -> Iterator[Difference]:
    """Sectors that are neither as before nor as a timed job writes or trims them."""
    before = first_bytes(len(ours))
    expected = (bytes(_SECTOR), bytes([TIMED_BYTE]) * _SECTOR)
    found = [
        at
        for at in range(0, len(ours), _SECTOR)
        if _differ(ours, before, at) and ours[at : at + _SECTOR] not in expected
    ]
    if found:
        values = f"{len(found)} sectors are not as written, the first at byte {found[0]}"
        yield Difference("disk", str(number), values)


def _differ(one: bytes, other: bytes, start: int) -> bool:
    return one[start : start + _SECTOR] != other[start : start + _SECTOR]


def without_times(content: bytes) -> bytes:
    """The bytes of a disk, with zeroes for what follows from the time of a write."""
    found = bytearray(content)
    for header in _HEADER.finditer(content):
        for part in _TIMES:
            start = header.start()
            found[start + part.start : start + part.stop] = bytes(part.stop - part.start)
    return bytes(found)

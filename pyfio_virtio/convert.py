# SPDX-License-Identifier: GPL-2.0-or-later
"""Converts a job for another engine of fio into a job for ours, with a sentence for each change.

The load stays the same: directions, sizes, depths, rates, times. Options that only a file or the
other engine understands are removed. Pure: the caller says which options the other engines have.
The disk is chosen by reach.on_disk(), not here.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from pyfio_virtio.errors import UsageError
from pyfio_virtio.fio.job import ENGINE, Job, Line, Section, canonical, is_ours, option
from pyfio_virtio.reach import PATHS, WITHOUT_IO, Use, engine_in_words
from pyfio_virtio.sizes import format_size, parse_size

# Options of fio that have a meaning for files and page caches only, not for a disk behind a socket.
# mem and io_submit_mode are here because our engine decides them itself.
_FOR_FILES = (
    *("direct", "buffered", "invalidate", "fadvise_hint", "fallocate", "pre_read"),
    *("nrfiles", "openfiles", "file_service_type", "filesize", "file_append", "overwrite"),
    *("create_serialize", "create_fsync", "create_on_open", "unlink"),
    *("unlink_each_loop", "lockfile", "allow_file_create", "allow_mounted_write"),
    *("unique_filename", "ioscheduler", "write_hint", "mem", "hugepage-size"),
    *("io_submit_mode", "atomic"),
)
# Engines that do not read and write a disk, so their jobs have no load to convert.
_NO_DISKS = (
    *("net", "netsplice", "rdma", "librpma_apm_client", "librpma_apm_server"),
    *("librpma_gpspm_client", "librpma_gpspm_server", "e4defrag", "falloc", "ftruncate"),
    *("filecreate", "filestat", "filedelete", "dircreate", "dirstat", "dirdelete", "exec"),
)
# Engines that have only one I/O in flight, whatever iodepth= says.
_ONE_AT_A_TIME = ("", "sync", "psync", "vsync", "pvsync", "pvsync2", "mmap", "splice")

OptionsOf = Callable[[str], Collection[str]]


@dataclass(frozen=True)
class Converted:
    job: Job
    changes: tuple[str, ...]  # a sentence for each


def foreign(job: Job) -> list[Section]:
    """The jobs in it that do I/O with another engine than ours."""
    sections = (section for section in job.sections() if not section.uses_engine())
    return [section for section in sections if section.engine not in WITHOUT_IO]


def convert(job: Job, options_of: OptionsOf, disk_bytes: int | None) -> Converted:
    """`options_of` gives the options that an engine adds; `disk_bytes` is None if not known."""
    others = foreign(job)
    _check_engines(others)
    if not others:
        return Converted(job, ())
    theirs = {name for section in others for name in options_of(section.engine)}
    lines = _Lines(job, theirs, disk_bytes)
    found = (lines.converted(line) for line in job.lines)
    made = Job(tuple(line for line in found if line is not None))
    return Converted(*_with_defaults(made, [*lines.sentences(), *_remarks(others)]))


def _check_engines(sections: Iterable[Section]) -> None:
    for section in sections:
        if section.engine in _NO_DISKS:
            raise UsageError(
                f"cannot convert [{section.name}]",
                f"ioengine={section.engine} does not read and write a disk",
                "leave that section out",
            )


def _with_defaults(job: Job, changes: list[str]) -> tuple[Job, tuple[str, ...]]:
    """The job with the options that must differ from fio's defaults."""
    sections = job.sections()
    if any("thread" not in section.options for section in sections):
        job = job.with_default(option("thread", "1"))
        changes.append("thread=1 was added, so that the jobs share one connection to the disk")
    if not all(section.engine for section in sections):
        job = job.with_default(option("ioengine", ENGINE))
        changes.insert(
            0, f"ioengine={ENGINE} was added, because fio's default engine works on files"
        )
    return job, tuple(changes)


def _remarks(sections: Sequence[Section]) -> Iterator[str]:
    """Sentences about options that stay the same but now have another effect."""
    for section in sections:
        depth = section.options.get("iodepth", "1")
        if section.engine in _ONE_AT_A_TIME and depth != "1":
            before = engine_in_words(section)
            yield f"[{section.name}] now has iodepth={depth} in flight; {before} had only one I/O"
    named = {section.options["filename"] for section in sections if "filename" in section.options}
    unnamed = sum(section.count() for section in sections if "filename" not in section.options)
    if len(named) + unnamed > 1 and any("verify" in section.options for section in sections):
        yield (
            "each job had its own file, and now they share a disk, so one job may overwrite data "
            "that another verifies; give each its own part of the disk with size= and offset="
        )


class _Lines:
    """Converts the lines of a job, and keeps what was done with each."""

    def __init__(self, job: Job, theirs: Collection[str], disk_bytes: int | None) -> None:
        self._theirs = theirs
        self._disk_bytes = disk_bytes
        options = [section.options for section in job.sections()]
        self._has_size = any("size" in each for each in options)
        self._files = max((_number(each.get("nrfiles", "")) for each in options), default=1)
        self._disks: list[str] = []
        self._dropped: list[str] = []
        self._changed: list[str] = []

    def sentences(self) -> Iterator[str]:
        yield from dict.fromkeys(self._changed)
        if self._disks:
            yield f"it runs on the disk of this run instead of {_list(self._disks)}"
        if self._dropped:
            dropped = _list(self._dropped)
            yield f"left out, because it has no meaning for that disk: {dropped}"

    def converted(self, line: Line) -> Line | None:
        """The converted line; None if it is removed."""
        key = canonical(line.key or "")
        if line.engine and not is_ours(line.engine) and line.engine not in WITHOUT_IO:
            return self._change(line, option("ioengine", ENGINE))
        if key == "size" or (key == "filesize" and not self._has_size):
            return self._size(line, key)
        if key == "filesize" and self._limits(line):
            return line
        if PATHS.get(key) is Use.DISK:
            self._disks.append(_shown(line))
            return None
        if key in _FOR_FILES or key in self._theirs:
            self._dropped.append(_shown(line))
            return None
        return line

    def _limits(self, line: Line) -> bool:
        """Whether this filesize= may end a job before its size=, as it does on a disk, too."""
        if self._files > 1:
            return False
        try:
            size = parse_size(line.value or "")
        except UsageError:
            return False
        return self._disk_bytes is None or size <= self._disk_bytes

    def _size(self, line: Line, key: str) -> Line | None:
        """Fits size= to the disk, which may be smaller than the files. filesize= is per file."""
        try:
            size = parse_size(line.value or "") * (self._files if key == "filesize" else 1)
        except UsageError:  # a percentage, a range, a variable
            return line if key == "size" else None
        if self._disk_bytes is not None and size > self._disk_bytes:
            why = f", because the disk has {format_size(self._disk_bytes)} (--disk-size changes it)"
            return self._change(line, option("size", "100%"), why)
        return line if key == "size" else self._change(line, option("size", str(size)))

    def _change(self, line: Line, new: Line, why: str = "") -> Line:
        self._changed.append(f"{_shown(line)} is now {new.text}{why}")
        return new


def _shown(line: Line) -> str:
    return line.key or "" if line.value is None else f"{line.key}={line.value}"


def _list(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words))


def _number(text: str) -> int:
    return max(1, int(text)) if text.isdecimal() else 1

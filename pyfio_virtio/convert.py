# SPDX-License-Identifier: GPL-2.0-or-later
"""A job for another engine of fio made into one for ours, with a sentence for each change.

The load stays as it is: directions, sizes, depths, rates, times. What goes is what only a file or
another engine understands. Pure: whoever calls says which options the other engines have. It does
not choose the disk; reach.on_disk() does.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from pyfio_virtio.errors import UsageError
from pyfio_virtio.fio.job import ENGINE, Job, Line, Section, canonical, is_ours, option
from pyfio_virtio.reach import PATHS, WITHOUT_IO, Use, engine_in_words
from pyfio_virtio.sizes import format_size, parse_size

# Options of fio's that mean something for files and page caches, and nothing for a disk that fio
# reaches by a socket; mem and io_submit_mode belong to the engine there.
_FOR_FILES = (
    *("direct", "buffered", "sync", "invalidate", "fadvise_hint", "fallocate", "pre_read"),
    *("nrfiles", "openfiles", "file_service_type", "filesize", "file_append", "overwrite"),
    *("create_serialize", "create_fsync", "create_on_open", "create_only", "unlink"),
    *("unlink_each_loop", "lockfile", "allow_file_create", "allow_mounted_write"),
    *("unique_filename", "sync_file_range", "ioscheduler", "write_hint", "mem", "hugepage-size"),
    *("io_submit_mode", "atomic"),
)
# Engines that do not read and write a disk: a job of theirs has no load that could be taken over.
_NO_DISKS = (
    *("net", "netsplice", "rdma", "librpma_apm_client", "librpma_apm_server"),
    *("librpma_gpspm_client", "librpma_gpspm_server", "e4defrag", "falloc", "ftruncate"),
    *("filecreate", "filestat", "filedelete", "dircreate", "dirstat", "dirdelete", "exec"),
)
# Engines that have one I/O in flight, whatever iodepth= says.
_ONE_AT_A_TIME = ("", "sync", "psync", "vsync", "pvsync", "pvsync2", "mmap", "splice")

OptionsOf = Callable[[str], Collection[str]]


@dataclass(frozen=True)
class Converted:
    job: Job
    changes: tuple[str, ...]  # a sentence each


def foreign(job: Job) -> list[Section]:
    """The jobs in it that would do I/O with another engine than ours."""
    sections = (section for section in job.sections() if not section.uses_engine())
    return [section for section in sections if section.engine not in WITHOUT_IO]


def convert(job: Job, options_of: OptionsOf, disk_bytes: int | None) -> Converted:
    """`options_of` an engine: those that it adds to fio's; `disk_bytes`: None if not known."""
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
    """The job with what fio's own defaults would not give it."""
    sections = job.sections()
    if any("thread" not in section.options for section in sections):
        job = job.with_default(option("thread", "1"))
        changes.append("thread=1 was added: the jobs share one connection to the disk")
    if not all(section.engine for section in sections):
        job = job.with_default(option("ioengine", ENGINE))
        changes.insert(0, f"ioengine={ENGINE} was added, as fio's default engine works on files")
    return job, tuple(changes)


def _remarks(sections: Sequence[Section]) -> Iterator[str]:
    """What is not changed, and yet is not what it was."""
    for section in sections:
        depth = section.options.get("iodepth", "1")
        if section.engine in _ONE_AT_A_TIME and depth != "1":
            before = engine_in_words(section)
            yield f"[{section.name}] now has iodepth={depth} in flight, which {before} had not"
    named = {section.options["filename"] for section in sections if "filename" in section.options}
    unnamed = sum(section.count() for section in sections if "filename" not in section.options)
    if len(named) + unnamed > 1 and any("verify" in section.options for section in sections):
        yield (
            "its jobs had files of their own and share a disk now: what one of them verifies, "
            "another may overwrite, unless size= and offset= give each a part"
        )


class _Lines:
    """The lines of a job on their way to another, and what became of them."""

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
            yield f"the disk that it runs on takes the place of {_list(self._disks)}"
        if self._dropped:
            yield f"left out, as they mean nothing to that disk: {_list(self._dropped)}"

    def converted(self, line: Line) -> Line | None:
        """What becomes of a line; None: it goes."""
        key = canonical(line.key or "")
        if line.engine and not is_ours(line.engine) and line.engine not in WITHOUT_IO:
            return self._change(line, option("ioengine", ENGINE))
        if key == "size" or (key == "filesize" and not self._has_size):
            return self._size(line, key)
        if PATHS.get(key) is Use.DISK:
            self._disks.append(_shown(line))
            return None
        if key in _FOR_FILES or key in self._theirs:
            self._dropped.append(_shown(line))
            return None
        return line

    def _size(self, line: Line, key: str) -> Line | None:
        """filesize= is that of each file; the disk may have less than the files had."""
        try:
            size = parse_size(line.value or "") * (self._files if key == "filesize" else 1)
        except UsageError:  # a percentage, a range, a variable
            return line if key == "size" else None
        if self._disk_bytes is not None and size > self._disk_bytes:
            why = f": the disk has {format_size(self._disk_bytes)} (--disk-size makes it larger)"
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

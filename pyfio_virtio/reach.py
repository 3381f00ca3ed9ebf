# SPDX-License-Identifier: GPL-2.0-or-later
"""Decides what a job may change outside of fio, and which commands it would run.

PATHS holds every option of fio that can name a path or a command, and what fio does with it.
on_disk() uses it to put a job on a disk of ours, so that the job names no other disk. of_job() uses
it to tell what a job reaches; in doubt, a path counts as reached. Nothing is changed or run here.
The user is not asked here either, because the commands do that.
"""

import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from pyfio_virtio.backends.kinds import KINDS
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.engine import engine
from pyfio_virtio.errors import UsageError
from pyfio_virtio.fio.job import ENGINE, Job, Section, escaped_filename


class Use(Enum):
    """What fio does with the path, or the command, that an option holds."""

    DISK = auto()  # does I/O there
    DISK_LOG = auto()  # replays this log, on the disks that the log names
    OUTPUT = auto()  # writes this file
    LOG = auto()  # writes files whose names begin with it, such as X_bw.1.log
    INPUT = auto()  # only reads it
    COMMAND = auto()  # runs it in a shell
    ENGINE = auto()  # loads code from it


# The keys are first names. An option of fio that is not here does not hold a path.
PATHS = {
    "filename": Use.DISK,
    "directory": Use.DISK,
    "filename_format": Use.DISK,
    "opendir": Use.DISK,
    "uri": Use.DISK,  # an option of ioengine=nbd
    "replay_redirect": Use.DISK,
    "read_iolog": Use.DISK_LOG,
    "write_iolog": Use.OUTPUT,
    "merge_blktrace_file": Use.OUTPUT,
    "stats_file": Use.OUTPUT,  # an option of our engine
    "mem": Use.OUTPUT,  # as mmap:FILE, mmapshared:FILE or mmaphuge:FILE
    "write_bw_log": Use.LOG,
    "write_lat_log": Use.LOG,
    "write_iops_log": Use.LOG,
    "write_hist_log": Use.LOG,
    "verify_pattern": Use.INPUT,  # a file name stands between quotes
    "buffer_pattern": Use.INPUT,
    "dp_scheme": Use.INPUT,  # of fio 3.41
    "exec_prerun": Use.COMMAND,
    "exec_postrun": Use.COMMAND,
    "ioengine": Use.ENGINE,
}
# If a file begins like this, fio wrote it, so nothing is lost when fio overwrites it.
_OWN_BEGINNINGS = {"write_iolog": b"fio version ", "stats_file": b'{"job'}
# These options may hold any text, and fio does not use it as a path.
_FREE_TEXTS = ("description", "name", "wait_for")
_LOOKS_LIKE_A_PATH = re.compile(r"(^|[:=])(\.{1,2}|~)?/")
# With one of these options, the job may need a larger file than the one that exists.
_SIZES = ("size", "filesize", "fill_device")
# Engines without a disk. They do no I/O, or they only pretend to do it.
WITHOUT_IO = ("cpuio",)
_WITHOUT_DISK = (*WITHOUT_IO, "null")
# Options of the built-in back-end that make it create a file.
_BUILTIN_FILES = ("control", "stats-file")
# fio replaces each of these with a number, and then the program bc calculates the whole value, so
# the result may be any text.
_CALCULATED = re.compile(r"\$(pagesize|mb_memory|ncpus)")
_IOLOG = re.compile(r"fio version ([23]) iolog")


@dataclass(frozen=True)
class Reach:
    """What the user must agree to before the job runs."""

    written: tuple[str, ...] = ()  # disks and files that may be changed
    others: tuple[str, ...] = ()  # what else it does, such as "runs the command ..."

    def behind(self, disk: str, file: Path | None) -> "Reach":
        """The same if `disk` is made for the job. If its `file` exists already, the file counts as
        written."""
        written = [path for path in self.written if path != disk]
        if disk in self.written and file is not None and file.exists():
            written.insert(0, str(file))
        return Reach(tuple(written), self.others)


def joined(every: Iterable[Reach]) -> Reach:
    """The union of several, without duplicates."""
    parts = list(every)
    return Reach(
        tuple(dict.fromkeys(disk for each in parts for disk in each.written)),
        tuple(dict.fromkeys(action for each in parts for action in each.others)),
    )


# ---- a job on a disk of ours -----------------------------------------------------------------


def on_disk(job: Job, socket: str) -> Job:
    """The job with all its I/O on the disk behind `socket`, instead of the disks that it names."""
    placed = job.without([name for name, use in PATHS.items() if use is Use.DISK])
    options: dict[str, str | None] = {"filename": escaped_filename(socket)}
    if any("read_iolog" in section.options for section in job.sections()):
        options["replay_redirect"] = socket
    return placed.with_our_engine().with_options(options)


def of_backend(spec: BackendSpec) -> Reach:
    """What the back-end's own options could make it do, for options that the user did not type."""
    harmful = [each for each in spec.options if spec.kind != "builtin" or _names_a_file(each)]
    program = KINDS[spec.kind].program
    return Reach(others=tuple(f"starts the {program} with --{each}" for each in harmful))


def _names_a_file(option: str) -> bool:
    return option.partition("=")[0] in _BUILTIN_FILES or bool(_LOOKS_LIKE_A_PATH.search(option))


# ---- what a job reaches -----------------------------------------------------------------------


def of_job(job: Job, folder: Path | None, read_only: bool = False) -> Reach:
    """What a job reaches when fio runs it in `folder`; None: in a new, empty folder."""
    _check_includes(job)
    return joined(_of_section(section, folder, read_only) for section in job.sections())


def _of_section(section: Section, folder: Path | None, read_only: bool) -> Reach:
    _check_nothing_is_calculated(section)
    disks = () if read_only else _changed_disks(section)
    return Reach((*disks, *_outputs(section, folder)), tuple(_actions(section)))


def _check_includes(job: Job) -> None:
    for line in job.lines:
        if line.include is not None:
            raise UsageError(f"cannot tell what include {line.include} adds to the job")


def _check_nothing_is_calculated(section: Section) -> None:
    for each in section.given:
        found = _CALCULATED.search(each.value)
        if found and each.key in PATHS:
            raise UsageError(
                f"cannot tell what {each.key}={each.value} in [{section.name}] is",
                f"fio calculates each value that has {found[0]} in it",
                "write the value without it",
            )


def _changed_disks(section: Section) -> Iterator[str]:
    for disk in disks_of(section):
        if section.writes() or _may_lay_out(section, disk):
            yield disk


def _may_lay_out(section: Section, disk: str) -> bool:
    """Whether fio may create this file, or replace it because it is smaller than the job's size=.

    fio does that for engines that work on files, even if the job only reads.
    """
    if section.uses_engine() or disk in section.every("uri"):
        return False
    mode = _mode_of(disk)
    has_a_size = any(name in section.options for name in _SIZES)
    return mode is None or (stat.S_ISREG(mode) and has_a_size)


def disks_of(section: Section) -> list[str]:
    """The disks and files of its I/O: the names that fio would use, or a description of them."""
    if section.engine in _WITHOUT_DISK:
        return []
    if "read_iolog" in section.options:
        disks = section.latest("replay_redirect") or _logged_disks(section)
    else:
        disks = _named_disks(section) or [_default_disk(section)]
    _check_no_folder_hides_a_socket(section)
    _check_no_socket_is_laid_out(section, disks)
    return disks


def _named_disks(section: Section) -> list[str]:
    folders = [f"{folder}/" for folder in _split(section.options.get("directory", ""))] or [""]
    files = [file for value in section.every("filename") for file in _split(value)]
    named = [folder + file for file in files for folder in folders]
    named += [f"the files below {folder}" for folder in section.every("opendir")]
    return named + section.every("uri")


def _default_disk(section: Section) -> str:
    """If no disk is named: the job's name if that is a device, otherwise files that fio creates."""
    mode = _mode_of(section.name)
    if mode is not None and not stat.S_ISREG(mode):
        return section.name
    return f"files in {section.options.get('directory') or 'the working directory'}"


def _split(names: str) -> list[str]:
    """Names that are separated by colons; an escaped colon is part of a name."""
    parts = re.split(r"(?<!\\):", names)
    return [part.replace("\\:", ":").strip() for part in parts if part.strip()]


def _logged_disks(section: Section) -> list[str]:
    found: list[str] = []
    for value in section.latest("read_iolog"):
        for log in _split(value):
            found += _disks_in_log(Path(log)) or [f"the disks that the I/O log {log} names"]
    return found


def _disks_in_log(log: Path) -> list[str]:
    """The disks in a log of fio's own format; none if it has another format or is a pipe."""
    mode = _mode_of(str(log))
    if mode is None or not stat.S_ISREG(mode):
        return []
    try:
        with log.open(encoding="utf-8", errors="surrogateescape") as lines:
            version = _IOLOG.match(next(lines, ""))
            if version is None:
                return []
            place = 0 if version[1] == "2" else 1  # a time stands before the name
            return list(dict.fromkeys(w[place] for w in map(str.split, lines) if len(w) > place))
    except OSError:
        return []


def _check_no_folder_hides_a_socket(section: Section) -> None:
    """Refuses directory= before the whole path of a socket, because fio joins the two."""
    folder = section.options.get("directory")
    if not folder or not section.uses_engine():
        return
    for file in (name for value in section.every("filename") for name in _split(value)):
        mode = _mode_of(file)
        if mode is not None and stat.S_ISSOCK(mode) and _mode_of(f"{folder}/{file}") is None:
            raise UsageError(
                f"cannot run [{section.name}] on {file}",
                f"fio puts directory={folder} before it, and {folder}/{file} does not exist",
                "leave directory= out",
            )


def _check_no_socket_is_laid_out(section: Section, disks: Sequence[str]) -> None:
    """Refuses a socket for other engines, because fio would replace it by a file."""
    for disk in disks:
        mode = _mode_of(disk)
        if mode is not None and stat.S_ISSOCK(mode) and not section.uses_engine():
            raise UsageError(
                f"will not run [{section.name}] on {disk}",
                f"that is a socket, and {engine_in_words(section)} would replace it by a file",
                f"use ioengine={ENGINE}, as pyfio-virtio run --socket {disk} --convert does",
            )


def engine_in_words(section: Section) -> str:
    """Its engine, as part of a sentence."""
    return f"ioengine={section.engine}" if section.engine else "fio's default engine"


def _outputs(section: Section, folder: Path | None) -> Iterator[str]:
    """The files that exist already and to which fio would write."""
    for name, use in PATHS.items():
        for value in section.latest(name) if use is Use.OUTPUT else ():
            path = value.partition(":")[2] if name == "mem" else value
            if path and _is_a_loss(name, (folder or _NOWHERE) / path):
                yield path


# Stands for a new, empty folder: no file exists in it.
_NOWHERE = Path("/proc/self/fd/none")


def _is_a_loss(name: str, path: Path) -> bool:
    """Whether data may be lost when fio writes to this path; True if we cannot tell."""
    if not path.exists() or path.is_char_device():
        return False
    if not path.is_file():
        return True
    try:
        with path.open("rb") as file:
            beginning = file.read(16)
    except OSError:
        return True
    return bool(beginning) and not beginning.startswith(_OWN_BEGINNINGS.get(name, ()))


def _actions(section: Section) -> Iterator[str]:
    for name, use in PATHS.items():
        if use is Use.COMMAND:
            yield from (f'runs the command "{command}"' for command in section.latest(name))
    if "/" in section.engine and not _is_our_file(section.engine):
        yield f"loads the engine {section.engine}"
    for each in section.given:
        is_known = each.key in PATHS or each.key in _FREE_TEXTS
        if not is_known and _LOOKS_LIKE_A_PATH.search(each.value):
            yield f"has {each.key}={each.value}, which may name a file"


def _is_our_file(path: str) -> bool:
    try:
        return Path(path).samefile(engine.folder() / ENGINE)
    except OSError:
        return False


def _mode_of(path: str) -> int | None:
    try:
        return Path(path).stat().st_mode
    except (OSError, ValueError):
        return None

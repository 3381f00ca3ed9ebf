# SPDX-License-Identifier: GPL-2.0-or-later
"""fio job files as data: read, changed, asked what they would do, written back.

Owns the grammar of fio's job files as far as it is needed here; comments and order are kept.
Everything but read() is pure. It never judges whether fio will like an option: fio does that.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pyfio_virtio.errors import UsageError

ENGINE = "fio_virtio"
GLOBAL = "global"

# fio's second names for options, as `fio --cmdhelp=all` lists them.
_ALIASES = {
    "readwrite": "rw",
    "iodepth_batch_submit": "iodepth_batch",
    "iodepth_batch_complete": "iodepth_batch_complete_min",
    "io_limit": "io_size",
    "fill_fs": "fill_device",
    "fileoffset": "offset",
    "blocksize": "bs",
    "blockalign": "ba",
    "blocksize_range": "bsrange",
    "blocksize_unaligned": "bs_unaligned",
    "nr_files": "nrfiles",
    "timeout": "runtime",
    "iomem": "mem",
    "mem_align": "iomem_align",
    "ratemin": "rate_min",
    "ratecycle": "rate_cycle",
    "wait_for_previous": "stonewall",
    "disable_bw": "disable_bw_measurement",
    "ss": "steadystate",
    "ss_dur": "steadystate_duration",
    "ss_ramp": "steadystate_ramp_time",
}
_READING = ("read", "randread")
_INCLUDE_DEPTH = 8


@dataclass(frozen=True)
class Line:
    """One line of a job file: a section's header, an option, or neither (a comment)."""

    text: str
    header: str | None = None
    key: str | None = None
    value: str | None = None


@dataclass(frozen=True)
class Section:
    """A job as fio would see it: its own options over those of the global sections before it."""

    name: str
    options: Mapping[str, str]

    def uses_engine(self) -> bool:
        """Whether this job runs on our engine, by name or as external:PATH."""
        return _names_engine(self.options.get("ioengine", ""))

    def writes(self) -> bool:
        """Whether this job can change its disk. Checking what was written (verify) does not."""
        direction = self.options.get("rw", "read").partition(":")[0].strip()
        return direction not in _READING or "read_iolog" in self.options

    def count(self) -> int:
        """How many jobs fio makes of this one."""
        number = self.options.get("numjobs", "1")
        return max(1, int(number)) if number.isdecimal() else 1


@dataclass(frozen=True)
class Job:
    lines: tuple[Line, ...]

    def text(self) -> str:
        return "".join(f"{line.text}\n" for line in self.lines)

    def sections(self) -> list[Section]:
        """The jobs in the file; the global sections are folded into those that follow them."""
        shared: dict[str, str] = {}
        found: list[Section] = []
        options = shared
        for line in self.lines:
            if line.header is not None:
                is_global = line.header.startswith(GLOBAL)
                options = shared if is_global else dict(shared)
                if not is_global:
                    found.append(Section(line.header, options))
            elif line.key is not None:
                options[canonical(line.key)] = _expand(line.value or "")
        return found

    def uses_engine(self) -> bool:
        return any(section.uses_engine() for section in self.sections())

    def writing(self) -> list[Section]:
        return [section for section in self.sections() if section.writes()]

    def written_disks(self) -> list[str]:
        """Every filename= or directory= that a job may change, each once."""
        named = (_disk_of(section) for section in self.writing())
        return list(dict.fromkeys(named))

    def stats_files(self) -> list[str]:
        """Where its jobs have the engine's counters written, each once."""
        named = (section.options.get("stats_file") for section in self.sections())
        return list(dict.fromkeys(path for path in named if path))

    def devices(self) -> list[str]:
        """The kinds of device that its jobs on the engine ask for, each once; auto is none."""
        named = (
            section.options.get("device") for section in self.sections() if section.uses_engine()
        )
        return list(dict.fromkeys(kind for kind in named if kind and kind != "auto"))

    def queues(self) -> int:
        """Queues wanted of the back-end: each job that runs at a time has one."""
        return sum(section.count() for section in self.sections())

    def with_options(self, options: Mapping[str, str | None]) -> "Job":
        """The job with `options` holding in every section, whatever they said before."""
        job = self
        for key, value in options.items():
            job = job._with_option(option(key, value))
        return job

    def _with_option(self, wanted: Line) -> "Job":
        """In place where that reaches every job, else at the head of the file."""
        key = canonical(wanted.key or "")
        replaced = [wanted if canonical(line.key or "") == key else line for line in self.lines]
        jobs = Job(tuple(replaced)).sections()
        if jobs and all(key in section.options for section in jobs):
            return Job(tuple(replaced))
        lines = [line for line in self.lines if canonical(line.key or "") != key]
        where = _first_global(lines)
        if where is None:
            where = _first_header(lines)
            lines.insert(where, _header(GLOBAL))
        return Job((*lines[: where + 1], wanted, *lines[where + 1 :]))

    def with_engine_option(self, key: str, value: str) -> "Job":
        """The job with an option of the engine's wherever the engine is chosen."""
        lines: list[Line] = []
        for line in self.lines:
            lines.append(line)
            if line.key == "ioengine" and _names_engine(_expand(line.value or "")):
                lines.append(option(key, value))
        return Job(tuple(lines))

    def with_sections(self, sections: Sequence[tuple[str, Mapping[str, str | None]]]) -> "Job":
        """The job with further sections after its own."""
        lines = list(self.lines)
        for name, options in sections:
            lines.append(_header(name))
            lines.extend(option(key, value) for key, value in options.items())
        return replace(self, lines=tuple(lines))


def _names_engine(value: str) -> bool:
    return Path(value.removeprefix("external:")).name == ENGINE


def _disk_of(section: Section) -> str:
    options = section.options
    return options.get("filename") or options.get("directory") or "the working directory"


def _first_header(lines: Sequence[Line]) -> int:
    return next((i for i, line in enumerate(lines) if line.header is not None), len(lines))


def _first_global(lines: Sequence[Line]) -> int | None:
    """Where the file begins with a global section, so that all jobs come after it."""
    first = _first_header(lines)
    opens = first < len(lines) and (lines[first].header or "").startswith(GLOBAL)
    return first if opens else None


def _header(name: str) -> Line:
    return Line(f"[{name}]", header=name)


def option(key: str, value: str | None) -> Line:
    """A line that sets `key`; without a value it is a flag, such as time_based."""
    if re.search(r"[;#\n\r]", f"{key}{value or ''}"):
        raise UsageError(
            f"cannot write {key}={value} in a job file",
            "fio takes ; and # for the beginning of a comment",
            "leave them out",
        )
    return Line(key if value is None else f"{key}={value}", key=key, value=value)


def canonical(key: str) -> str:
    """The first name of an option that has two."""
    return _ALIASES.get(key, key)


def _expand(value: str) -> str:
    """${VARIABLE} as fio replaces it: by the environment, or by nothing."""
    return re.sub(r"\$\{([^}]+)\}", lambda name: os.environ.get(name[1], ""), value)


def escaped_filename(path: str) -> str:
    """`path` as the value of filename=, where a colon would part two files."""
    if path != path.strip() or not path or re.search(r"[#;$\\\n\r]", path):
        raise UsageError(
            f"cannot name {path!r} in a job file",
            "fio takes # ; $ \\, line ends and outer spaces in it for something else",
            "use a socket with a plainer path",
        )
    return path.replace(":", "\\:")


def parse(text: str) -> Job:
    """Reads a job file's text; `include` lines are left as they are."""
    return Job(tuple(_parse_line(line) for line in text.splitlines()))


def _parse_line(text: str) -> Line:
    # As fio does it: everything after ; or # is a comment, wherever it stands.
    content = re.split(r"[;#]", text, maxsplit=1)[0].strip()
    if not content:
        return Line(text)
    header = re.fullmatch(r"\[(.*)\]", content)
    if header:
        return Line(text, header=header[1])
    key, equals, value = content.partition("=")
    return Line(text, key=key.strip(), value=value.strip() if equals else None)


def read(path: Path, depth: int = 0) -> Job:
    """Reads a job file, with the files that it includes in their places."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(f"cannot read the job file {path}", why or str(error)) from error
    lines: list[Line] = []
    for line in parse(text).lines:
        included = re.fullmatch(r"include\s+(.+)", line.key or "")
        lines.extend(_include(path, included[1], depth) if included else [line])
    return Job(tuple(lines))


def _include(path: Path, name: str, depth: int) -> Sequence[Line]:
    if depth >= _INCLUDE_DEPTH:
        raise UsageError(
            f"cannot read the job file {path}", f"include {name} goes round in circles"
        )
    # fio looks from the working directory first, then beside the including file.
    return read(Path(name) if Path(name).exists() else path.parent / name, depth + 1).lines

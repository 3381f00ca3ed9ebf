# SPDX-License-Identifier: GPL-2.0-or-later
"""fio job files as data: read, changed, asked what they would do, written back.

Owns the grammar of fio's job files as far as it is needed here; comments and order are kept. A
line that fio might read otherwise than we do is refused, since what a job may do is decided from
what is read here. Everything but read() is pure. It never judges whether fio will like an option:
fio does that.
"""

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pyfio_virtio.errors import UsageError

ENGINE = "fio_virtio"
GLOBAL = "global"
# What fio's option ioengine= takes before the path of an engine that lies in a file.
_EXTERNAL = "external"

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
    "ss_interval": "steadystate_check_interval",
    "data_placement": "dataplacement",
}
_READING = ("read", "randread")
_INCLUDE_DEPTH = 8
_INCLUDE = "include"
# fio cuts lines at 4096 bytes or at 8192, depending on its release, and names at 255.
_LINE_BYTES, _NAME_BYTES = 4000, 250
_BLANKS = " \t"
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_KEY = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)


@dataclass(frozen=True)
class Line:
    """One line of a job file: a header, an option, an include, or none of these (a comment)."""

    text: str
    header: str | None = None
    key: str | None = None
    value: str | None = None
    include: str | None = None

    @property
    def engine(self) -> str | None:
        """The engine that it chooses, if that is what it does."""
        return _engine_of(_expand(self.value or "")) if self.key == "ioengine" else None


@dataclass(frozen=True)
class Given:
    """An option as a section has it; `level` tells which header it stands under."""

    level: int
    key: str  # its first name
    value: str  # with the variables of the environment in it


@dataclass(frozen=True)
class Section:
    """A job as fio would see it: its own options after those of the global sections before it."""

    name: str
    given: tuple[Given, ...]

    @property
    def options(self) -> Mapping[str, str]:
        """Each option once, as the last line says it."""
        return {each.key: each.value for each in self.given}

    def every(self, key: str) -> list[str]:
        """All values of an option that adds up, as filename= does over global sections too."""
        return [each.value for each in self.given if each.key == key]

    def latest(self, key: str) -> list[str]:
        """The values under the last header that has the option: of several, fio may take any."""
        level = max((each.level for each in self.given if each.key == key), default=None)
        return [each.value for each in self.given if (each.key, each.level) == (key, level)]

    @property
    def engine(self) -> str:
        """The name of its engine, or the path where that is what is given; "": fio's default."""
        return _engine_of(self.options.get("ioengine", ""))

    def uses_engine(self) -> bool:
        """Whether this job runs on our engine, by name or as external:PATH."""
        return is_ours(self.engine)

    def writes(self) -> bool:
        """Whether this job can change its disk. Checking what was written (verify) does not."""
        directions = {value.partition(":")[0].strip() for value in self.latest("rw") or ["read"]}
        return not directions <= set(_READING) or "read_iolog" in self.options

    def count(self) -> int:
        """How many jobs fio makes of this one."""
        cpus = str(os.sysconf("SC_NPROCESSORS_CONF"))
        number = self.options.get("numjobs", "1").replace("$ncpus", cpus)
        return max(1, int(number)) if number.isdecimal() else 1


@dataclass(frozen=True)
class Job:
    lines: tuple[Line, ...]

    def text(self) -> str:
        return "".join(f"{line.text}\n" for line in self.lines)

    def sections(self) -> list[Section]:
        """The jobs in the file; the global sections are folded into those that follow them."""
        shared: list[Given] = []
        found: list[tuple[str, list[Given]]] = []
        options, level = shared, 0
        for line in self.lines:
            if line.header is not None:
                level += 1
                is_global = line.header.startswith(GLOBAL)
                options = shared if is_global else list(shared)
                if not is_global:
                    found.append((line.header, options))
            elif line.key is not None:
                options.append(Given(level, canonical(line.key), _expand(line.value or "")))
        return [Section(name, tuple(given)) for name, given in found]

    def uses_engine(self) -> bool:
        return any(section.uses_engine() for section in self.sections())

    def writing(self) -> list[Section]:
        return [section for section in self.sections() if section.writes()]

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
        return self.without([key]).with_default(wanted)

    def with_default(self, wanted: Line) -> "Job":
        """The job with an option that holds wherever a section says nothing else."""
        lines = list(self.lines)
        where = _first_global(lines)
        if where is None:
            where = _first_header(lines)
            lines.insert(where, _header(GLOBAL))
        return Job((*lines[: where + 1], wanted, *lines[where + 1 :]))

    def without(self, keys: Collection[str]) -> "Job":
        """The job without the lines that set one of these options, by their first names."""
        return Job(tuple(line for line in self.lines if canonical(line.key or "") not in keys))

    def with_our_engine(self) -> "Job":
        """The job with the engine by its name alone wherever it is chosen, in whatever file."""
        ours = option("ioengine", ENGINE)
        return Job(tuple(ours if is_ours(line.engine) else line for line in self.lines))

    def with_engine_option(self, key: str, value: str) -> "Job":
        """The job with an option of the engine's wherever the engine is chosen."""
        lines: list[Line] = []
        for line in self.lines:
            lines.append(line)
            if is_ours(line.engine):
                lines.append(option(key, value))
        return Job(tuple(lines))

    def with_sections(self, sections: Sequence[tuple[str, Mapping[str, str | None]]]) -> "Job":
        """The job with further sections after its own."""
        lines = list(self.lines)
        for name, options in sections:
            lines.append(_header(name))
            lines.extend(option(key, value) for key, value in options.items())
        return replace(self, lines=tuple(lines))


def _engine_of(value: str) -> str:
    kind, colon, path = value.partition(":")
    return path.strip() if colon and kind.strip() == _EXTERNAL else kind.strip()


def is_ours(engine: str | None) -> bool:
    return engine is not None and Path(engine).name == ENGINE


def _first_header(lines: Sequence[Line]) -> int:
    return next((i for i, line in enumerate(lines) if line.header is not None), len(lines))


def _first_global(lines: Sequence[Line]) -> int | None:
    """Where the file begins with a global section, so that all jobs come after it."""
    first = _first_header(lines)
    opens = first < len(lines) and (lines[first].header or "").startswith(GLOBAL)
    return first if opens else None


def _header(name: str) -> Line:
    if not _is_name(name) or re.search(r"[;#]", name):
        raise UsageError(f"cannot name a job {name!r}", "fio would read another name", "change it")
    return Line(f"[{name}]", header=name)


def _is_name(name: str) -> bool:
    return 0 < len(name.encode()) <= _NAME_BYTES and not _CONTROL.search(name)


def option(key: str, value: str | None) -> Line:
    """A line that sets `key`; without a value it is a flag, such as time_based."""
    text = key if value is None else f"{key}={value}"
    if re.search(r"[;#]", text):
        raise UsageError(
            f"cannot write {text} in a job file",
            "fio takes ; and # for the beginning of a comment",
            "leave them out",
        )
    problem = _problem_of(text) or _problem_of_key(key)
    if problem:
        raise UsageError(f"cannot write {text!r} in a job file", problem)
    return Line(text, key=key, value=value)


def canonical(key: str) -> str:
    """The first name of an option that has two."""
    return _ALIASES.get(key, key)


def _expand(value: str) -> str:
    """${VARIABLE} as fio replaces it: by the environment, or by nothing."""
    return re.sub(r"\$\{([^}]*)\}", lambda name: os.environ.get(name[1], ""), value)


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
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return Job(tuple(_parse_line(line, number) for number, line in enumerate(lines, 1)))


def _parse_line(text: str, number: int) -> Line:
    text = text.rstrip("\r")
    # As fio does it: everything after ; or # is a comment, wherever it stands.
    content = re.split(r"[;#]", text, maxsplit=1)[0].strip(_BLANKS)
    problem = _problem_of(text)
    if problem:
        raise _misread(text, number, problem)
    if content.startswith("["):
        return _parse_header(text, content, number)
    if content.startswith(_INCLUDE):
        return _parse_include(text, content, number)
    if not content:
        return Line(text)
    key, equals, value = (part.strip(_BLANKS) for part in content.partition("="))
    problem = _problem_of_key(key)
    if problem:
        raise _misread(text, number, problem)
    return Line(text, key=key, value=value if equals else None)


def _parse_header(text: str, content: str, number: int) -> Line:
    name = content[1:-1]
    if not content.endswith("]") or not _is_name(name):
        raise _misread(text, number, "a section's name stands between [ and ], as in [job]")
    return Line(text, header=name)


def _parse_include(text: str, content: str, number: int) -> Line:
    """fio takes every line that begins so for an include, whatever follows the word."""
    gap, name = content[len(_INCLUDE) :][:1], content[len(_INCLUDE) :].strip(_BLANKS)
    if gap not in tuple(_BLANKS) or not name:
        raise _misread(text, number, "a file is included by: include FILE")
    return Line(text, include=name)


def _problem_of(text: str) -> str:
    """Why fio may read a line otherwise than we do; "" if it does not."""
    if len(text.encode()) > _LINE_BYTES:
        return f"it is longer than {_LINE_BYTES} bytes, and fio would cut it"
    if _CONTROL.search(text):
        return "it has a control character"
    return ""


def _problem_of_key(key: str) -> str:
    if key.startswith(_INCLUDE):
        return "fio would take it for an include"
    if not _KEY.fullmatch(key):
        return "no option of fio has such a name, and names do not come from variables"
    return ""


def _misread(text: str, number: int, why: str) -> UsageError:
    shown = text if len(text) <= 60 else f"{text[:60]}..."
    return UsageError(f"cannot read line {number}, {shown!r}", why)


def read(path: Path, depth: int = 0) -> Job:
    """Reads a job file, with the files that it includes in their places."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise UsageError(f"cannot read the job file {path}", why or str(error)) from error
    try:
        parsed = parse(text)
    except UsageError as error:
        raise UsageError(f"cannot use the job file {path}", str(error)) from error
    lines: list[Line] = []
    for line in parsed.lines:
        lines.extend([line] if line.include is None else _include(path, line.include, depth))
    return Job(tuple(lines))


def _include(path: Path, name: str, depth: int) -> Sequence[Line]:
    if depth >= _INCLUDE_DEPTH:
        raise UsageError(
            f"cannot read the job file {path}", f"include {name} goes round in circles"
        )
    # fio looks from the working directory first, then beside the including file.
    return read(Path(name) if Path(name).exists() else path.parent / name, depth + 1).lines

# SPDX-License-Identifier: GPL-2.0-or-later
"""fio job files as data: they are read, examined, changed and written back.

Owns the part of the grammar of fio's job files that is needed here. Comments and order are kept.
Other modules decide from this data what a job may do, so a line that fio might read differently is
refused. Everything except read() is pure. fio, not this module, checks the options themselves.
"""

import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pyfio_virtio import files
from pyfio_virtio.errors import UsageError

ENGINE = "fio_virtio"
GLOBAL = "global"
# fio's ioengine= has this before the path of an engine that is a file.
_EXTERNAL = "external"

# Second names of fio's options, as `fio --cmdhelp=all` lists them.
ALIASES = {
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
# fio adds up all values of these options.
_ADDED_UP = ("filename", "opendir")
_READING = ("read", "randread")
_INCLUDE_DEPTH = 8
_INCLUDE = "include"
# fio cuts lines at 4096 bytes or at 8192, depending on its release, and names at 255.
_LINE_BYTES, _NAME_BYTES = 4000, 250
_BLANKS = " \t"
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_KEY = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)


def is_ours(engine: str | None) -> bool:
    return engine is not None and Path(engine).name == ENGINE


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
        """The engine that this line chooses; None if the line sets another option or none."""
        return _engine_of(_expand(self.value or "")) if self.key == "ioengine" else None


@dataclass(frozen=True)
class Given:
    """An option of a section. `level` is the number of the header above it."""

    level: int
    key: str  # its first name
    value: str  # environment variables are already replaced


@dataclass(frozen=True)
class Section:
    """A job as fio sees it: the options of the global sections before it, and then its own."""

    name: str
    given: tuple[Given, ...]

    @property
    def options(self) -> Mapping[str, str]:
        """Each option with its last value."""
        return {each.key: each.value for each in self.given}

    def every(self, key: str) -> list[str]:
        """All values of an option that adds up over all sections above, such as filename=."""
        return [each.value for each in self.given if each.key == key]

    def latest(self, key: str) -> list[str]:
        """The values under the last header that has the option. fio may use any of them."""
        level = max((each.level for each in self.given if each.key == key), default=None)
        return [each.value for each in self.given if (each.key, each.level) == (key, level)]

    @property
    def engine(self) -> str:
        """The name of its engine, or its path if a path is given; "": fio's default engine."""
        return _engine_of(self.options.get("ioengine", ""))

    def uses_engine(self) -> bool:
        """Whether this job runs on our engine, by name or as external:PATH."""
        return is_ours(self.engine)

    def writes(self) -> bool:
        """Whether this job can change its disk. A job that only verifies does not."""
        directions = {value.partition(":")[0].strip() for value in self.latest("rw") or ["read"]}
        return not directions <= set(_READING) or "read_iolog" in self.options

    def count(self) -> int:
        """How many jobs fio makes from this section."""
        cpus = str(os.sysconf("SC_NPROCESSORS_CONF"))
        number = self.options.get("numjobs", "1").replace("$ncpus", cpus)
        return max(1, int(number)) if number.isdecimal() else 1


@dataclass(frozen=True)
class Job:
    lines: tuple[Line, ...]

    def text(self) -> str:
        return "".join(f"{line.text}\n" for line in self.lines)

    def to_bytes(self) -> bytes:
        """Its text with exactly the bytes that read() found."""
        return _bytes_of(self.text())

    def sections(self) -> list[Section]:
        """The jobs in the file. Each has the options of the global sections before it."""
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
        """The files to which the engine writes the counters of its jobs, each file once."""
        named = (section.options.get("stats_file") for section in self.sections())
        return list(dict.fromkeys(path for path in named if path))

    def devices(self) -> list[str]:
        """The kinds of device that jobs for our engine ask for, each once and without auto."""
        named = (
            section.options.get("device") for section in self.sections() if section.uses_engine()
        )
        return list(dict.fromkeys(kind for kind in named if kind and kind != "auto"))

    def queues(self) -> int:
        """How many queues the jobs need: one for each job, because all may run at the same time."""
        return sum(section.count() for section in self.sections())

    def with_options(self, options: Mapping[str, str | None]) -> "Job":
        """The job with these options in every section, instead of the values that it had."""
        job = self
        # Each new line is put before the former ones, so the last option is the first.
        for key, value in reversed(list(options.items())):
            job = job._with_option(option(key, value))
        return job

    def _with_option(self, wanted: Line) -> "Job":
        """Replaces the option where it is set, if that reaches every job; else adds it for all."""
        key = canonical(wanted.key or "")
        replaced = [wanted if canonical(line.key or "") == key else line for line in self.lines]
        jobs = Job(tuple(replaced)).sections()
        values = [len(section.every(key)) for section in jobs]
        if jobs and min(values) > 0 and (key not in _ADDED_UP or max(values) == 1):
            return Job(tuple(replaced))
        return self.without([key]).with_default(wanted)

    def with_default(self, wanted: Line) -> "Job":
        """The job with an option for all sections that do not set it themselves."""
        lines = list(self.lines)
        where = _first_global(lines)
        if where is None:
            where = _first_header(lines)
            lines.insert(where, _header(GLOBAL))
        return Job((*lines[: where + 1], wanted, *lines[where + 1 :]))

    def without(self, keys: Collection[str]) -> "Job":
        """The job without the lines that set one of these options. `keys` are first names."""
        return Job(tuple(line for line in self.lines if canonical(line.key or "") not in keys))

    def with_our_engine(self) -> "Job":
        """The job in which our engine is chosen by its name, wherever it was chosen by a path."""
        ours = option("ioengine", ENGINE)
        return Job(tuple(ours if is_ours(line.engine) else line for line in self.lines))

    def engines(self) -> list[str]:
        """The engines that its lines choose, each once."""
        return list(dict.fromkeys(line.engine for line in self.lines if line.engine is not None))

    def with_engine_option(
        self, key: str, value: str | None, has_it: Callable[[str], bool] = is_ours
    ) -> "Job":
        """The job with an option after each line that chooses an engine that has it; fio refuses
        the option where another engine is chosen."""
        lines: list[Line] = []
        for line in self.without([canonical(key)]).lines:
            lines.append(line)
            if line.engine is not None and has_it(line.engine):
                lines.append(option(key, value))
        return Job(tuple(lines))

    def with_sections(self, sections: Sequence[tuple[str, Mapping[str, str | None]]]) -> "Job":
        """The job with further sections at the end."""
        lines = list(self.lines)
        for name, options in sections:
            lines.append(_header(name))
            lines.extend(option(key, value) for key, value in options.items())
        return replace(self, lines=tuple(lines))


def _engine_of(value: str) -> str:
    kind, colon, path = value.partition(":")
    return path.strip() if colon and kind.strip() == _EXTERNAL else kind.strip()


def _first_header(lines: Sequence[Line]) -> int:
    return next((i for i, line in enumerate(lines) if line.header is not None), len(lines))


def _first_global(lines: Sequence[Line]) -> int | None:
    """The place of the first header if it is a global section, which holds for all jobs then."""
    first = _first_header(lines)
    opens = first < len(lines) and (lines[first].header or "").startswith(GLOBAL)
    return first if opens else None


def _header(name: str) -> Line:
    if not _is_name(name) or re.search(r"[;#]", name):
        raise UsageError(
            f"cannot name a job {name!r}", "fio would read another name", "use another name"
        )
    return Line(f"[{name}]", header=name)


def _is_name(name: str) -> bool:
    return 0 < len(_bytes_of(name)) <= _NAME_BYTES and not _CONTROL.search(name)


def _bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def option(key: str, value: str | None) -> Line:
    """A line that sets `key`. Without a value, `key` is a flag such as time_based."""
    text = key if value is None else f"{key}={value}"
    if re.search(r"[;#]", text):
        raise UsageError(
            f"cannot write {text} in a job file",
            "fio takes ; and # for the start of a comment",
            "leave them out",
        )
    problem = _problem_of_length(text) or _problem_of_content(text) or _problem_of_key(key)
    if problem:
        raise UsageError(f"cannot write {text!r} in a job file", problem)
    return Line(text, key=key, value=value)


def canonical(key: str) -> str:
    """The first name of an option that has two names."""
    return ALIASES.get(key, key)


def _expand(value: str) -> str:
    """Replaces ${VARIABLE} by the value in the environment, or by nothing, as fio does."""
    return re.sub(r"\$\{([^}]*)\}", lambda name: os.environ.get(name[1], ""), value)


def escaped_filename(path: str) -> str:
    """`path` as a value of filename=, in which a plain colon separates two files."""
    if path != path.strip() or not path or re.search(r"[#;$\\\n\r]", path):
        raise UsageError(
            f"cannot name {path!r} in a job file",
            "fio would not take #, ;, $, \\, line ends or outer spaces as part of it",
            "use another path for the socket",
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
    # As in fio, everything after ; or # is a comment.
    content = re.split(r"[;#]", text, maxsplit=1)[0].strip(_BLANKS)
    problem = _problem_of_length(text) or _problem_of_content(content)
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
        raise _misread(text, number, "the name of a section stands between [ and ], as in [job]")
    return Line(text, header=name)


def _parse_include(text: str, content: str, number: int) -> Line:
    """fio takes every line that begins with this word for an include, whatever follows it."""
    gap, name = content[len(_INCLUDE) :][:1], content[len(_INCLUDE) :].strip(_BLANKS)
    if gap not in tuple(_BLANKS) or not name:
        raise _misread(text, number, "to include a file, write: include FILE")
    return Line(text, include=name)


def _problem_of_length(text: str) -> str:
    """Why fio may read a line differently than we do; "" if it reads the same."""
    if len(_bytes_of(text)) > _LINE_BYTES:
        return f"it is longer than {_LINE_BYTES} bytes, and fio would cut it"
    return ""


def _problem_of_content(content: str) -> str:
    return "it has a control character" if _CONTROL.search(content) else ""


def _problem_of_key(key: str) -> str:
    if key.startswith(_INCLUDE):
        return "fio would take it for an include"
    if not _KEY.fullmatch(key):
        return "fio has no option with this name"
    return ""


def _misread(text: str, number: int, why: str) -> UsageError:
    shown = text if len(text) <= 60 else f"{text[:60]}..."
    return UsageError(f"cannot read line {number}, {shown!r}", why)


def read(path: Path, depth: int = 0) -> Job:
    """Reads a job file, and puts the content of included files in the place of their include."""
    try:
        held = files.read(path, files.TEXT_BYTES)
    except OSError as error:
        why = error.strerror or str(error)
        advice = "name the files in it" if isinstance(error, IsADirectoryError) else ""
        raise UsageError(f"cannot read the job file {path}", why, advice) from error
    if b"\0" in held:
        raise UsageError(f"cannot read the job file {path}", "it is a binary file, not text")
    try:
        # fio takes any bytes. Those that are not UTF-8 become surrogates, see to_bytes().
        parsed = parse(held.decode("utf-8-sig", "surrogateescape"))
    except UsageError as error:
        raise UsageError(f"cannot use the job file {path}", str(error)) from error
    lines: list[Line] = []
    for line in parsed.lines:
        lines.extend([line] if line.include is None else _include(path, line.include, depth))
    return Job(tuple(lines))


def _include(path: Path, name: str, depth: int) -> Sequence[Line]:
    if depth >= _INCLUDE_DEPTH:
        raise UsageError(f"cannot read the job file {path}", f"include {name} is nested too deeply")
    # fio looks in the working directory first, and then beside the including file.
    return read(Path(name) if Path(name).exists() else path.parent / name, depth + 1).lines

# SPDX-License-Identifier: GPL-2.0-or-later
"""The settings of a sweep, from its flags and from its TOML file.

Owns the names, the defaults and the checks of single values. A key of the file is the name of the
flag without the leading dashes. Everything is pure except read_settings(), which reads one file.
Any thread may call. sweep/plan.py combines the values to points, not this module.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import tomli_w

from pyfio_virtio import files
from pyfio_virtio.errors import UsageError
from pyfio_virtio.fio.job import canonical, option
from pyfio_virtio.reach import PATHS, Use
from pyfio_virtio.sizes import parse_seconds, parse_size
from pyfio_virtio.sweep import candidates
from pyfio_virtio.sweep.candidates import BUILTIN, Candidate

ORDERS = ("interleaved", "random", "sequential")
VIRTIO = "virtio"
# The two options of the engine that form one axis: the way of waiting.
WAY = ("sleepy_poll", "wait")
# fio's options that the sweep sets itself, and the flag to use instead ("": there is none).
OWN_OPTIONS = {
    **dict.fromkeys(("runtime", "timeout"), "--runtime"),
    "ramp_time": "--ramp-time",
    "ioengine": "--engines",
    "cpus_allowed": "--cpus",
    "rate_iops": "--rate-steps",
    **dict.fromkeys(
        (name for name, use in PATHS.items() if use is Use.DISK), "--backend or --storage"
    ),
    **dict.fromkeys(("thread", "time_based", "stats_file"), ""),
}
# The settings of disks that a sweep makes. They say nothing about a disk that somebody else serves.
_OF_OUR_DISKS = ("storage", "disk_size", "block_size", "read_only")
_NEED_NO_FILE = {VIRTIO, "null"}
# Tables of the file in which a sweep keeps what it found, so that it can be continued.
FOUND = ("versions", "maximum", "planned")
OWN_FIO = "fio"  # of this machine
# Texts that may contain commas, so a file has each of them as a text of its own.
Texts = tuple[str, ...]
Counts = tuple[int, ...]


@dataclass(frozen=True)
class Settings:
    """Everything that distinguishes one sweep from another."""

    title: str = ""
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # fio's, by name
    engines: tuple[str, ...] = (VIRTIO,)
    cpus: tuple[str, ...] = ("any",)  # any, separate, shared, FIO:BACKEND
    serve: tuple[str, ...] = ()  # how the built-in back-end waits
    one_at_a_time: bool = False
    repeats: int = 5
    target_ci: float | None = None  # the half width of the interval as a share, such as 0.02
    max_repeats: int = 30
    rate_steps: tuple[int, ...] = ()  # percent of the IOPS that a point reaches without a limit
    runtime: float = 5.0  # seconds
    ramp_time: float = 1.0  # seconds
    order: str = "interleaved"
    seed: int | None = None
    controls: bool = True
    backend: Texts = (BUILTIN,)  # [NAME=]builtin, qsd or the path of a socket
    storage: str = "auto"  # or null, memory[:PATH], file (a scratch file), file:PATH
    disk_size: str = "1G"
    block_size: str = "512"
    read_only: bool = False
    poll_max_ns: int | None = None  # of qsd
    backend_option: Texts = ()  # KEY=VALUE,VALUE
    engine_build: Texts = ()  # [NAME=]FOLDER; the default is the engine that belongs to us
    fio: Texts = (OWN_FIO,)  # [NAME=]PROGRAM
    keep_backend: bool = False
    heat_map: bool = False  # log latency over time
    hosts: str = ""  # the file of the hosts that run the jobs; "": this machine
    host_count: Counts = ()  # how many of them, from the first on; (): all

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The back-ends that are measured in turns."""
        return candidates.backends(self.backend, self.backend_option)

    @property
    def kinds(self) -> list[str]:
        """The kinds of the back-ends that the sweep starts for our engine."""
        kinds = dict.fromkeys(each.kind for each in self.candidates if each.kind)
        return list(kinds) if VIRTIO in self.engines else []

    @property
    def describes_no_disk(self) -> bool:
        """Whether every run uses a disk that somebody else serves."""
        return not self.kinds and set(self.engines) <= _NEED_NO_FILE

    def check(self, said: Collection[str] = ()) -> None:
        """Refuses impossible values, and those that were `said` although they mean nothing."""
        if self.order not in ORDERS:
            raise UsageError(f"unknown order {self.order!r}", "", f"use {_or(ORDERS)}")
        if self.repeats < 1:
            raise UsageError(f"unusable repeats {self.repeats}", "it must be 1 or more")
        if self.target_ci is not None and self.max_repeats < self.repeats:
            raise UsageError(
                f"unusable max_repeats {self.max_repeats}",
                f"it must be at least repeats, which is {self.repeats}",
            )
        if self.runtime <= 0 or self.ramp_time < 0:
            raise UsageError(
                "unusable runtime or ramp_time", "the runtime must be above 0, the ramp 0 or more"
            )
        if self.target_ci is not None and not 0 < self.target_ci < 1:
            raise UsageError(f"unusable target_ci {self.target_ci:g}", "", "write it as 5%")
        for step in self.rate_steps:
            if not 1 <= step <= 100:
                raise UsageError(
                    f"unusable rate step {step}%", "", "use 1 to 100, as in 10,20..100"
                )
        if self.serve and not any(each.kind == BUILTIN for each in self.candidates):
            named = " and ".join(self.backend)
            raise UsageError(f"{named} has no --serve", "only the built-in back-end has it")
        self._check_disk(said)
        candidates.paths(self.engine_build, "--engine-build")
        candidates.paths(self.fio, "--fio")
        for name, values in self.options.items():
            _check_option(name)
            for value in values:
                option(name, value)  # refuses text that is more than a value in a job file
        parse_size(self.disk_size)
        parse_size(self.block_size)
        self._check_hosts()
        for name, value in _given(self).items():
            _check_text(name, value)

    def _check_hosts(self) -> None:
        """Refuses what a sweep on several hosts cannot do."""
        if not self.hosts:
            if self.host_count:
                raise UsageError(
                    "cannot use --host-count here", "there are no hosts", "add --hosts"
                )
            return
        others = [each for each in self.engines if each not in (VIRTIO, "null")]
        if others:
            raise UsageError(
                f"cannot measure {others[0]} on hosts",
                "they serve disks for our engine only",
                "leave --hosts or --engines out",
            )
        places = [each for each in self.cpus if each in ("separate", "shared")]
        here = {
            f"--cpus {''.join(places[:1])}": bool(places),
            "--engine-build": bool(self.engine_build),
            "several --fio": len(self.fio) > 1,
            "--heat-map": self.heat_map,
            "--keep-backend": self.keep_backend,
        }
        for flag, is_set in here.items():
            if is_set:
                raise UsageError(
                    f"cannot use {flag} with --hosts", "it concerns this machine", "leave it out"
                )

    def _check_disk(self, said: Collection[str]) -> None:
        """Refuses settings that no back-end of the sweep can have."""
        if self.poll_max_ns is not None and not any(e.kind == "qsd" for e in self.candidates):
            named = " and ".join(self.backend)
            raise UsageError(
                f"cannot set --poll-max-ns of {named}", "only qsd has it", "leave it out"
            )
        # A file may say of disks what only some of its back-ends need.
        unused = {*said, *(("read_only",) if self.read_only else ())}
        for name in _OF_OUR_DISKS if self.describes_no_disk else ():
            if name in unused:
                flag = f"--{name.replace('_', '-')}"
                raise UsageError(
                    f"cannot use {flag} here",
                    f"this command does not start {' and '.join(self.backend)}",
                    f"leave {flag} out, or start the disk with it",
                )


def _check_text(name: str, value: object) -> None:
    """Refuses bytes of the command line that are not UTF-8, because a TOML file must be UTF-8."""
    try:
        tomli_w.dumps({name: value}).encode()
    except UnicodeEncodeError as error:
        shown = str(value).encode(errors="backslashreplace").decode()
        raise UsageError(f"unusable {name} {shown}", "it is not UTF-8") from error


def _check_option(name: str) -> None:
    flag = OWN_OPTIONS.get(name)
    if flag is not None:
        raise UsageError(
            f"cannot set fio's option {name}", "the sweep sets it", f"use {flag}" if flag else ""
        )
    if not re.fullmatch(r"[a-z0-9_]+", name):
        raise UsageError(f"{name!r} is not an option of fio")


def merge(base: Settings, given: Mapping[str, Any]) -> Settings:
    """`base` with the given values instead of its own.

    Options are replaced one by one, but the options of WAY are replaced together.
    """
    given = dict(given)
    options = given.pop("options", {})
    kept = {
        name: values
        for name, values in base.options.items()
        if not (name in WAY and any(way in options for way in WAY))
    }
    return located(replace(base, **given, options={**kept, **options}))


def located(settings: Settings) -> Settings:
    """The same with absolute paths, so that it means the same in any folder."""
    kind, _, path = settings.storage.partition(":")
    is_file = kind in ("file", "memory") and path
    return replace(
        settings,
        backend=tuple(map(candidates.located, settings.backend)),
        engine_build=tuple(map(candidates.located_path, settings.engine_build)),
        fio=tuple(map(candidates.located_program, settings.fio)),
        hosts=str(Path(settings.hosts).absolute()) if settings.hosts else "",
        storage=f"{kind}:{Path(path).absolute()}" if is_file else settings.storage,
    )


# ---- values as people write them ------------------------------------------------------


def words(value: object) -> tuple[str, ...]:
    r"""Splits "a,b", a list or one value into texts. "\," is a comma that is part of a text."""
    if isinstance(value, str):
        parts = re.split(r"(?<!\\),", value)
        return tuple(part.strip().replace("\\,", ",") for part in parts if part.strip())
    if isinstance(value, Sequence):
        return tuple(_word(each) for each in value)
    return (_word(value),)


def texts(value: object) -> tuple[str, ...]:
    """One text or a list of texts, which are not split."""
    return (value,) if isinstance(value, str) else words(value)


def _word(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def share(value: object, name: str = "target_ci") -> float | None:
    """Reads "2%" or 0.02 as 0.02. `name` is the option's."""
    if value is None:
        return None
    text = str(value).strip()
    try:
        number = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < 1:
        percent = f"{text}%" if 0 < number < 100 else "5%"  # 10 was meant as 10%
        raise UsageError(
            f"unusable {name} {text}", "it is not a share below 100%", f"write it as {percent}"
        )
    return number


def steps(value: object) -> tuple[int, ...]:
    """Reads "10,20..100%". The dots continue with the difference of the two numbers before them."""
    numbers: list[int] = []
    for word in words(value):
        parts = re.fullmatch(r"(\d+)%?(?:\.\.\.?(\d+)%?)?", word)
        if parts is None:
            raise UsageError(f"{word!r} is not a rate step", "", "write them as 10,20..100%")
        numbers.append(int(parts[1]))
        if parts[2]:
            by = numbers[-1] - numbers[-2] if len(numbers) > 1 else numbers[-1]
            numbers += range(numbers[-1] + max(by, 1), int(parts[2]) + 1, max(by, 1))
    return tuple(dict.fromkeys(numbers))


def counts(value: object, name: str = "host_count") -> tuple[int, ...]:
    """Reads "1,2,4" as numbers of hosts, each once. `name` is the option's."""
    found = words(value)
    for word in found:
        if not re.fullmatch(r"[1-9][0-9]{0,5}", word):
            raise UsageError(f"unusable {name} {word}", "", "write it as 1,2,4")
    return tuple(dict.fromkeys(map(int, found)))


def option_name(name: str) -> str:
    """The option's first name in fio: event_idx for event-idx, and rw for readwrite."""
    return canonical(name.strip().replace("-", "_"))


def _options(value: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, Mapping):
        raise UsageError("options is not a table", "", "write [options] and a line for each option")
    return {option_name(name): words(each) for name, each in value.items()}


def _text(value: object) -> str:
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return str(value)
    raise ValueError


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError


def _whole(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError
    return parse_seconds(str(value))


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "tuple[str, ...]": words,
    "Texts": texts,
    "tuple[int, ...]": steps,
    "Counts": counts,
    "Mapping[str, tuple[str, ...]]": _options,
    "bool": _flag,
    "int": _whole,
    "int | None": _whole,
    "float": _seconds,
    "float | None": share,
    "str": _text,
}
_KINDS = {each.name: str(each.type) for each in fields(Settings)}


# ---- the file -----------------------------------------------------------------------


def read_settings(path: Path) -> tuple[Settings, Mapping[str, Any]]:
    """The settings of a file, and the tables in which an earlier sweep kept what it found."""
    try:
        table = tomllib.loads(files.read(path, files.TEXT_BYTES).decode("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"cannot read {path}", error.strerror or str(error)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not a TOML file", str(error)) from error
    except (RecursionError, ValueError) as error:  # of Python, which reads most TOML
        why = "its brackets are nested too deeply, or a number has thousands of digits"
        raise UsageError(f"cannot read {path}", why) from error
    found = {name: table.pop(name) for name in FOUND if name in table}
    for name, kept in found.items():
        if not isinstance(kept, dict):
            raise UsageError(
                f"{path}: {name} is not a table", "", "leave it out; the sweep writes it"
            )
    return replace(Settings(), **_read(table, path)), found


def _read(table: Mapping[str, Any], path: Path) -> dict[str, Any]:
    values = {}
    for name, value in table.items():
        if name not in _KINDS:
            raise UsageError(
                f"{path}: unknown key {name}", "", f"the keys are {', '.join(sorted(_KINDS))}"
            )
        try:
            values[name] = _READERS[_KINDS[name]](value)
        except ValueError as error:
            raise UsageError(f"{path}: {name} = {value!r} has the wrong type") from error
    return values


def to_toml(settings: Settings, found: Mapping[str, Mapping[str, str | float]]) -> str:
    """The text of a file with the settings, and with tables of what was found."""
    heading = "# A sweep: pyfio-virtio sweep FILE. Flags take precedence over this file.\n"
    return heading + tomli_w.dumps({**_given(settings), **found})


def _given(settings: Settings) -> dict[str, Any]:
    """The settings that have a value, because TOML has no null, and that mean something."""
    given = {}
    for each in fields(settings):
        value = getattr(settings, each.name)
        is_idle = settings.describes_no_disk and each.name in _OF_OUR_DISKS
        if value is not None and not (is_idle and value == each.default):
            given[each.name] = value
    return given


def _or(choices: Sequence[str]) -> str:
    return f"{', '.join(choices[:-1])} or {choices[-1]}"

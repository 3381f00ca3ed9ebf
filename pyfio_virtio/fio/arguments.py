# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the options of fio that users write after `--`: those of the program and those of jobs.

In fio, a job file takes precedence over options before it on the command line. Here the command
line takes precedence: job options are put into the job, and `--name=` begins a further job, as in
fio. Options of the program (--eta, --output ...) are passed on to fio. Names may be abbreviated, as
in fio. Pure: the caller says which options fio has, and which an engine adds to them.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from pyfio_virtio.errors import UsageError
from pyfio_virtio.fio.job import ALIASES, Job, canonical, option

# Options of the program, not of a job (fio --help). True: without "=", the next word is the value.
PROGRAM = {
    "alloc-size": True,
    "append-terse": False,
    "aux-path": True,
    "bandwidth-log": False,
    "cmdhelp": False,
    "cpuclock-test": False,
    "crctest": False,
    "debug": True,
    "enghelp": False,
    "eta": True,
    "eta-interval": True,
    "eta-newline": True,
    "help": False,
    "idle-prof": True,
    "inflate-log": True,
    "latency-log": True,
    "max-jobs": True,
    "merge-blktrace-only": False,
    "minimal": False,
    "output": True,
    "output-format": True,
    "parse-only": False,
    "readonly": False,
    "section": True,
    "showcmd": False,
    "status-interval": True,
    "terse-version": True,
    "trigger": True,
    "trigger-file": True,
    "trigger-timeout": True,
    "version": False,
    "warnings-fatal": False,
}
_ELSEWHERE = "the job must run on this machine"
REFUSED = {
    # These hand the job to another fio, which may not reach the socket of our disk.
    **dict.fromkeys(("server", "client", "daemonize", "remote-config"), _ELSEWHERE),
    "trigger-remote": _ELSEWHERE,
    "profile": "it makes its own jobs, for other engines and disks",
}

# For each option, the options that fio would prefer to it, or that set the same value or are
# refused beside it. They are removed from the job file.
_RIVALS = {
    "bs": ("bsrange", "bssplit"),
    "bsrange": ("bssplit",),
    "bssplit": ("bsrange",),
    "direct": ("buffered",),
    "buffered": ("direct",),
    "rwmixread": ("rwmixwrite",),
    "rwmixwrite": ("rwmixread",),
    "percentage_random": ("percentage_sequential",),
    "percentage_sequential": ("percentage_random",),
    "cpumask": ("cpus_allowed",),
    "cpus_allowed": ("cpumask",),
    "wait": ("sleepy_poll", "adaptive_cpu"),
    "sleepy_poll": ("wait", "adaptive_cpu"),
    "adaptive_cpu": ("wait", "sleepy_poll"),
}
# These go together, so they are no rivals.
_PARTNERS = {("wait", "sleepy"): "sleepy_poll", ("wait", "adaptive"): "adaptive_cpu"}
# If one of these is given twice, fio uses both values.
_ADDED_UP = ("filename", "opendir")

# How many names a sentence lists.
_SHOWN = 6

Options = dict[str, str | None]
# The options that an engine adds to fio's own.
OptionsOf = Callable[[str], Collection[str]]


def _none(engine: str) -> Collection[str]:
    return ()


@dataclass(frozen=True)
class FioArguments:
    program: tuple[str, ...]  # passed on to fio
    everywhere: Options  # for every job
    jobs: tuple[tuple[str, Options], ...]  # jobs that begin with --name=

    def applied(self, job: Job, options_of: OptionsOf = _none) -> Job:
        """The job with these options and jobs. What was typed replaces what the job file says."""
        job = self._with_engine(job.without(self._rivals()), options_of)
        engines = {*job.engines(), *(_engine(each) for _, each in self.jobs)}
        has = {engine: frozenset(options_of(engine)) for engine in engines if engine}
        of_engines = [key for key in self.everywhere if any(key in each for each in has.values())]
        job = job.with_options(_without(self.everywhere, ["ioengine", *of_engines]))
        for key in reversed(of_engines):
            with_it = [engine for engine, keys in has.items() if key in keys]
            job = job.with_engine_option(key, self.everywhere[key], with_it.__contains__)
        # A further job has what was typed for every job, also if that replaced lines of jobs only.
        inherited = job.with_sections([("job", {})]).sections()[-1].options
        held = _without(self.everywhere, [*of_engines, *inherited])
        jobs = [(name, self._of_job({**held, **each}, has)) for name, each in self.jobs]
        return job.with_sections(jobs)

    def _with_engine(self, job: Job, options_of: OptionsOf) -> Job:
        """The job with the engine that was typed, without options of the former engines alone."""
        if "ioengine" not in self.everywhere:
            return job
        former = {key for engine in job.engines() for key in options_of(engine)}
        job = job.with_options({"ioengine": self.everywhere["ioengine"]})
        kept = {key for engine in job.engines() for key in options_of(engine)}
        return job.without(former - kept)

    def _of_job(self, options: Options, has: Mapping[str, Collection[str]]) -> Options:
        """The options of a typed job. If it chooses its engine, the options of that engine that
        were typed for every job follow."""
        of_engine = has.get(_engine(options) or "", ())
        return options | {
            key: value
            for key, value in self.everywhere.items()
            if key in of_engine and key not in options
        }

    def _rivals(self) -> list[str]:
        return [
            rival
            for key, value in self.everywhere.items()
            for rival in _RIVALS.get(key, ())
            if _PARTNERS.get((key, value or "")) != rival
        ]


def _engine(options: Options) -> str | None:
    """The engine that a typed job chooses; None: it chooses none."""
    chosen = options.get("ioengine")
    return option("ioengine", chosen).engine if chosen else None


def _without(options: Options, keys: Collection[str]) -> Options:
    return {key: value for key, value in options.items() if key not in keys}


def parse(arguments: Sequence[str], job_options: Collection[str] = ()) -> FioArguments:
    """`job_options` are the names that a job option may have; other names may abbreviate them."""
    program: list[str] = []
    everywhere: Options = {}
    jobs: list[tuple[str, Options]] = []
    names = {*PROGRAM, *REFUSED, *job_options, *(ALIASES if job_options else ())}
    waiting = list(arguments)
    while waiting:
        key, value = _take(waiting, names)
        if key in PROGRAM:
            program.append(f"--{key}" if value is None else f"--{key}={value}")
        elif key == "name":
            jobs.append((value or "", {}))
        else:
            _put(jobs[-1][1] if jobs else everywhere, canonical(key), value)
    return FioArguments(tuple(program), everywhere, tuple(jobs))


def _put(options: Options, key: str, value: str | None) -> None:
    """The last value of an option is valid, and the order is that of the last values."""
    former = options.pop(key, None)
    both = f"{former}:{value}" if former and value and key in _ADDED_UP else value
    options[key] = both


def _take(waiting: list[str], names: Collection[str]) -> tuple[str, str | None]:
    """Takes one option, with its value, from the front of the list."""
    word = waiting.pop(0)
    if not word.startswith("-") or not word.strip("-"):
        raise UsageError(
            f"cannot pass {word!r} to fio",
            "it is not an option",
            "name job files before --",
        )
    typed, equals, value = word.lstrip("-").partition("=")
    key = _whole_name(typed, names)
    if key in REFUSED:
        raise UsageError(f"cannot pass --{key} to fio", REFUSED[key])
    if equals:
        return key, value
    takes_value = PROGRAM.get(key, True)
    if takes_value and waiting and not waiting[0].startswith("-"):
        return key, waiting.pop(0)
    return key, None


def _whole_name(typed: str, names: Collection[str]) -> str:
    """The only name that begins like this, as getopt_long(3) finds it. fio names an unknown one."""
    found = sorted(name for name in names if name.startswith(typed))
    if typed in names or not found:
        return typed
    if len(found) > 1:
        shown = ", ".join(f"--{name}" for name in found[:_SHOWN])
        raise UsageError(
            f"cannot pass --{typed} to fio",
            f"it may mean {shown}{' or others' if len(found) > _SHOWN else ''}",
            "write the whole name",
        )
    return found[0]

# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the options of fio that users write after `--`: those of the program and those of jobs.

In fio, a job file takes precedence over options before it on the command line. Here the command
line takes precedence: job options are put into the job, and `--name=` begins a further job, as in
fio. Options of the program (--eta, --output ...) are passed on to fio. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pyfio_virtio.errors import UsageError
from pyfio_virtio.fio.job import Job

# Options of the program, not of a job (fio --help). True: without "=", the next word is the value.
_PROGRAM = {
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
_REFUSED = {
    # These hand the job to another fio, which may not reach the socket of our disk.
    **dict.fromkeys(("server", "client", "daemonize", "remote-config"), _ELSEWHERE),
    "trigger-remote": _ELSEWHERE,
    "profile": "it makes its own jobs, for other engines and disks",
}

Options = dict[str, str | None]


@dataclass(frozen=True)
class FioArguments:
    program: tuple[str, ...]  # passed on to fio
    everywhere: Options  # for every job
    jobs: tuple[tuple[str, Options], ...]  # jobs that begin with --name=

    def applied(self, job: Job) -> Job:
        return job.with_options(self.everywhere).with_sections(self.jobs)


def parse(arguments: Sequence[str]) -> FioArguments:
    program: list[str] = []
    everywhere: Options = {}
    jobs: list[tuple[str, Options]] = []
    waiting = list(arguments)
    while waiting:
        key, value = _take(waiting)
        if key in _PROGRAM:
            program.append(f"--{key}" if value is None else f"--{key}={value}")
        elif key == "name":
            jobs.append((value or "", {}))
        else:
            (jobs[-1][1] if jobs else everywhere)[key] = value
    return FioArguments(tuple(program), everywhere, tuple(jobs))


def _take(waiting: list[str]) -> tuple[str, str | None]:
    """Takes one option, with its value, from the front of the list."""
    word = waiting.pop(0)
    if not word.startswith("-") or not word.strip("-"):
        raise UsageError(
            f"cannot pass {word!r} to fio",
            "it is not an option",
            "name only one job file, and before --",
        )
    key, equals, value = word.lstrip("-").partition("=")
    if key in _REFUSED:
        raise UsageError(f"cannot pass --{key} to fio", _REFUSED[key])
    if equals:
        return key, value
    takes_value = _PROGRAM.get(key, True)
    if takes_value and waiting and not waiting[0].startswith("-"):
        return key, waiting.pop(0)
    return key, None

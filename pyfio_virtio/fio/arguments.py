# SPDX-License-Identifier: GPL-2.0-or-later
"""What users write after `--`: fio's own options, told apart from options of jobs.

fio lets a job file win over options that stand before it on the command line. Here what was typed
last wins: job options are put into the job, `--name=` opens a further job as it does for fio, and
what belongs to the program (--eta, --output ...) is passed on. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pyfio_virtio.errors import UsageError
from pyfio_virtio.fio.job import Job

# Options of the program, not of a job (fio --help); True: a value follows when there is no "=".
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
    # They hand the job to another fio, which has no socket of ours.
    **dict.fromkeys(("server", "client", "daemonize", "remote-config"), _ELSEWHERE),
    "trigger-remote": _ELSEWHERE,
    "profile": "it makes jobs of its own, for other engines and disks",
}

Options = dict[str, str | None]


@dataclass(frozen=True)
class FioArguments:
    program: tuple[str, ...]  # passed on
    everywhere: Options  # hold in every job
    jobs: tuple[tuple[str, Options], ...]  # jobs that --name= opened

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
    """Takes one option, with its value, from the front."""
    word = waiting.pop(0)
    if not word.startswith("-") or not word.strip("-"):
        raise UsageError(
            f"cannot pass {word!r} to fio",
            "it is no option",
            "name one job file, and name it before --",
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

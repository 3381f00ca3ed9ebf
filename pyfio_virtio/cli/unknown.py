# SPDX-License-Identifier: GPL-2.0-or-later
"""What a command says about an option that it does not have.

Most of these are options of fio: in `run` they follow --, and in `sweep` they are values of --set.
The sentence has the command as the user should have typed it. Nothing is started here, except fio
to list its options.
"""

import shlex
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from pathlib import Path

import click

from pyfio_virtio.builds import builds
from pyfio_virtio.errors import MachineError
from pyfio_virtio.fio import arguments, bundled, fio
from pyfio_virtio.fio.job import ALIASES, canonical
from pyfio_virtio.sweep.settings import OWN_OPTIONS as OF_SWEEPS
from pyfio_virtio.tune.setups import OWN_OPTIONS as OF_TUNE

# How similar a name must be to be suggested.
_SIMILAR = 0.75
# Options of other commands with the same meaning.
_SAME = {
    "--backend": ("--socket",),
    "--filename": ("--socket", "--backend"),
    "--size": ("--disk-size",),
    "--job": ("--name",),
}
# By command: fio's options that it sets itself, and the flag to use instead. It takes the other
# options of fio by --set.
_OWN_OPTIONS = {"sweep": OF_SWEEPS, "tune": OF_TUNE}
# What to do instead of an option that one might expect.
_INSTEAD = {
    ("pyfio-virtio run", "--queues"): "each job gets a queue of its own; write: -- --numjobs=N",
}


def explain(error: click.NoSuchOption, typed: Sequence[str]) -> str:
    """A sentence about the option. `typed` are the words after the command's name."""
    if error.ctx is None:
        return error.format_message()
    word = next((each for each in typed if each.startswith(error.option_name)), error.option_name)
    command, path = error.ctx.command, error.ctx.command_path
    what = f"no such option {word.partition('=')[0]}"
    runs = command
    if isinstance(command, click.Group) and error.ctx.parent is None:  # "run" was left out
        runs, typed = command.commands["run"], [each for each in typed if each != "run"]
    if advice := _of_fio(word, runs, typed):
        return f"{what}: {advice}"
    if (path, word.partition("=")[0]) in _INSTEAD:
        return f"{what}: {_INSTEAD[path, word.partition('=')[0]]}"
    near = _nearest(error.option_name, command)
    return f"{what}{f'; did you mean {near}?' if near else ''} (see {path} --help)"


def _of_fio(word: str, command: click.Command, typed: Sequence[str]) -> str:
    """What to do with an option of fio here; "" if fio has no such option."""
    name = _name(word)
    if command.name not in ("run", "sweep", "tune", "verify", "job") or not _is_of_fio(
        name, _of_jobs()
    ):
        return ""
    if command.name == "run":
        return f"it is an option of fio, and those follow --; write: {_corrected(command, typed)}"
    key, value = canonical(name.replace("-", "_")), _value(word, typed)
    if command.name in _OWN_OPTIONS:
        what = "a sweep" if command.name == "sweep" else command.name
        if name in arguments.PROGRAM:
            return f"it is an option of the program fio, and {what} chooses those itself"
        own = _OWN_OPTIONS[command.name].get(key)
        advice = f"use {own}" if own else f"write: --set {shlex.quote(f'{key}={value}')}"
        if own == "":
            return f"it is an option of fio that {what} sets itself"
        return f"it is an option of fio; {advice}"
    if command.name == "verify":
        return (
            "it is an option of fio, and verify does not run fio; "
            f"write: pyfio-virtio run verify -- {shlex.quote(_for_fio(word))}"
        )
    return f"it is an option of fio; add the line {shlex.quote(f'{key}={value}')} to the job file"


def _name(word: str) -> str:
    return word.lstrip("-").partition("=")[0]


def _value(word: str, typed: Sequence[str]) -> str:
    """The value that was typed after "=", or as the next word; fio's flags have none, so "1"."""
    _, equals, value = word.partition("=")
    if equals:
        return value
    rest = list(typed[typed.index(word) + 1 :]) if word in typed else []
    return rest[0] if rest and not rest[0].startswith("-") else "1"


def _of_jobs() -> Collection[str]:
    """fio's options of jobs and those of our engine; none if there is no fio."""
    try:
        found = fio.find()
        ours = builds.options(found)
    except MachineError:
        return frozenset()
    return fio.job_options(found) | ours | frozenset(ALIASES)


def _is_of_fio(name: str, of_jobs: Collection[str]) -> bool:
    return name in arguments.PROGRAM or name.replace("-", "_") in of_jobs


def _corrected(command: click.Command, typed: Sequence[str]) -> str:
    """The command of the user, with fio's options after --."""
    takes_value = {
        flag: not (option.is_flag or option.count)
        for option in command.params
        if isinstance(option, click.Option)
        for flag in (*option.opts, *option.secondary_opts)
    }
    of_jobs = _of_jobs()
    ours: list[str] = []
    theirs: list[str] = []
    waiting = list(typed)
    while waiting:
        word = waiting.pop(0)
        if word == "--":
            theirs += waiting
            break
        flag, equals, _ = word.partition("=")
        is_theirs = (
            word.startswith("-") and flag not in takes_value and _is_of_fio(_name(word), of_jobs)
        )
        place = theirs if is_theirs else ours
        place.append(_for_fio(word) if is_theirs else word)
        has_value = takes_value.get(flag, is_theirs and _may_be_a_value(waiting))
        if has_value and not equals and waiting:
            place.append(waiting.pop(0))
    return f"pyfio-virtio run {shlex.join([*ours, '--', *theirs])}"


def _for_fio(word: str) -> str:
    """The option as fio writes it: with two dashes, and options of jobs with underscores."""
    name, equals, value = word.lstrip("-").partition("=")
    return f"--{name if name in arguments.PROGRAM else name.replace('-', '_')}{equals}{value}"


def _may_be_a_value(waiting: Sequence[str]) -> bool:
    """Whether the next word belongs to an option of fio before it, rather than being a job."""
    if not waiting or waiting[0].startswith("-"):
        return False
    return not Path(waiting[0]).exists() and waiting[0] not in bundled.names()


def _nearest(name: str, command: click.Command) -> str:
    """The option of the command that is the most similar, or that has the same meaning."""
    flags = [
        flag for each in command.params if isinstance(each, click.Option) for flag in each.opts
    ]
    same = [flag for flag in _SAME.get(name, ()) if flag in flags]
    similar = get_close_matches(name, [flag for flag in flags if flag[:2] == "--"], 1, _SIMILAR)
    return (*same, *similar, "")[0]

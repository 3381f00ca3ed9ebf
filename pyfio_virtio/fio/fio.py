# SPDX-License-Identifier: GPL-2.0-or-later
"""fio itself: found, asked for its release, launched, waited for, its output taken apart.

launch() runs in the main thread, since it handles signals. It never edits a job and never
decides what runs: both are given to it.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

from pyfio_virtio.errors import MachineError
from pyfio_virtio.machine import process, signals

# The first whose external engines have the shape that ours is written for.
OLDEST = (3, 30)
# A signal that comes so often is meant: fio is killed.
_PATIENCE = 3
_QUESTION_S = 10
_HOW_TO_INSTALL = "install it (Debian: apt install fio) or name it with --fio"


@dataclass(frozen=True)
class Fio:
    path: str
    release: str  # as `fio --version` says it: "fio-3.33"


def find(program: str = "fio") -> Fio:
    """The fio on the PATH, or the one named."""
    path = shutil.which(program)
    if path is None:
        raise MachineError(f"cannot run {program}", "there is no such program", _HOW_TO_INSTALL)
    release = _ask_release(path)
    version = re.match(r"fio-(\d+)\.(\d+)", release)
    if version is None:
        said = f"--version says {release!r}"
        raise MachineError(f"cannot use {path}", f"it is not fio: {said}", _HOW_TO_INSTALL)
    if (int(version[1]), int(version[2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise MachineError(
            f"cannot use {path}", f"{release} is older than {oldest}", _HOW_TO_INSTALL
        )
    return Fio(path, release)


def _ask_release(path: str) -> str:
    lines = _ask([path, "--version"], {}).stdout.splitlines()
    return lines[0].strip() if lines else ""


def _ask(
    command: Sequence[str], environment: Mapping[str, str]
) -> "subprocess.CompletedProcess[str]":
    """Has fio say something about itself; no job runs."""
    try:
        return subprocess.run(
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environment},
            timeout=_QUESTION_S,
            check=False,
            text=True,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MachineError(
            f"cannot run {' '.join(command)}", str(error), _HOW_TO_INSTALL
        ) from error


def check_release(fio: Fio, engine_release: str) -> None:
    """Refuses a fio that the engine was not built for: their structures differ."""
    if fio.release != engine_release:
        raise MachineError(
            f"cannot load the engine in {fio.path}",
            f"it is {fio.release}, and the engine was built for {engine_release}",
            "build the engine for this fio: make clean && make",
        )


def check_engine_loads(fio: Fio, engine_folder: Path, engine: str) -> None:
    """Has fio load the engine and list its options; the engine refuses a fio with other structures.

    Patches change structures and leave the release's name as it is.
    """
    environment = {"LD_LIBRARY_PATH": library_path(engine_folder)}
    asked = _ask([fio.path, f"--enghelp={engine}"], environment)
    if asked.returncode == 0 and "sleepy_poll" in asked.stdout:
        return
    refusal = re.search(rf"^{engine}: (.*); (.*)$", asked.stderr, re.MULTILINE)
    raise MachineError(
        f"{fio.path} does not load {engine_folder / engine}",
        refusal[1] if refusal else asked.stderr or asked.stdout or "it says nothing",
        refusal[2] if refusal else "build the engine for this fio: make clean && make",
    )


def library_path(engine_folder: Path) -> str:
    """LD_LIBRARY_PATH with which fio finds the engine, keeping what it held."""
    held = os.environ.get("LD_LIBRARY_PATH")
    return f"{engine_folder}:{held}" if held else str(engine_folder)


def command(fio: Fio, job_file: Path, arguments: Sequence[str], as_json: bool) -> list[str]:
    output = ["--output-format=json"] if as_json else []
    return [fio.path, *arguments, *output, str(job_file)]


@dataclass(frozen=True)
class Outcome:
    status: int  # fio's exit status; 128 + the signal's number when one ended it
    output: str  # what it wrote to stdout, when that was captured


def start(
    command: Sequence[str],
    environment: Mapping[str, str],
    death_signal: int,
    output: int | None = None,
    errors: IO[bytes] | None = None,
    folder: Path | None = None,
) -> process.Process:
    """Starts fio, with `environment` added to ours; it leads a process group of its jobs."""
    return process.start(
        command,
        death_signal=death_signal,
        output=output,
        errors=errors,
        environment={**os.environ, **environment},
        folder=folder,
    )


def launch(
    command: Sequence[str], environment: Mapping[str, str], capture: bool = False
) -> Outcome:
    """Runs fio to its end. SIGINT and SIGTERM go to fio, which then ends by itself.

    Should this process be killed, the kernel sends fio SIGTERM. `capture` keeps its stdout,
    which is the terminal's otherwise, for fio's own status line.
    """
    held: list[process.Process] = []
    with _signals_passed_on(held):
        fio = start(command, environment, signal.SIGTERM, subprocess.PIPE if capture else None)
        held.append(fio)
        status, output = process.finish(fio)
    return Outcome(status if status >= 0 else 128 - status, output.decode(errors="replace"))


@contextmanager
def _signals_passed_on(held: Sequence[process.Process]) -> Iterator[None]:
    """fio has a process group of its own, so the terminal's ^C and ^Z reach us alone."""
    received = 0

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal received
        received += 1
        if not held:  # fio is about to start: its parent-death signal ends it with us
            raise SystemExit(128 + number)
        for fio in held:
            # SIGHUP would end fio, but not the processes of its jobs.
            kind = signal.SIGTERM if number == signal.SIGHUP else number
            send_signal(fio, kind if received < _PATIENCE else signal.SIGKILL)

    def pause(number: int, frame: FrameType | None) -> None:
        for fio in held:
            _send_to_group(fio, signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)  # until the shell says fg or bg
        for fio in held:
            _send_to_group(fio, signal.SIGCONT)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {**dict.fromkeys(numbers, pass_on), signal.SIGTSTP: pause}
    with signals.handled(handlers):
        yield


def send_signal(fio: process.Process, number: int) -> None:
    """To fio alone, which tells its jobs; SIGKILL to its whole group, or the jobs would live on."""
    if number == signal.SIGKILL:
        _send_to_group(fio, number)
    elif fio.child is not None:
        fio.child.send_signal(number)  # does nothing once fio was waited for


def _send_to_group(fio: process.Process, number: int) -> None:
    with suppress(ProcessLookupError):  # all of it has ended
        os.killpg(fio.pid, number)


def split_notes(text: str) -> tuple[str, str]:
    """Parts fio's notes, which may stand before and after, from its JSON."""
    json = re.search(r"^\{.*^\}$", text, re.MULTILINE | re.DOTALL)
    if json is None:
        return text, ""
    return text[: json.start()] + text[json.end() :].lstrip("\n"), json[0] + "\n"


def has_option(fio: Fio, name: str) -> bool:
    """Whether fio itself has an option for jobs of this name. --cmdhelp=all leaves some out."""
    return "type:" in _ask([fio.path, f"--cmdhelp={name}"], {}).stdout


def engine_options(fio: Fio, engine_folder: Path, engine: str) -> frozenset[str]:
    """The names of the options that an engine adds to fio's own."""
    environment = {"LD_LIBRARY_PATH": library_path(engine_folder)}
    asked = _ask([fio.path, f"--enghelp={engine}"], environment)
    return frozenset(re.findall(r"^(\w+)\s*:", asked.stdout, re.MULTILINE))


def engines(fio: Fio) -> frozenset[str]:
    """The engines that fio was built with."""
    names = _ask([fio.path, "--enghelp"], {}).stdout.split()
    return frozenset(names[names.index("engines:") + 1 :] if "engines:" in names else ())

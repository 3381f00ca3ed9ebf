# SPDX-License-Identifier: GPL-2.0-or-later
"""The program fio: how it is found, asked for its release and options, started and waited for.

launch() must be called in the main thread, because it handles signals. This module does not edit
jobs and does not decide what is run.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

from pyfio_virtio.errors import MachineError
from pyfio_virtio.fio import linkage
from pyfio_virtio.fio.job import Job
from pyfio_virtio.machine import process, questions, signals

# The oldest release that the engine can be built for; see engine/fio/compat.h.
OLDEST = (3, 28)
# fio is killed when this many signals have come.
_SIGNALS_UNTIL_KILL = 3
_QUESTION_S = 10
_AFTER_A_SIGNAL = 128
# Job options that `fio --cmdhelp=all` leaves out, because they are deprecated or hidden.
_UNLISTED = frozenset(
    (
        *("bs_is_seq_rand", "flow_watermark", "gpu_dev_id", "iomem_align", "mem_align"),
        *("percentage_sequential", "rwmixcycle", "softrandommap", "verify_async_cpus"),
        *("verifysort", "verifysort_nr"),
    )
)
_HOW_TO_INSTALL = "install it (Debian: apt install fio) or name it with --fio"


@dataclass(frozen=True)
class Fio:
    path: str
    release: str  # as `fio --version` prints it: "fio-3.33"


def find(program: str = "fio") -> Fio:
    """Finds `program` in the PATH, or at its path, and checks that it is a fio that we can use."""
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


@dataclass(frozen=True)
class _Answer:
    """What fio said about itself."""

    status: int
    stdout: str
    stderr: str


def _ask(command: Sequence[str], environment: Mapping[str, str]) -> _Answer:
    """Runs fio to ask it about itself. No job runs."""
    said = questions.ask(command, environment, _QUESTION_S, _HOW_TO_INSTALL)
    return _Answer(
        said.status, said.stdout.decode(errors="replace"), said.stderr.decode(errors="replace")
    )


def check_linkage(fio: Fio) -> None:
    """Refuses a fio that can load no engine of ours. It still runs jobs for its own engines."""
    if obstacle := linkage.obstacle(fio.path):
        raise MachineError(
            f"cannot load the engine in {fio.path}", obstacle, "name another fio with --fio"
        )


def check_release(fio: Fio, engine_release: str) -> None:
    """Refuses a fio that the engine was not built for, because their structures may differ."""
    if fio.release != engine_release:
        raise MachineError(
            f"cannot load the engine in {fio.path}",
            f"it is {fio.release}, and the engine was built for {engine_release}",
            _how_to_build(fio),
        )


def check_engine_loads(fio: Fio, engine_folder: Path, engine: str) -> None:
    """Lets fio load the engine and list its options. The engine refuses other structures.

    check_release() is not enough, because a patched fio may have the same release.
    """
    check_linkage(fio)  # a static fio would crash
    environment = {"LD_LIBRARY_PATH": library_path(engine_folder)}
    asked = _ask([fio.path, f"--enghelp={engine}"], environment)
    if asked.status == 0 and "sleepy_poll" in asked.stdout:
        return
    refusal = re.search(rf"^{engine}: (.*); (.*)$", asked.stderr, re.MULTILINE)
    raise MachineError(
        f"{fio.path} does not load {engine_folder / engine}",
        refusal[1] if refusal else asked.stderr or asked.stdout or "it printed nothing",
        refusal[2] if refusal else _how_to_build(fio),
    )


def _how_to_build(fio: Fio) -> str:
    return f"build one for this fio: pyfio-virtio build-engine --fio {shlex.quote(fio.path)}"


def library_path(engine_folder: Path) -> str:
    """The LD_LIBRARY_PATH with which fio finds the engine. It keeps the other folders."""
    held = os.environ.get("LD_LIBRARY_PATH")
    others = held.split(":") if held else []
    return ":".join([str(engine_folder), *(each for each in others if each != str(engine_folder))])


def command(
    fio: Fio, job_files: Sequence[Path], arguments: Sequence[str], as_json: bool
) -> list[str]:
    output = ["--output-format=json"] if as_json else []
    return [fio.path, *arguments, *output, *map(str, job_files)]


@dataclass(frozen=True)
class Outcome:
    status: int  # 0; 1 if a job failed; 128 + the number of the signal that ended it
    killer: int = 0  # the signal that ended it, if nobody asked for that


def start(
    command: Sequence[str],
    environment: Mapping[str, str],
    death_signal: int,
    output: int | None = None,
    errors: IO[bytes] | None = None,
    folder: Path | None = None,
    before: Callable[[process.Process], None] | None = None,
) -> process.Process:
    """Starts fio with `environment` added to ours, in a process group of fio and its jobs.

    `before` is called with it as process.start() says.
    """
    return process.start(
        command,
        death_signal=death_signal,
        output=output,
        errors=errors,
        environment={**os.environ, **environment},
        folder=folder,
        before=before,
    )


def launch(
    command: Sequence[str],
    environment: Mapping[str, str],
    show: Callable[[bytes], None] | None = None,
) -> Outcome:
    """Runs fio to its end. SIGINT and SIGTERM are passed on to fio, which then ends by itself.

    If this process is killed, the kernel sends SIGTERM to fio. `show` gets the stdout of fio piece
    by piece, because fio itself would not notice if it cannot be written. Without it, fio's stdout
    is ours, so that fio can show its status line in the terminal.
    """
    held: list[process.Process] = []
    with _signals_passed_on(held) as received:
        # A signal may come at once, so fio is held before it runs.
        output = subprocess.PIPE if show else None
        fio = start(command, environment, signal.SIGTERM, output, before=held.append)
        if show:
            _relay(fio, show)
        status = process.finish(fio)
    killer = -status if status < 0 and not received else 0
    return Outcome(_exit_status(status, received), killer)


def _relay(fio: process.Process, show: Callable[[bytes], None]) -> None:
    """Passes on what fio prints. If that fails, fio ends first."""
    try:
        for piece in process.pieces(fio):
            show(piece)
    except OSError:
        send_signal(fio, signal.SIGTERM)
        for _ in process.pieces(fio):
            pass  # otherwise fio would wait until somebody reads
        process.finish(fio)
        raise


def ending(status: int) -> str:
    """How fio ended, in words."""
    if status >= 0:
        return f"fio ended with status {status}"
    return f"fio was ended by signal {-status} ({signal.strsignal(-status)})"


def _exit_status(status: int, received: Sequence[int]) -> int:
    """fio's own status is the number of jobs that failed, or 128 after a signal."""
    if status < 0:
        return 128 - status
    if status == _AFTER_A_SIGNAL:
        return 128 + (received[0] if received else 0)
    return min(status, 1)


@contextmanager
def _signals_passed_on(held: Sequence[process.Process]) -> Iterator[Sequence[int]]:
    """Passes signals on to fio, because the terminal's ^C and ^Z do not reach its group.

    Gives the numbers of those that came.
    """
    received: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if not held:  # fio is about to start; its parent-death signal ends it with us
            raise SystemExit(128 + number)
        for fio in held:
            # SIGHUP would end fio, but not the processes of its jobs.
            kind = signal.SIGTERM if number == signal.SIGHUP else number
            send_signal(fio, kind if len(received) < _SIGNALS_UNTIL_KILL else signal.SIGKILL)

    def pause(number: int, frame: FrameType | None) -> None:
        for fio in held:
            _send_to_group(fio, signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)  # until the shell continues us (fg or bg)
        for fio in held:
            _send_to_group(fio, signal.SIGCONT)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {**dict.fromkeys(numbers, pass_on), signal.SIGTSTP: pause}
    with signals.handled(handlers):
        yield received


def send_signal(fio: process.Process, number: int) -> None:
    """Sends a signal to fio, which ends its jobs. SIGKILL goes to the whole process group, because
    fio could not end its jobs any more."""
    if number == signal.SIGKILL:
        _send_to_group(fio, number)
    elif fio.child is not None:
        fio.child.send_signal(number)  # does nothing if fio was waited for


def _send_to_group(fio: process.Process, number: int) -> None:
    with suppress(ProcessLookupError):  # every process of the group has ended
        os.killpg(fio.pid, number)


def parsed(
    fio: Fio, jobs: Sequence[Job], arguments: Sequence[str], engine_folder: Path
) -> list[str]:
    """What fio says about the options of job files that it only parses, for each file.

    `arguments` are options of the program. Empty if fio refuses a job.
    """
    said: list[str] = []
    environment = {"LD_LIBRARY_PATH": library_path(engine_folder)}
    for each in jobs:
        # fio takes --section for the first file only.
        sections = [word for word in arguments if word.startswith("--section=") and not said]
        asked = parse_only(fio, each.to_bytes(), sections, environment)
        if asked.status:
            return []
        said.append(asked.stdout.decode("utf-8", "surrogateescape"))
    return said


def parse_only(
    fio: Fio, text: bytes, arguments: Sequence[str], environment: Mapping[str, str]
) -> questions.Answer:
    """Lets fio parse the text of a job file, and tell what it reads.

    fio does not open disks or run commands then, but it loads the engines that the jobs choose.
    """
    command = [fio.path, "--parse-only", "--debug=parse", *arguments, "-"]
    return questions.ask(command, environment, _QUESTION_S, _HOW_TO_INSTALL, text)


def split_notes(text: str) -> tuple[str, str]:
    """Separates fio's notes, which may stand before and after its JSON, from the JSON."""
    json = re.search(r"^\{.*^\}$", text, re.MULTILINE | re.DOTALL)
    if json is None:
        return text, ""
    return text[: json.start()] + text[json.end() :].lstrip("\n"), json[0] + "\n"


def has_option(fio: Fio, name: str) -> bool:
    """Whether fio itself has this job option. (--cmdhelp=all does not list every option.)"""
    return "type:" in _ask([fio.path, f"--cmdhelp={name}"], {}).stdout


def job_options(fio: Fio) -> frozenset[str]:
    """The names of fio's own job options. Second names are among them if fio lists them."""
    asked = _ask([fio.path, "--cmdhelp=all"], {})
    return frozenset(re.findall(r"^ *([\w-]+) *:", asked.stdout, re.MULTILINE)) | _UNLISTED


def engine_options(fio: Fio, engine_folder: Path | None, engine: str) -> frozenset[str]:
    """The names of the options that an engine adds. External ones lie in the folder."""
    environment = {"LD_LIBRARY_PATH": library_path(engine_folder)} if engine_folder else {}
    asked = _ask([fio.path, f"--enghelp={engine}"], environment)
    return frozenset(re.findall(r"^(\w+)\s*:", asked.stdout, re.MULTILINE))


def engines(fio: Fio) -> frozenset[str]:
    """The engines that fio was built with."""
    names = _ask([fio.path, "--enghelp"], {}).stdout.split()
    return frozenset(names[names.index("engines:") + 1 :] if "engines:" in names else ())

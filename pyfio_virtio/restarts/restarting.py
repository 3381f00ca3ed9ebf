# SPDX-License-Identifier: GPL-2.0-or-later
"""How the back-end is restarted: our own is killed and started again, another one by a command.

Owns the back-end that is started for the test, and the memory of its disk, which outlives it.
Called from the main thread, because the back-end ends together with the thread that started it.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGKILL
from typing import IO, Protocol

from pyfio_virtio import files
from pyfio_virtio.backends import backends, command_lines
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.errors import PyfioVirtioError, UsageError
from pyfio_virtio.machine import folders, process

_SOCKET, _LOG, _DISK = "disk.sock", "backend.log", "disk"
_LAST_LETTERS = 200
# What a command prints is cut to nothing when it is longer. It is looked at so often.
_MOST_LOG_BYTES, _LOOK_S = 1 << 20, 0.05


class Way(Protocol):
    """A disk, and how its back-end is restarted."""

    @property
    def socket(self) -> str: ...

    def restart(self) -> None:
        """Returns when the new back-end serves the socket, or will soon. Raises if it will not."""


class OwnBackend:
    """A back-end that is started here. It is killed as a crash would end it."""

    def __init__(
        self, spec: BackendSpec, folder: Path, down_for_s: float, tell: Callable[[str], None] | None
    ) -> None:
        self.socket = str(folder / _SOCKET)
        self._spec, self._log, self._down_for_s = spec, str(folder / _LOG), down_for_s
        self._backend = backends.start(spec, self.socket, self._log, tell=tell)

    def restart(self) -> None:
        if not self._backend.is_running():
            raise PyfioVirtioError("the back-end ended by itself", self._backend.last_words())
        self._backend.process.end(grace_s=0)
        self.stop()
        time.sleep(self._down_for_s)
        self._backend = backends.start(self._spec, self.socket, self._log)

    def stop(self) -> None:
        self._backend.stop()


@contextmanager
def own_backend(
    spec: BackendSpec, down_for_s: float, tell: Callable[[str], None]
) -> Iterator[OwnBackend]:
    """Starts it, and stops it at the end. Storage `memory` is a file in memory, which stays while
    the back-end is away. check() must have accepted the specification."""
    folder = folders.run_folder_path()
    with folders.run_folder(folder), _kept(spec):
        placed = _placed(spec)
        if not spec.file and (unfilled := placed.unfilled()):
            tell(unfilled)
        own = OwnBackend(placed, folder, down_for_s, tell if spec.file else None)
        try:
            yield own
        finally:
            own.stop()


def dry_command(spec: BackendSpec) -> str:
    return command_lines.dry_command(_placed(spec), str(folders.run_folder_path() / _SOCKET))


def _memory() -> Path:
    """The folder of a disk in memory."""
    return folders.run_folder_path(folders.memory_folder())


def _placed(spec: BackendSpec) -> BackendSpec:
    if spec.file:
        return spec
    kind = "memory" if spec.kind == "builtin" else "file"
    return replace(spec, storage=f"{kind}:{_memory() / _DISK}")


def _kept(spec: BackendSpec) -> AbstractContextManager[None]:
    return nullcontext() if spec.file else folders.run_folder(_memory())


def check(spec: BackendSpec) -> None:
    """Refuses a disk that cannot be tested."""
    spec.check()
    if spec.storage == "null":
        raise UsageError(
            "cannot test storage null", "it keeps no data", "use --storage memory or file:PATH"
        )
    if spec.read_only:
        raise UsageError("cannot test a disk that is read-only", "the test writes to it")


@dataclass(frozen=True)
class Command:
    """Somebody else's back-end, which a command of the user restarts."""

    socket: str
    command: str
    limit_s: float

    def restart(self) -> None:
        folder = folders.run_folder_path()
        with folders.run_folder(folder):
            self._run(folder / _LOG)

    def _run(self, log: Path) -> None:
        # What it prints goes to a file: a back-end that it starts may inherit that, and a pipe
        # would stay open then.
        with log.open("ab") as output:
            started = process.start(
                ("sh", "-c", self.command),
                death_signal=SIGKILL,
                output=output,
                errors=subprocess.STDOUT,
            )
            try:
                self._wait(started, output)
            except BaseException:
                started.end()
                raise
        status = process.finish(started)
        if status:
            raise PyfioVirtioError(
                f"the command {self.command!r} failed with status {status}", _last_line(log)
            )

    def _wait(self, started: process.Process, output: IO[bytes]) -> None:
        deadline = time.monotonic() + self.limit_s
        while not started.wait(min(_LOOK_S, self.limit_s)):
            if os.fstat(output.fileno()).st_size > _MOST_LOG_BYTES:
                os.ftruncate(output.fileno(), 0)  # it would fill the disk
            if time.monotonic() >= deadline:
                raise PyfioVirtioError(
                    f"the command {self.command!r} did not return within {self.limit_s:g} s "
                    "(--reconnect-timeout)",
                    "",
                    "it must return when the restart is under way, so end it with & if it serves",
                )


def _last_line(log: Path) -> str:
    with suppress(OSError):
        lines = files.read_text(log).strip().splitlines()
        last = lines[-1] if lines else ""
        return "".join(each for each in last if each.isprintable())[:_LAST_LETTERS]
    return ""

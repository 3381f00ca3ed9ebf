# SPDX-License-Identifier: GPL-2.0-or-later
"""What a session has started on this host: a disk, and one fio server after the other.

Owns the session's private folder and all processes below the session. The disk is made in a thread
of its own, because that may take long. Used by the loop of a session, in one thread.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pyfio_virtio.backends import backends, unix_sockets, writers
from pyfio_virtio.backends.backends import Backend
from pyfio_virtio.builds import builds
from pyfio_virtio.engine import engine
from pyfio_virtio.errors import PyfioVirtioError, UsageError
from pyfio_virtio.fio import fio, together
from pyfio_virtio.fio.fio import Fio
from pyfio_virtio.hosts.asked import SCRATCH_NAME, Asked, permitted
from pyfio_virtio.hosts.background import Background
from pyfio_virtio.hosts.fio_server import FioServer
from pyfio_virtio.hosts.stream import Stream
from pyfio_virtio.machine import descendants
from pyfio_virtio.machine.folders import open_plain

# The name of the disk in the folder in which fio runs.
DISK = "disk.sock"
COUNTERS = "counters.jsonl"


@dataclass(frozen=True)
class Ready:
    """A disk that can be used: of a back-end that was started, at a socket, or none."""

    asked: Asked
    backend: Backend | None = None

    @property
    def socket(self) -> str:
        return self.backend.socket if self.backend else self.asked.socket


class Work:
    def __init__(self, program: Fio, allowed: tuple[Path, ...], folder: Path) -> None:
        self._program, self._allowed, self._folder = program, allowed, folder
        # A fio without an engine of ours is not refused: it runs jobs for fio's own engines.
        library = builds.known(program) or engine.folder()
        self._environment = {"LD_LIBRARY_PATH": fio.library_path(library)}
        self.making: Background[Ready] = Background()
        self.ready: Ready | None = None
        self.stream: Stream | None = None

    @property
    def of_fio(self) -> Path:
        """The folder in which fio runs."""
        return self._folder / "fio"

    # ---- the disk ----

    def prepare(self, asked: Asked, queues_for: bytes | None = None) -> None:
        """Begins to make a disk; making.fileno() tells its end, and take_ready() has it.

        With `queues_for`, the text of a job, the back-end gets as many queues as the job needs.
        """
        if self.ready is not None or self.making.is_busy:
            raise PyfioVirtioError(
                "cannot prepare a disk", "this session has one already", "release it first"
            )
        asked = permitted(asked, self._allowed, self._folder)
        if asked.socket:
            unix_sockets.check_present(asked.socket)
        if asked.spec and asked.spec.file:
            writers.check(asked.spec.file, asked.spec.read_only)
        self.making.begin(self._maker(asked, queues_for))

    def _maker(self, asked: Asked, queues_for: bytes | None) -> Callable[[], Ready]:
        def make() -> Ready:
            spec = asked.spec
            if spec is None:
                return Ready(asked)
            if queues_for is not None:
                spec = replace(spec, queues=max(spec.queues, self._queues(queues_for)))
            socket, log = self._folder / DISK, self._folder / "backend.log"
            return Ready(Asked(spec), backends.start(spec, str(socket), str(log)))

        return make

    def _queues(self, job: bytes) -> int:
        """How many queues a job needs at the same time; 1 if fio does not take it, and says why."""
        said = fio.parse_only(self._program, job, [], self._environment)
        if said.status:
            return 1
        return together.most_at_once(together.read([said.stdout.decode(errors="replace")]))

    def take_ready(self) -> Ready:
        """The disk whose making has ended. Raises what went wrong."""
        self.ready = self.making.result()
        return self.ready

    def died(self) -> str:
        """The last words of the back-end, if it ended by itself; else ""."""
        backend = self.ready.backend if self.ready else None
        if backend is None or backend.is_running():
            return ""
        return backend.last_words() or "it said nothing"

    # ---- fio ----

    def begin_stream(self) -> Stream:
        """Starts a fio server in a folder that has only the disk."""
        if self.ready is None:
            raise PyfioVirtioError("cannot start fio", "no disk is prepared", "prepare one first")
        shutil.rmtree(self.of_fio, ignore_errors=True)
        self.of_fio.mkdir(mode=0o700)
        if self.ready.socket:
            (self.of_fio / DISK).symlink_to(self.ready.socket)
        server = FioServer(self._program, self.of_fio, self._environment)
        backend = self.ready.backend
        self.stream = Stream(server, backend.process.pid if backend else None)
        return self.stream

    def end_stream(self) -> str:
        """Ends fio and its jobs. Returns fio's last words."""
        if self.stream is None or self.stream.end_ns:
            return ""
        backend = self.ready.backend if self.ready else None
        return self.stream.end((backend.process.pid,) if backend else ())

    def counters(self, most_bytes: int) -> bytes:
        """What the engine counted, in the file of which the job knows."""
        try:
            file = open_plain(self.of_fio / COUNTERS)  # the job chose what kind of file it is
        except OSError:
            return b""
        with file:
            counted = file.read(most_bytes + 1)
        if len(counted) > most_bytes:
            raise UsageError(
                "cannot send the counters",
                f"they have more than {most_bytes} bytes",
                "use fewer jobs or files, or leave histograms out",
            )
        return counted

    # ---- the end ----

    def release(self) -> None:
        """Ends fio and the back-end, and removes their files."""
        self.end_stream()
        self.stream = None
        if self.ready and self.ready.backend:
            self.ready.backend.stop()
        self.ready = None
        for name in ("fio", "backend.log", SCRATCH_NAME):
            path = self._folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def end(self) -> None:
        """Ends everything, also a disk that is being made. The folder is removed by its owner."""
        backend = self.ready.backend if self.ready else None
        descendants.end_all((backend.process.pid,) if backend else ())
        if backend:
            backend.stop()

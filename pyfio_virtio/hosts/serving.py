# SPDX-License-Identifier: GPL-2.0-or-later
"""Serves others: accepts connections, and forks one session process for each.

Owns the listening socket, the limit of sessions, and what a session leaves behind if it is killed.
A fork is ready some milliseconds after the connection, where a new Python takes a third of a
second, so that connections without a sense cost little. This process has one thread, and starts
nothing but sessions. Called from the main thread.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket as socket_module
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from pyfio_virtio.builds import builds
from pyfio_virtio.engine import engine
from pyfio_virtio.errors import PyfioVirtioError, UsageError
from pyfio_virtio.fio import fio
from pyfio_virtio.fio.fio import Fio
from pyfio_virtio.hosts import addresses, fio_server, session
from pyfio_virtio.hosts.addresses import Address
from pyfio_virtio.hosts.hall import Hall
from pyfio_virtio.machine import descendants, folders, signals

# How many clients more than allowed are told so at the same time.
_REFUSED_AT_ONCE = 8
_TURN_S = 0.1
_ENDING_S = 10.0


def default_address() -> Address:
    """The socket in this user's private folder."""
    return Address(path=str(folders.state_folder() / "serve.sock"))


@contextmanager
def listening(address: Address) -> Iterator[socket_module.socket]:
    """Listens at the address. At the default one, a socket that was left over is replaced."""
    if not address.path:
        with addresses.listen(address) as listener:
            yield listener
        return
    claimed = _claimed() if address == default_address() else None
    try:
        if claimed is not None:
            Path(address.path).unlink(missing_ok=True)
        with addresses.listen(address) as listener:
            made = Path(address.path).lstat()
            try:
                yield listener
            finally:
                with suppress(OSError):
                    if os.path.samestat(Path(address.path).lstat(), made):
                        Path(address.path).unlink()
    finally:
        if claimed is not None:
            shutil.rmtree(_claim_path(), ignore_errors=True)
            os.close(claimed)


def _claim_path() -> Path:
    return folders.state_folder() / "serving"


def _claimed() -> int:
    """Makes sure that no other process of this user serves at the default address."""
    folders.make_state_folder()
    claimed = folders.claim(_claim_path())
    if claimed is None:
        raise UsageError(
            f"cannot listen on {default_address()}",
            "another pyfio-virtio serve of this user does",
            "choose another address with --listen",
        )
    return claimed


def look_at_fio(program: str, tell: Callable[[str], None] | None = None) -> tuple[Fio, str, str]:
    """The fio that will run jobs, the engine's version, and why that fio does not load it.

    With `tell`, an engine that is missing is built.
    """
    found = fio.find(program)
    try:
        builds.folder(found, tell)
    except PyfioVirtioError as error:
        return found, "", str(error)
    return found, engine.version(), ""


def learned_protocol(found: Fio, folder: Path) -> int:
    """The version of fio's protocol. `folder` is that of the sessions."""
    probing = folders.run_folder_path(folder)
    with folders.run_folder(probing):
        fio_server.check_path(probing)
        return fio_server.protocol_of(found, probing)


def serve(listener: socket_module.socket, here: Hall, most: int) -> NoReturn:
    """Serves until a signal comes, which is raised again when all sessions have ended."""
    sessions: set[int] = set()
    descendants.adopt()
    listener.setblocking(False)
    poll = select.poll()
    with signals.ending_tidily():
        try:
            while True:
                has_room = len(sessions) < most + _REFUSED_AT_ONCE
                poll.register(listener, select.POLLIN if has_room else 0)
                if poll.poll(_TURN_S * 1000) and has_room:
                    _accept(listener, here, sessions, most)
                _bury(sessions, here)
        finally:
            _end(sessions, here)


def _accept(listener: socket_module.socket, here: Hall, sessions: set[int], most: int) -> None:
    try:
        connected, _ = listener.accept()
    except OSError:  # the client has left already, or there are no descriptors left
        time.sleep(_TURN_S)
        return
    # A signal between the fork and the note of its number would leave the session unknown.
    with connected, signals.held():
        try:
            pid = os.fork()
        except OSError:  # there are no processes left
            time.sleep(_TURN_S)
            return
        if pid == 0:
            listener.close()
            _run_session(connected, here, is_full=len(sessions) >= most)
        sessions.add(pid)


def _run_session(connected: socket_module.socket, here: Hall, *, is_full: bool) -> NoReturn:
    """The whole life of a session's process."""
    status = 1
    try:
        os.setpgid(0, 0)  # ^C in the terminal is for serve, which ends its sessions
        session.run(connected, here, is_full=is_full)
        status = 0
    except PyfioVirtioError as error:
        here.tell(f"a session failed: {error}")
    except Exception as error:
        here.tell(f"a session failed: {type(error).__name__}: {error}")
    finally:
        with suppress(Exception):
            sys.stderr.flush()
        os._exit(status)


def _bury(sessions: set[int], here: Hall) -> None:
    """Waits for sessions that have ended. What a killed one left behind has become our child."""
    ended = set()
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended.add(found[0])
            if found[0] in sessions and os.WIFSIGNALED(found[1]):
                number = os.WTERMSIG(found[1])
                here.tell(f"a session was ended by signal {number} ({signal.strsignal(number)})")
    if ended & sessions:
        sessions -= ended
        descendants.end_all(sessions)
        folders.remove_stale_run_folders(here.folder)


def _end(sessions: set[int], here: Hall) -> None:
    """Ends all sessions. Each has time to end its back-end tidily."""
    deadline = time.monotonic() + _ENDING_S
    while sessions and time.monotonic() < deadline:
        for pid in sessions:  # again and again, because a new one does not handle the signal yet
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        time.sleep(0.01)
        _bury(sessions, here)
    descendants.end_all()
    folders.remove_stale_run_folders(here.folder)

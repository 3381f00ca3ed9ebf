# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts the threads that are in a call on a C object, and frees the object after the last.

`with gate:` surrounds each call. shut() refuses further calls and ends the calls that wait. The
last thread that leaves frees the object; if there is none, shut() frees it at once. So no thread
uses freed memory. A signal handler may shut a gate while its own thread is in a call, and does not
wait for that call. An object that was made before a fork belongs to the parent, and the child does
not touch it.
"""

import errno
import os
import threading
from types import TracebackType

from pyfio_virtio.errors import DiskError

_forks = 0  # the forks between the first process that imported this module and this process


def _note_fork() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_note_fork)


def fork_count() -> int:
    """A number that differs between a process and its children."""
    return _forks


class Gate:
    """A base class of the object's owner, because a separate gate would make a reference cycle."""

    refusal = ""  # the error of calls after shut()

    def __init__(self) -> None:
        self._made_at = _forks
        self._lock = threading.RLock()  # guards the fields below
        self._changed = threading.Condition(self._lock)
        self._inside: list[int] = []  # the threads that are in a call
        self._is_shut = False
        # The thread that frees the object or has freed it: at most one entry. It is a dict because
        # setdefault() is one call, which a signal handler cannot interrupt.
        self._freer: dict[str, tuple[int, object]] = {}
        self._is_freed = False

    def interrupt(self) -> None:
        """Ends the calls that wait. The gate is locked, so this must not wait."""

    def free(self) -> None:
        """Frees the object. Called once, when no thread is in a call any more."""

    def __enter__(self) -> None:
        if self._made_at != _forks:
            raise DiskError(
                errno.EBADF, "another process opened this disk: open it again in this process"
            )
        with self._lock:
            # The thread enters before it checks: a signal handler may shut the gate at any step.
            self._inside.append(threading.get_ident())
            is_shut = self._is_shut
        if is_shut:
            self.__exit__(None, None, None)
            raise DiskError(errno.EBADF, self.refusal)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._inside.remove(threading.get_ident())
            is_last = self._is_shut and self._is_last()
        if is_last:
            self._end()

    def shut(self) -> None:
        """Shuts the gate. Returns when the object is freed, unless that depends on this thread."""
        if self._made_at != _forks:
            return
        with self._lock:
            self._is_shut = True
            is_last = self._is_last()
            if not self._freer:
                self.interrupt()
        if is_last:
            self._end()
        with self._lock:
            self._changed.wait_for(self._need_not_wait)

    def _is_last(self) -> bool:
        """Whether the calling thread must free the object now. The gate must be shut."""
        mine = (threading.get_ident(), object())
        return not self._inside and self._freer.setdefault("it", mine) is mine

    def _end(self) -> None:
        try:
            self.free()
        finally:
            with self._lock:
                self._is_freed = True
                self._changed.notify_all()

    def _need_not_wait(self) -> bool:
        me = threading.get_ident()
        freer = self._freer.get("it", (None, None))[0]
        return self._is_freed or me in self._inside or me == freer

# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is in a call on something of C's, and when it can be freed.

`with gate:` surrounds each call. Shutting the gate lets nobody in any more and ends the calls that
wait; what the gate guards is freed by the last to leave, or at once. So no thread meets freed
memory, and a thread that shuts a gate from within one of its own calls, as a signal handler does,
does not wait for itself. What was made before a fork belongs to the parent, and is left alone in
the child.
"""

import errno
import os
import threading
from types import TracebackType

from pyfio_virtio.errors import DiskError

_forks = 0  # since this process's first ancestor that imported this


def _note_fork() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_note_fork)


def fork_count() -> int:
    """It differs between a process and its children."""
    return _forks


class Gate:
    """A base class, so that what it guards and the gate are no cycle of references."""

    refusal = ""  # for those who come too late

    def __init__(self) -> None:
        self._made_at = _forks
        self._lock = threading.RLock()  # guards what follows
        self._changed = threading.Condition(self._lock)
        self._inside: list[int] = []  # threads
        self._is_shut = False
        # The thread that frees it, or did; at most one entry. A single call to add it, which no
        # signal handler can interrupt.
        self._freer: dict[str, tuple[int, object]] = {}
        self._is_freed = False

    def interrupt(self) -> None:
        """Ends calls that wait. The gate is locked: it waits for nobody."""

    def free(self) -> None:
        """Called once, when nobody is in a call any more."""

    def __enter__(self) -> None:
        if self._made_at != _forks:
            raise DiskError(errno.EBADF, "another process opened this disk: open it anew")
        with self._lock:
            # First in, then a look: a signal handler may shut it at any step.
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
        """Returns once it is freed, if that does not depend on the calling thread."""
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
        """Whether the calling thread is to free it, once it is shut."""
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

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
        self._freed_by: int | None = None  # the thread that frees it, or did
        self._is_freed = False

    def interrupt(self) -> None:
        """Ends calls that wait. The gate is locked: it waits for nobody."""

    def free(self) -> None:
        """Called once, when nobody is in a call any more."""

    def __enter__(self) -> None:
        if self._made_at != _forks:
            raise DiskError(errno.EBADF, "another process opened this disk: open it anew")
        with self._lock:
            if self._is_shut:
                raise DiskError(errno.EBADF, self.refusal)
            self._inside.append(threading.get_ident())

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
            if self._freed_by is None:
                self.interrupt()
        if is_last:
            self._end()
        with self._lock:
            self._changed.wait_for(self._need_not_wait)

    def _is_last(self) -> bool:
        """Whether the calling thread is to free it, once it is shut."""
        if self._inside or self._freed_by is not None:
            return False
        self._freed_by = threading.get_ident()
        return True

    def _end(self) -> None:
        self.free()
        with self._lock:
            self._is_freed = True
            self._changed.notify_all()

    def _need_not_wait(self) -> bool:
        me = threading.get_ident()
        return self._is_freed or me in self._inside or me == self._freed_by

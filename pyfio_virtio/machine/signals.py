# SPDX-License-Identifier: GPL-2.0-or-later
"""Sets signal handlers, or delays signals, for the duration of a block.

Owns how handlers are set and how the former ones are put back. Called from the main thread,
because only that thread may set handlers; held() does nothing in another one. It sends no signals,
except those that were delayed.
"""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from types import FrameType

# What ends a command: ^C, and what is treated like it.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_NOTICED_S = 0.2

Handler = Callable[[int, FrameType | None], None]


class Interrupted(KeyboardInterrupt):
    """A signal that ends the process, as ^C does."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__()
        self.number = number


def exit_status(ending: BaseException) -> int:
    """What a shell says of a process that the signal ended: 130 after ^C."""
    number = ending.number if isinstance(ending, Interrupted) else signal.SIGINT
    return 128 + number


@contextmanager
def handled(handlers: Mapping[signal.Signals, Handler]) -> Iterator[None]:
    """Each signal calls its handler in the block. The former handlers are put back at the end.

    SIGHUP stays ignored if it is, because nohup(1) was asked for that.
    """
    is_kept = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    chosen = {n: each for n, each in handlers.items() if n != signal.SIGHUP or not is_kept}
    before = {number: signal.signal(number, handler) for number, handler in chosen.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def ending_tidily(
    exception_for: Callable[[int], BaseException] = Interrupted,
) -> Iterator[None]:
    """SIGTERM and SIGHUP raise an exception, so that every `finally` runs before the end."""

    def end(number: int, frame: FrameType | None) -> None:
        raise exception_for(number)

    with handled({signal.SIGTERM: end, signal.SIGHUP: end}):
        yield


@contextmanager
def held() -> Iterator[None]:
    """Delays ^C and the like to the end of the block, in which a child is started.

    The new child is not known before that. Python ignores an exception of a handler that runs
    during its own work before and after a fork. Blocking the signals would not help, because
    another thread may receive them, and the handlers run in the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handlers = {number: signal.getsignal(number) for number in _ENDING}
    # Ignored signals stay ignored, because the child must inherit that.
    held = {number: each for number, each in handlers.items() if each not in (None, signal.SIG_IGN)}
    for number in held:
        signal.signal(number, lambda which, frame: came.append(which))
    try:
        yield
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
        for each in came:
            signal.raise_signal(each)


@contextmanager
def held_from_threads() -> Iterator[None]:
    """The same for a block in which threads are started, which take no such signal.

    In the middle of Thread.start() it would break the locks with which Python starts a thread. If
    another thread took it, the main thread would not stop waiting.
    """
    with held():
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def wait(ended: SimpleQueue[None]) -> None:
    """Waits for an item, and notices ^C soon.

    A signal that comes just before the kernel begins to wait does not end that wait, and Python
    runs the handler only after it. So each wait is short.
    """
    while True:
        with suppress(Empty):
            return ended.get(timeout=_NOTICED_S)

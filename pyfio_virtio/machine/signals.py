# SPDX-License-Identifier: GPL-2.0-or-later
"""Sets signal handlers for the duration of a block.

Owns how handlers are set and how the former ones are put back. Called from the main thread,
because only that thread may set handlers. It does not send signals.
"""

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

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

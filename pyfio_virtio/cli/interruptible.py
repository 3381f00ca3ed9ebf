# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls of the engine that ^C ends at once.

Python raises KeyboardInterrupt only after such a call has returned, and a call that connects to a
back-end that hangs takes seconds. Called from the main thread.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

from pyfio_virtio.machine import signals

T = TypeVar("T")


def interruptible(call: Callable[[], T]) -> T:
    """Makes the call in another thread. After ^C that thread is left alone until the process ends,
    so the command must end then.
    """
    results: list[T] = []
    failures: list[BaseException] = []
    ended: SimpleQueue[None] = SimpleQueue()

    def make() -> None:
        try:
            results.append(call())
        except BaseException as failure:  # it is raised again below
            failures.append(failure)
        finally:
            ended.put(None)

    thread = threading.Thread(target=make, daemon=True)
    with signals.held_from_threads():
        thread.start()
    signals.wait(ended)
    for failure in failures:
        raise failure
    return results[0]

# SPDX-License-Identifier: GPL-2.0-or-later
"""The exceptions of this package. Each carries one sentence for the user.

Every room raises them; cli/main.py alone turns them into a line on stderr and an exit status.
Nothing is printed here.
"""

import errno
from collections.abc import Collection
from difflib import get_close_matches


class PyfioVirtioError(Exception):
    """A failure: what failed (with the path or value), why, and what to do next."""

    exit_status = 1

    def __init__(self, what: str, why: str = "", next_step: str = "") -> None:
        super().__init__(what, why, next_step)
        self.what = what
        self.why = why
        self.next_step = next_step

    def __str__(self) -> str:
        sentence = f"{self.what}: {self.why}" if self.why else self.what
        if self.next_step:
            sentence += f"; {self.next_step}"
        return " ".join(sentence.split())


class UsageError(PyfioVirtioError):
    """An option or a file of the user asks for something that cannot be done."""

    exit_status = 2


class DiskError(PyfioVirtioError, OSError):
    """A failure of the engine or of a disk, with the engine's sentence and errno.

    With ETIMEDOUT it is a TimeoutError too, as Python's OSError is.
    """

    def __new__(cls, code: int, sentence: str) -> "DiskError":
        is_timeout = cls is DiskError and code == errno.ETIMEDOUT
        return super().__new__(DiskTimeoutError if is_timeout else cls, sentence)

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.errno = code


class DiskTimeoutError(DiskError, TimeoutError):
    """A back-end that took too long, or an operation that was cancelled."""


class MachineError(PyfioVirtioError):
    """The machine lacks something: a program, the engine, a folder that can be written."""

    exit_status = 3


def did_you_mean(word: str, known: Collection[str], similarity: float = 0.6) -> str:
    """The question with the most similar known word, to begin a next step; empty if none is."""
    near = get_close_matches(word, known, 1, similarity)
    return f"did you mean {near[0]}? " if near else ""

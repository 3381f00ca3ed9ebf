# SPDX-License-Identifier: GPL-2.0-or-later
"""The exceptions of this package. Each carries one sentence for the user.

Every room raises them; cli/main.py alone turns them into a line on stderr and an exit status.
Nothing is printed here.
"""

import errno
from collections.abc import Collection
from difflib import get_close_matches
from functools import cache
from typing import Self, cast


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

    It is also the subclass of OSError that Python has for the errno: TimeoutError for ETIMEDOUT,
    FileNotFoundError for ENOENT, PermissionError for EACCES, and so on.
    """

    def __new__(cls, code: int, sentence: str) -> Self:
        chosen = _for_errno(code) if cls is DiskError else cls
        # OSError takes the errno and the sentence from the arguments.
        return super().__new__(cast("type[Self]", chosen), code, sentence)

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)

    def __reduce__(self) -> tuple[object, ...]:
        """For pickle, which finds DiskError by its name, but not the classes of _for_errno()."""
        return DiskError, self.args


@cache
def _for_errno(code: int) -> type[DiskError]:
    """A class that is both DiskError and Python's own for this errno."""
    python = type(OSError(code, ""))
    if python is OSError:
        return DiskError
    return type(f"Disk{python.__name__}", (DiskError, python), {})


class ArgumentError(UsageError, DiskError, ValueError):
    """A value that a call on a disk does not accept. Its errno is EINVAL."""

    def __new__(cls, sentence: str) -> Self:
        return super().__new__(cls, errno.EINVAL, sentence)

    def __init__(self, sentence: str) -> None:
        DiskError.__init__(self, errno.EINVAL, sentence)

    def __reduce__(self) -> tuple[object, ...]:
        return ArgumentError, (self.what,)


class MachineError(PyfioVirtioError):
    """The machine lacks something: a program, the engine, a folder that can be written."""

    exit_status = 3


def did_you_mean(word: str, known: Collection[str], similarity: float = 0.6) -> str:
    """The question with the most similar known word, to begin a next step; empty if none is."""
    near = get_close_matches(word, known, 1, similarity)
    return f"did you mean {near[0]}? " if near else ""

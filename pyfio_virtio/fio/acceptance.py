# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether fio takes the options of a job file, and how it reads their numbers.

fio only parses the file: it opens no disk and runs no job, but it loads the engines that the jobs
choose. Any thread may call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyfio_virtio.fio import fio as fios
from pyfio_virtio.fio import readings
from pyfio_virtio.fio.fio import Fio
from pyfio_virtio.fio.readings import Reading
from pyfio_virtio.fio.words import reason

# A variable that is not set stays as it is written.
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_NEAR = re.compile(r"^Did you mean (\S+)\?$", re.MULTILINE)
# fio lists the values that an option may have, one a line.
_CHOICE = re.compile(r"^\s*(?:valid values)?: (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Answer:
    """What fio said about a job file."""

    refusal: str = ""  # why it refuses the file; "" if it takes it
    choices: tuple[str, ...] = ()  # the values that the refused option may have
    near: str = ""  # an option with a similar name
    readings: tuple[Reading, ...] = ()  # none if this fio has no debug output

    def advice(self) -> str:
        """What to write instead of what fio refuses; "" if fio does not say."""
        if variable := _VARIABLE.search(self.refusal):
            return f"set the environment variable {variable[1]}"
        if self.near:
            return f"did you mean {self.near}?"
        if not self.choices:
            return ""
        *others, last = self.choices
        return f"use {', '.join(others)} or {last}" if others else f"use {last}"


def ask(
    fio: Fio, text: bytes, environment: Mapping[str, str], arguments: Sequence[str] = ()
) -> Answer:
    """Asks fio about the text of a job file. `environment` is added to ours, and `arguments` are
    options of the program."""
    asked = fios.parse_only(fio, text, arguments, environment)
    said = asked.stdout.decode("utf-8", "surrogateescape")
    if asked.status == 0:
        return Answer(readings=tuple(readings.every(said)))
    words = asked.stderr.decode("utf-8", "replace")
    near = _NEAR.search(words)
    choices = tuple(_CHOICE.findall(said))
    return Answer(reason(words) or "fio does not say why", choices, near[1] if near else "")

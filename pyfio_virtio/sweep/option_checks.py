# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks the values of fio's options before anything starts, and names the one at fault.

fio parses the jobs of many points in one call. Owns which of them it refuses because of which
option. Called from the main thread; no job runs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pyfio_virtio.errors import UsageError
from pyfio_virtio.fio import acceptance, readings
from pyfio_virtio.fio.acceptance import Answer
from pyfio_virtio.fio.fio import Fio
from pyfio_virtio.fio.job import option
from pyfio_virtio.fio.readings import Reading

# fio has room for 4096 jobs.
_JOBS_IN_A_CALL = 1000


@dataclass(frozen=True)
class Asked:
    """A job of one section to ask fio about."""

    label: str
    engine: str  # as fio calls it
    options: tuple[tuple[str, str], ...]  # those that the user may have set
    job: str
    jobs: int = 1

    def without(self, names: Sequence[str]) -> str:
        """The job without these options."""
        lines = {f"{name}={value}" for name, value in self.options if name in names}
        return "\n".join(line for line in self.job.splitlines() if line not in lines)


class Checker:
    """Asks one fio."""

    def __init__(
        self, fio: Fio, environment: Mapping[str, str], ours: Collection[str] = ()
    ) -> None:
        self._fio = fio
        self._environment = environment
        self._ours = ours  # the options of our engine

    def check(self, every: Sequence[Asked]) -> None:
        """Refuses the first job that fio does not take, or of which it misreads a number."""
        for chunk in _chunks(every):
            answer = self._ask([each.job for each in chunk])
            if answer.refusal:
                self._refuse(self._first_refused(chunk))
            for reading in answer.readings:
                _check_reading(reading)

    def number_of_jobs(self, value: str) -> str:
        """A value of numjobs as a plain number, as fio reads it ($ncpus, 0x10)."""
        job = option("numjobs", value).text
        asked = Asked(f"numjobs={value}", "", (("numjobs", value),), job)
        self.check([asked])
        readings = self._ask([job]).readings
        numbers = [r.numbers[0] for r in readings if r.name == "numjobs" and r.numbers]
        if not numbers:
            raise UsageError(f"cannot use numjobs={value}", "", "write a plain number")
        return str(numbers[-1])

    def _ask(self, jobs: Sequence[str]) -> Answer:
        text = "".join(_section(number, job) for number, job in enumerate(jobs))
        return acceptance.ask(self._fio, text.encode(), self._environment)

    def _first_refused(self, every: Sequence[Asked]) -> Asked:
        """One of these is refused: halves them until one is left."""
        while len(every) > 1:
            half = every[: len(every) // 2]
            is_here = self._ask([each.job for each in half]).refusal
            every = half if is_here else every[len(half) :]
        return every[0]

    def _refuse(self, asked: Asked) -> None:
        names, answer = self._at_fault(asked)
        values = dict(asked.options)
        named = " and ".join(f"{name}={values[name]}" for name in names) or asked.label
        raise UsageError(f"cannot use {named}", *self._explained(names, answer, asked.engine))

    def _explained(self, names: Sequence[str], answer: Answer, engine: str) -> tuple[str, str]:
        """Why fio refuses the options, and what to do."""
        name = names[0] if names else ""
        if answer.refusal.startswith("Bad option"):
            near = f"{answer.advice()} " if answer.near else ""
            lists = f"fio --cmdhelp=all and fio --enghelp={engine} list them"
            return f"neither fio nor its engine {engine} has an option {name}", f"{near}{lists}"
        if answer.choices:
            return "fio does not take this value", answer.advice()
        about = f"--enghelp={engine},{name}" if name in self._ours else f"--cmdhelp={name}"
        help_text = f"fio {about} describes it" if name else ""
        if answer.refusal.startswith("failed parsing"):
            return "fio cannot read this value", help_text
        return f"fio refuses it ({answer.refusal})", help_text

    def _at_fault(self, asked: Asked) -> tuple[list[str], Answer]:
        """The options because of which fio refuses the job, and what it says about them."""
        names = [name for name, _ in asked.options]
        needed = [name for name in names if not self._ask([asked.without([name])]).refusal]
        if not needed:  # several are wrong, so the first one that is wrong by itself is named
            for name in names:
                alone = self._ask([asked.without([each for each in names if each != name])])
                if alone.refusal:
                    return [name], alone
        return needed, self._ask([asked.job])


def _chunks(every: Sequence[Asked]) -> Iterator[Sequence[Asked]]:
    chunk: list[Asked] = []
    for each in every:
        if chunk and sum(other.jobs for other in chunk) + each.jobs > _JOBS_IN_A_CALL:
            yield chunk
            chunk = []
        chunk.append(each)
    yield chunk


def _section(number: int, job: str) -> str:
    """The job as one section, because a file has only one kind of global options."""
    lines = (line for line in job.splitlines() if line and not line.startswith("["))
    return "\n".join([f"[{number}]", *lines, ""])


def _check_reading(reading: Reading) -> None:
    """Refuses a number of which fio would ignore a part, without a word."""
    if wrong := readings.misread(reading):
        why = f"fio would read it as {wrong.number}"
        raise UsageError(f"cannot use {wrong.option}", why, wrong.advice)

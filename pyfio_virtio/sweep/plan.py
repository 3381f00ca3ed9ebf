# SPDX-License-Identifier: GPL-2.0-or-later
"""From axes to points, and from points to the order in which they are run.

Owns which combinations a sweep measures, its controls, and the order of the runs. Pure; any
thread may call. It knows the names of fio's options, and nothing of jobs, files or clocks.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from pyfio_virtio.errors import UsageError
from pyfio_virtio.results.record import MEASURED, NULL, TWIN
from pyfio_virtio.sweep.settings import VIRTIO, Settings

NULL_ENGINE = "null"
# What a sweep measures where nothing else was said; the depth decides what waiting is worth.
DEFAULTS = {"rw": ("randread",), "bs": ("4k",), "iodepth": ("1", "32", "128"), "numjobs": ("1",)}
_OWN = ("engine", "cpus", "serve")  # parts of a choice that are no options of fio
_MOST_POINTS = 10_000

Part = Mapping[str, str]


@dataclass(frozen=True)
class Choice:
    """One combination: an engine, fio's options in their order, and where it all runs."""

    engine: str
    options: tuple[tuple[str, str], ...]
    cpus: str = "any"
    serve: str | None = None
    role: str = MEASURED
    rate_percent: int | None = None

    def get(self, name: str, default: str = "") -> str:
        return dict(self.options).get(name, default)

    def number(self, name: str) -> int:
        """A count that a back-end has to know; 1 where it is no number."""
        text = self.get(name, "1")
        return max(1, int(text)) if text.isdecimal() else 1

    @property
    def label(self) -> str:
        """The choice in one line, for people."""
        parts = [self.engine] + [f"{name}={value}" for name, value in self.options]
        parts += [f"cpus={self.cpus}"] if self.cpus != "any" else []
        parts += [f"serve={self.serve}"] if self.serve else []
        parts += [f"rate={self.rate_percent}%"] if self.rate_percent else []
        return " ".join(parts if self.role == MEASURED else [*parts, f"({self.role})"])


@dataclass(frozen=True)
class Run:
    """One turn of one choice; the first repeat is 1."""

    choice: Choice
    repeat: int


# ---- points ---------------------------------------------------------------------------


def choices(settings: Settings, engine_options: Collection[str]) -> list[Choice]:
    """Every choice that goes as fast as it can: the points asked for, then the controls.

    `engine_options` are those of the virtio engine: other engines do without.
    """
    parts = list(_combinations(_axes(settings), settings.one_at_a_time))
    asked = list(dict.fromkeys(_choice(part, engine_options) for part in parts))
    return [*asked, *_controls(asked[0], engine_options)] if settings.controls else asked


def with_rates(choices: Sequence[Choice], steps: Sequence[int]) -> list[Choice]:
    """The measured choices again, at shares of what each of them reached."""
    measured = [choice for choice in choices if choice.role == MEASURED]
    return [replace(choice, rate_percent=step) for choice in measured for step in steps]


def _axes(settings: Settings) -> list[list[Part]]:
    options = {**DEFAULTS, **settings.options}
    waits, sleeps = options.pop("wait", ()), options.pop("sleepy_poll", ())
    axes: list[list[Part]] = [[{"engine": engine} for engine in settings.engines]]
    axes.append([{"cpus": cpus} for cpus in settings.cpus])
    axes.append([{"serve": serve} for serve in settings.serve])
    axes.append(ways(sleeps, waits))
    for name, values in options.items():
        if not values:
            raise UsageError(f"no value for {name}", "", f"say which, as {name}=1,2")
        axes.append([{name: value} for value in values])
    return [axis for axis in axes if axis]


def ways(sleeps: Sequence[str], waits: Sequence[str]) -> list[Part]:
    """The axis that both options make up; sleeping 0 µs is waiting for the eventfd."""
    found: list[Part] = []
    for sleep in sleeps:
        if not sleep.isdecimal():
            raise UsageError(f"sleepy_poll={sleep} is no number of microseconds")
        sleeping = {"wait": "sleepy", "sleepy_poll": str(int(sleep))}
        found.append(sleeping if int(sleep) else {"wait": "event"})
    found += [{"wait": wait} for wait in waits]
    return [way for place, way in enumerate(found) if way not in found[:place]]


def _combinations(axes: Sequence[Sequence[Part]], one_at_a_time: bool) -> Iterator[Part]:
    if not one_at_a_time:
        count = 1
        for axis in axes:
            count *= len(axis)
        if count > _MOST_POINTS:
            raise UsageError(
                f"these axes make {count} points", f"more than {_MOST_POINTS}", "--one-at-a-time"
            )
        yield from (_merged(parts) for parts in product(*axes))
        return
    first = [axis[0] for axis in axes]
    for place, axis in enumerate(axes):
        for part in axis:
            yield _merged([*first[:place], part, *first[place + 1 :]])


def _merged(parts: Sequence[Part]) -> Part:
    return {name: value for part in parts for name, value in part.items()}


def _choice(part: Part, engine_options: Collection[str]) -> Choice:
    is_virtio = part["engine"] == VIRTIO
    kept = {
        name: value
        for name, value in part.items()
        if name not in _OWN and (is_virtio or name not in engine_options)
    }
    serve = part.get("serve") if is_virtio else None
    return Choice(part["engine"], tuple(kept.items()), part["cpus"], serve)


def _controls(first: Choice, engine_options: Collection[str]) -> list[Choice]:
    """A against A, which shows the noise, and fio's null engine, which shows fio's own limit."""
    kept = tuple(pair for pair in first.options if pair[0] not in engine_options)
    return [
        replace(first, role=TWIN),
        Choice(NULL_ENGINE, kept, first.cpus, None, NULL),
    ]


# ---- order ---------------------------------------------------------------------------


def order(choices: Sequence[Choice], repeats: range, how: str, seed: int) -> list[Run]:
    """The runs in their order: the same for the same seed, however far the repeats go.

    interleaved: round by round, each choice once a round, so that drift strikes all alike;
    in each round in another order, so that no choice always follows the same one.
    """
    if how == "sequential":
        return [Run(choice, repeat) for choice in choices for repeat in repeats]
    rounds = [[Run(choice, repeat) for choice in choices] for repeat in repeats]
    if how == "random":
        return _shuffled([run for each in rounds for run in each], f"{seed}")
    return [
        run
        for repeat, each in zip(repeats, rounds, strict=True)
        for run in _shuffled(each, f"{seed}/{repeat}")
    ]


def _shuffled(runs: list[Run], seed: str) -> list[Run]:
    # Repeatable is what is wanted here; a text as seed means the same on every machine.
    random.Random(seed).shuffle(runs)  # noqa: S311
    return runs

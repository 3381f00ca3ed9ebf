# SPDX-License-Identifier: GPL-2.0-or-later
"""Combines the axes of a sweep to points, and puts their runs into an order.

Owns which combinations a sweep measures, its controls, and the order of the runs. Pure; any thread
may call. It knows the names of fio's options, but not jobs, files or clocks.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from pyfio_virtio.errors import UsageError
from pyfio_virtio.results.record import MEASURED, NULL, TWIN
from pyfio_virtio.results.values import BLOCK_SIZES, distinct
from pyfio_virtio.sweep.candidates import BUILTIN, Candidate
from pyfio_virtio.sweep.settings import VIRTIO, Settings

NULL_ENGINE = "null"
# The default axes. The best way of waiting depends on iodepth, so it has several values.
DEFAULTS = {"rw": ("randread",), "bs": ("4k",), "iodepth": ("1", "32", "128"), "numjobs": ("1",)}
# Parts of a choice that are not options of fio.
_OWN = ("engine", "cpus", "serve", "backend", "fio", "engine_build", "hosts")
_MOST_POINTS = 10_000

Part = Mapping[str, str]
Value = tuple[str, object]  # the name of an axis, and a value on it
Pair = tuple[str, str]  # the names of a fio and of a build of the engine; "" if there is only one
_ONLY_PROGRAMS: tuple[Pair, ...] = (("", ""),)
_DEFAULT_BACKEND = Candidate("", BUILTIN)


@dataclass(frozen=True)
class Choice:
    """One combination: an engine, fio's options in order, CPUs, how the back-end waits, which
    back-end it is, the names of fio and of the engine's build, and on how many hosts it runs."""

    engine: str
    options: tuple[tuple[str, str], ...]
    cpus: str = "any"
    serve: str | None = None
    role: str = MEASURED
    rate_percent: int | None = None
    backend: Candidate = _DEFAULT_BACKEND  # for our engine only
    programs: Pair = _ONLY_PROGRAMS[0]
    hosts: int = 0  # 0: on this machine

    def get(self, name: str, default: str = "") -> str:
        return dict(self.options).get(name, default)

    def number(self, name: str) -> int:
        """The value as a count, for the back-end; 1 if it is not a number."""
        text = self.get(name, "1")
        return max(1, int(text)) if text.isdecimal() else 1

    @property
    def values(self) -> tuple[Value, ...]:
        """Its value on each axis, by the name of the axis."""
        return (
            ("engine", self.engine),
            *self.options,
            ("cpus", self.cpus),
            ("serve", self.serve),
            ("backend", self.backend.name),
            ("fio and engine", self.programs),
            ("rate", self.rate_percent),
            ("hosts", self.hosts),
        )

    @property
    def label(self) -> str:
        """The choice in one line, for messages."""
        parts = [self.engine, *filter(None, (self.backend.name, *self.programs))]
        parts += [f"{name}={value}" for name, value in self.options]
        parts += [f"cpus={self.cpus}"] if self.cpus != "any" else []
        parts += [f"serve={self.serve}"] if self.serve else []
        parts += [f"rate={self.rate_percent}%"] if self.rate_percent else []
        parts += [f"hosts={self.hosts}"] if self.hosts else []
        return " ".join(parts if self.role == MEASURED else [*parts, f"({self.role})"])


@dataclass(frozen=True)
class Run:
    """One run of one choice. The first repeat is 1."""

    choice: Choice
    repeat: int


# ---- points ---------------------------------------------------------------------------


def choices(
    settings: Settings,
    engine_options: Collection[str],
    programs: Sequence[Pair] = _ONLY_PROGRAMS,
) -> list[Choice]:
    """Every choice without a rate limit: first the points that were asked for, then the controls.

    `engine_options` are the options of our engine, which other engines do not get. `programs` are
    the names of fio and of the engine's build.
    """
    pairs: list[Part] = [{"fio": fio, "engine_build": build} for fio, build in programs]
    parts = list(_combinations([pairs, *_axes(settings)], settings.one_at_a_time))
    backends = {each.name: each for each in settings.candidates}
    asked = list(dict.fromkeys(_choice(part, engine_options, backends) for part in parts))
    return [*asked, *_controls(asked[0], engine_options)] if settings.controls else asked


def with_rates(choices: Sequence[Choice], steps: Sequence[int]) -> list[Choice]:
    """The measured choices again, at shares of the IOPS that each of them reached."""
    measured = [choice for choice in choices if choice.role == MEASURED]
    return [replace(choice, rate_percent=step) for choice in measured for step in steps]


def _axes(settings: Settings) -> list[list[Part]]:
    options = {**_defaults(settings.options), **settings.options}
    waits, sleeps = options.pop("wait", ()), options.pop("sleepy_poll", ())
    axes: list[list[Part]] = [[{"engine": engine} for engine in settings.engines]]
    axes.append([{"backend": each.name} for each in settings.candidates])
    axes.append([{"cpus": cpus} for cpus in settings.cpus])
    axes.append([{"serve": serve} for serve in settings.serve])
    axes.append([{"hosts": str(count)} for count in settings.host_count])
    axes.append(ways(sleeps, waits))
    # 4096 and 4k are one point, not two. If the meaning of k itself varies, both are kept.
    bases = options.get("kb_base", ("1024",))
    kb_base = int(bases[0]) if len(bases) == 1 and bases[0] in ("1000", "1024") else None
    for name, values in options.items():
        if not values:
            raise UsageError(f"no value for {name}", "", f"write its values, such as {name}=1,2")
        kept = distinct(name, values, kb_base) if kb_base else values
        axes.append([{name: value} for value in kept])
    return [axis for axis in axes if axis]


def _defaults(given: Collection[str]) -> dict[str, Sequence[str]]:
    """The default axes that hold beside the given options."""
    sizes = [name for name in BLOCK_SIZES if name in given]
    if len(sizes) > 1:
        raise UsageError(
            f"{' and '.join(sizes)} set the same value", "", f"use {' or '.join(sizes)} alone"
        )
    # A log says the directions and sizes of its requests.
    unused = {"rw", "bs"} if "read_iolog" in given else {"bs"} if sizes else set()
    return {name: values for name, values in DEFAULTS.items() if name not in unused}


def ways(sleeps: Sequence[str], waits: Sequence[str]) -> list[Part]:
    """The axis that sleepy_poll and wait form. A sleep of 0 µs means wait=event."""
    found: list[Part] = []
    for sleep in sleeps:
        if not sleep.isdecimal():
            raise UsageError(f"sleepy_poll={sleep} is not a number of microseconds")
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
                f"these lists make {count} points",
                f"at most {_MOST_POINTS} are allowed",
                "use shorter lists or --one-at-a-time",
            )
        yield from (_merged(parts) for parts in product(*axes))
        return
    first = [axis[0] for axis in axes]
    for place, axis in enumerate(axes):
        for part in axis:
            yield _merged([*first[:place], part, *first[place + 1 :]])


def _merged(parts: Sequence[Part]) -> Part:
    return {name: value for part in parts for name, value in part.items()}


def _choice(
    part: Part, engine_options: Collection[str], backends: Mapping[str, Candidate]
) -> Choice:
    is_virtio = part["engine"] == VIRTIO
    kept = {
        name: value
        for name, value in part.items()
        if name not in _OWN and (is_virtio or name not in engine_options)
    }
    backend = backends[part["backend"]] if is_virtio else _DEFAULT_BACKEND
    return Choice(
        part["engine"],
        tuple(kept.items()),
        part["cpus"],
        part.get("serve") if is_virtio and backend.kind == BUILTIN else None,
        backend=backend,
        programs=(part["fio"], part["engine_build"] if is_virtio else ""),
        hosts=int(part.get("hosts", 0)),
    )


def _controls(first: Choice, engine_options: Collection[str]) -> list[Choice]:
    """The first choice again, which shows the noise, and fio's null engine, its upper limit."""
    kept = tuple(pair for pair in first.options if pair[0] not in engine_options)
    return [
        replace(first, role=TWIN),
        Choice(
            NULL_ENGINE,
            kept,
            first.cpus,
            None,
            NULL,
            programs=(first.programs[0], ""),
            hosts=first.hosts,
        ),
    ]


# ---- order ---------------------------------------------------------------------------


def order(choices: Sequence[Choice], repeats: range, how: str, seed: int) -> list[Run]:
    """The runs in their order, which is the same for the same seed.

    interleaved: each round has every choice once, so that a drift of the machine affects all of
    them. The order differs from round to round, so that no choice always follows the same one.
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
    # The order must be repeatable, and a text as the seed gives the same order on every machine.
    random.Random(seed).shuffle(runs)  # noqa: S311
    return runs

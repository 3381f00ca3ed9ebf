# SPDX-License-Identifier: GPL-2.0-or-later
"""What is tried: the axes, their values, and the settings of a sweep that a combination stands for.

Owns the default axes and the first value of each, which is the default that the others are compared
with. Pure; any thread may call. It knows no results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pyfio_virtio.errors import UsageError
from pyfio_virtio.fio.job_writer import JobOptions
from pyfio_virtio.sweep.plan import ways
from pyfio_virtio.sweep.settings import OWN_OPTIONS as OF_SWEEPS
from pyfio_virtio.sweep.settings import WAY, Settings

# The settings of one axis: names and texts, such as wait=sleepy and sleepy_poll=20. Empty: nothing
# is set, so that fio, the engine or the back-end decides.
Value = tuple[tuple[str, str], ...]
# The axes that differ from the default, with their values, in the order of the axes.
Setup = tuple[tuple[str, Value], ...]
DEFAULTS: Setup = ()

CPUS, POLL, DEPTH = "cpus", "poll_max_ns", "iodepth"
_NOTHING: Value = ()
# Values of fio's and of the engine's options beside the default, which is to set nothing.
_WAYS_OF_LATENCY = ways((), ("event", "busy"))
_WAYS = [*_WAYS_OF_LATENCY, *ways(("20", "100"), ())]
_EVENT_IDX, _INDIRECT, _QUEUE_SIZES = ("off",), ("off",), ("64", "1024")
# The default of `pyfio-virtio job`, and depths that are far from it.
_DEPTHS = (str(JobOptions().iodepth), "32", "512")
_POLLS = ("0", "1000000")
# fio's options that a tuner sets itself, and the flag to use instead ("": there is none).
_FLAGS = {"--runtime": "--time", "--ramp-time": "", "--engines": "", "--rate-steps": ""}
OWN_OPTIONS = {name: _FLAGS.get(flag, flag) for name, flag in OF_SWEEPS.items()}
# The same I/O must be done in all runs, so these options have one value.
_OF_THE_WORK = ("rw", "bs", "bsrange", "bssplit", "rwmixread", "size", "offset", "numjobs")


@dataclass(frozen=True)
class Axis:
    """A name, and the values that are tried. The first one is the default."""

    name: str
    values: tuple[Value, ...]


def label(setup: Setup) -> str:
    """The setup in one line."""
    return " ".join(f"{n}={v}" for _, value in setup for n, v in value) or "the defaults"


def applied(base: Settings, setup: Setup) -> Settings:
    """The settings of a sweep whose only point is this setup."""
    changes = [pair for _, value in setup for pair in value]
    options = dict(base.options)
    for name, text in changes:
        if name == CPUS:
            base = replace(base, cpus=(text,))
        elif name == POLL:
            base = replace(base, poll_max_ns=int(text))
        else:
            options[name] = (text,)
    return replace(base, options=options)


def as_sweep(given: Settings) -> Settings:
    """A sweep with every value that the user said, one at a time, and both default depths. Its
    checks are those of the values."""
    depths = ("1", *given.options.get(DEPTH, _DEPTHS[:1]))
    return replace(given, one_at_a_time=True, options={**given.options, DEPTH: depths})


@dataclass(frozen=True)
class Tried:
    """What is tried for the best latency, and for the most I/Os."""

    base: Settings  # the defaults, at the first of the depths
    latency: tuple[Axis, ...]  # at iodepth=1
    throughput: tuple[Axis, ...]


def tried(given: Settings, cores: Sequence[Sequence[int]], places_are_given: bool = False) -> Tried:
    """What is tried on this machine. `given` has what the user said: lists replace the default
    values, and the first of a list is the default."""
    _check_work(given)
    options = dict(given.options)
    said_ways = ways(options.pop("sleepy_poll", ()), options.pop("wait", ()))
    depths = options.pop(DEPTH, _DEPTHS)
    said_places = tuple(((CPUS, each),) for each in given.cpus)
    places = said_places if places_are_given else _cpus(given, cores)
    polls = _polls(given)
    fixed = {DEPTH: depths[:1]}
    lists: dict[str, tuple[Value, ...]] = {
        "queue_size": _unset_or("queue_size", _QUEUE_SIZES),
        "event_idx": _unset_or("event_idx", _EVENT_IDX),
        "indirect": _unset_or("indirect", _INDIRECT),
    }
    for name, values in options.items():
        fixed[name] = values[:1]
        lists[name] = tuple(((name, each),) for each in values)
    if said_ways:
        fixed |= {name: (value,) for name, value in said_ways[0].items()}
    base = replace(given, options=fixed, cpus=given.cpus[:1])
    found: list[tuple[Axis, ...]] = []
    for is_throughput in (False, True):
        default_ways = _WAYS if is_throughput else _WAYS_OF_LATENCY
        chosen = [_value(way) for way in said_ways] or [_NOTHING, *map(_value, default_ways)]
        axes = {"wait": tuple(chosen), CPUS: places, POLL: polls}
        if is_throughput:
            axes[DEPTH] = tuple(((DEPTH, each),) for each in depths)
        # At iodepth=1 the ring is never full, so its size has to be asked for.
        left_out = () if is_throughput or "queue_size" in options else ("queue_size",)
        axes |= {name: values for name, values in lists.items() if name not in left_out}
        found.append(tuple(Axis(n, each) for n, each in axes.items() if len(each) > 1))
    return Tried(base, *found)


def _check_work(given: Settings) -> None:
    for name in _OF_THE_WORK:
        if len(values := given.options.get(name, ())) > 1:
            raise UsageError(
                f"cannot tune with {name}={','.join(values)}",
                "runs that do other work cannot be compared",
                f"choose one {name}",
            )


def _value(part: Mapping[str, str]) -> Value:
    return tuple((name, part[name]) for name in reversed(WAY) if name in part)


def _unset_or(name: str, values: Sequence[str]) -> tuple[Value, ...]:
    return (_NOTHING, *(((name, each),) for each in values))


def _cpus(given: Settings, cores: Sequence[Sequence[int]]) -> tuple[Value, ...]:
    """Where fio and the back-end run. A back-end of somebody else stays where it is."""
    if sum(map(len, cores)) < 2:
        return ()
    if given.kinds:
        return tuple(((CPUS, each),) for each in ("any", "separate", "shared"))
    halves = cores if len(cores) > 1 else [[each] for each in cores[0]]
    middle = len(halves) // 2
    lists = [",".join(str(cpu) for core in half for cpu in core) for half in _halved(halves)]
    return (((CPUS, "any"),), *(((CPUS, f"{each}:"),) for each in lists)) if middle else ()


def _halved(cores: Sequence[Sequence[int]]) -> tuple[Sequence[Sequence[int]], ...]:
    middle = len(cores) // 2
    return cores[:middle], cores[middle:]


def _polls(given: Settings) -> tuple[Value, ...]:
    """How long qemu-storage-daemon polls, unless the user said so."""
    if given.kinds != ["qsd"] or given.poll_max_ns is not None:
        return ()
    return _unset_or(POLL, _POLLS)

# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the thread runs that watches the used ring of a back-end that takes no times itself.

Owns which CPU is spare, and the sentence about it. Pure; any thread may call it.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass


@dataclass(frozen=True)
class Watch:
    cpu: int | None  # None: no thread watches
    sentence: str


def choose(usable: Set[int], bound: Set[int], unbound: int) -> Watch:
    """A CPU to which neither a job nor the back-end is bound. Each of the `unbound` jobs and
    back-ends, which may run anywhere, needs another one."""
    spare = _spare(usable, bound, unbound)
    if not spare:
        return Watch(
            None,
            "no CPU is spare for a thread that watches the used ring, so the time in the back-end "
            "and that until fio finds the request are one part; explain --watch CPU starts one "
            "nevertheless",
        )
    return _on_spare(max(spare))


def forced(cpu: int, usable: Set[int], bound: Set[int], unbound: int) -> Watch:
    """The CPU that the user chose."""
    if cpu in _spare(usable, bound, unbound):
        return _on_spare(cpu)
    return Watch(
        cpu,
        f"the thread that watches the used ring shares CPU {cpu} with fio or the back-end, so "
        "the times are those of a busier machine",
    )


def _spare(usable: Set[int], bound: Set[int], unbound: int) -> Set[int]:
    left = usable - bound
    return left if len(left) > unbound else set()


def _on_spare(cpu: int) -> Watch:
    return Watch(cpu, f"a thread on CPU {cpu} watches the used ring")

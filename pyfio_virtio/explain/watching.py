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


def choose(usable: Set[int], fio: Set[int] | None, back_end: Set[int] | None) -> Watch:
    """A CPU that neither fio nor the back-end is bound to. None for a side that may run anywhere:
    it needs one CPU of those that are left."""
    spare = _spare(usable, fio, back_end)
    if not spare:
        return Watch(
            None,
            "no CPU is spare for a thread that watches the used ring, so the time in the back-end "
            "and that until fio finds the request are one part; explain --watch CPU starts one "
            "nevertheless",
        )
    return _on_spare(max(spare))


def forced(cpu: int, usable: Set[int], fio: Set[int] | None, back_end: Set[int] | None) -> Watch:
    """The CPU that the user chose."""
    if cpu in _spare(usable, fio, back_end):
        return _on_spare(cpu)
    return Watch(
        cpu,
        f"the thread that watches the used ring shares CPU {cpu} with fio or the back-end, so "
        "the times are those of a busier machine",
    )


def _spare(usable: Set[int], fio: Set[int] | None, back_end: Set[int] | None) -> Set[int]:
    left = usable - (fio or set()) - (back_end or set())
    return left if len(left) > (fio, back_end).count(None) else set()


def _on_spare(cpu: int) -> Watch:
    return Watch(cpu, f"a thread on CPU {cpu} watches the used ring")

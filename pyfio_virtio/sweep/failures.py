# SPDX-License-Identifier: GPL-2.0-or-later
"""Decides whether a sweep stops after failed runs.

A failure may belong to one point, or to all points that have some value, and then the other points
are still worth measuring. If the failed points have nothing in common that sets them apart, the
next run would fail, too. Pure, except that it looks whether a socket still answers. Called from the
main thread.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pyfio_virtio.backends import unix_sockets
from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.sweep.plan import NULL_ENGINE, Value
from pyfio_virtio.sweep.points import Planned

_NUMBER = re.compile(r"\d+")


class Failures:
    """The runs that failed one after the other, in the same words."""

    def __init__(self, points: Sequence[Planned]) -> None:
        values = [frozenset(each.choice.values) for each in points if not _is_null(each)]
        self._shared_by_all = frozenset.intersection(*values) if values else frozenset()
        self._words = ""
        self._in_a_row: list[frozenset[Value]] = []

    def why_stop(self, planned: Planned, error: str | None) -> str:
        """Why no further run should be made after this one; "" if the sweep can continue.

        fio's null engine needs no back-end, so its runs say nothing about the others.
        """
        if _is_null(planned):
            return ""
        words = _NUMBER.sub("", error or "")
        if words != self._words:
            self._words, self._in_a_row = words, []
        if not error:
            return ""
        self._in_a_row.append(frozenset(planned.choice.values) - self._shared_by_all)
        return _absence(planned) or self._judgement()

    def _judgement(self) -> str:
        count = len(self._in_a_row)
        if count < 2 or frozenset.intersection(*self._in_a_row):
            return ""
        return f"the last {count} runs failed in the same way, whatever their options"


def _is_null(planned: Planned) -> bool:
    return planned.choice.engine == NULL_ENGINE


def _absence(planned: Planned) -> str:
    """Why the back-end of somebody else does not answer any more; "" if it does."""
    if planned.wanted.socket is None:
        return ""
    try:
        unix_sockets.check_served(planned.wanted.socket)
    except PyfioVirtioError as failure:
        return str(failure)
    return ""

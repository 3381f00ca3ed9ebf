# SPDX-License-Identifier: GPL-2.0-or-later
"""The start barrier: no host runs its job before all of them are ready.

fio itself sends RUN to one host after the other. Here each RUN waits until the last one has come.
Then all of them go, those to the near hosts later by half of the difference of the round trips, so
that they arrive together. All functions run in one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable


class Barrier:
    """Opens once, when each host has come or has left."""

    def __init__(self, names: Iterable[str]) -> None:
        self._missing = set(names)
        self._round_trips_ns: dict[str, int] = {}
        self._is_open = asyncio.Event()

    async def come(self, name: str, round_trip_ns: int) -> None:
        """Waits for the others. Returns when RUN must be sent to this host."""
        self._round_trips_ns[name] = round_trip_ns
        self._go(name)
        await self._is_open.wait()
        longest_ns = max(self._round_trips_ns.values())
        await asyncio.sleep((longest_ns - round_trip_ns) / 2e9)

    def leave(self, name: str) -> None:
        """A host that has failed is not waited for. Does nothing if it has come."""
        self._go(name)

    def _go(self, name: str) -> None:
        self._missing.discard(name)
        if not self._missing:
            self._is_open.set()

# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs as tables of rounds, for family.py: a row for each round and a column for each alternative.

All functions are pure functions of frames, so any thread may call them.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from pyfio_virtio.analysis import checks, stats
from pyfio_virtio.analysis.family import Floats


def by_round(
    runs: pd.DataFrame, names: Sequence[str], columns: Sequence[str], metric: str
) -> tuple[Floats, Floats | None]:
    """Logarithms of a metric, and when each run was made; None if there is no common order.

    names has the name of the alternative of each run, and columns has each name once.
    """
    every = checks.rounds(runs)
    known = {each: place for place, each in enumerate(sorted(set(every)))}
    named = runs.assign(_name=list(names), _round=[known[each] for each in every])

    def table(column: str) -> Floats:
        found = named.pivot_table(column, "_round", "_name", "median", dropna=False)
        return found.reindex(index=range(len(known)), columns=list(columns)).to_numpy(float)

    measured = table(metric)
    # Sweeps of different times have no common drift.
    order = table("order") if "order" in named and len({s for s, _ in known}) == 1 else None
    return stats.logs(measured).reshape(measured.shape), order

# SPDX-License-Identifier: GPL-2.0-or-later
"""The quick bench: every group of comparisons that has peers, and the ways of waiting.

It takes as many rounds as fit into five minutes, so a new comparison makes it less precise and not
longer. All functions are pure.
"""

from collections.abc import Sequence
from dataclasses import replace

from bench.plan import GROUPS, Comparison

BUDGET_S = 300.0
RUNTIME_S = 0.25
# From the end of one run to the beginning of the next: a back-end and fio start and end.
BETWEEN_S = 0.6

NAMES = tuple(name for name, group in GROUPS.items() if group.in_quick)


def shortened(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same comparisons with short runs."""
    return [replace(each, runtime_s=min(each.runtime_s, RUNTIME_S)) for each in comparisons]


def round_s() -> float:
    """How long one round of all comparisons takes."""
    runs = sum(len(each.sides) for name in NAMES for each in GROUPS[name].comparisons)
    return runs * (RUNTIME_S + BETWEEN_S)


ROUNDS = int(BUDGET_S / round_s())

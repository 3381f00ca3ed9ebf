# SPDX-License-Identifier: GPL-2.0-or-later
"""The plans of sweeps: which settings a folder was measured with, and whether that is finished.

This file owns the sentence about runs that are still missing. All functions are pure, so any thread
may call them.
"""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from pyfio_virtio.analysis import sources
from pyfio_virtio.results.results import PLAN

# The text of each plan by the name of its folder.
Plans = Mapping[str, str]
NO_PLANS: Plans = MappingProxyType({})


def unfinished(frame: pd.DataFrame, plans: Plans) -> Iterator[str]:
    """How many runs a sweep has not made. Older plans do not tell how many were planned."""
    for name, folder in _folders(frame, plans):
        planned = tomllib.loads(plans[name]).get("planned", {}).get("runs", 0)
        made = int((frame["source"] == folder).sum())
        if made < planned:
            place = shlex.quote(str(folder))
            plan = shlex.quote(str(Path(folder) / PLAN))
            where = f" of {name}" if len(plans) > 1 else ""
            yield (
                f"The sweep was not finished: {made} of {planned} runs{where} were made. "
                f"Continue with: pyfio-virtio sweep {plan} -o {place}"
            )


def _folders(frame: pd.DataFrame, plans: Plans) -> list[tuple[str, str]]:
    """The name and the path of each folder that has a plan."""
    paths = list(frame["source"].unique()) if "source" in frame else []
    names = dict(zip(sources.names_of(paths), paths, strict=True))
    return [(name, names[name]) for name in plans if name in names]

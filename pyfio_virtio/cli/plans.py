# SPDX-License-Identifier: GPL-2.0-or-later
"""The plans of the sweeps that a command is given, for what the analysis says of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pyfio_virtio import files
from pyfio_virtio.results.results import PLAN
from pyfio_virtio.sweep.settings import read_settings


def read_plans(folders: Sequence[Path]) -> tuple[dict[str, str], str]:
    """The plans of the folders that have one, and the title if all of them have the same."""
    from pyfio_virtio.analysis import sources  # slow to import

    plans = {
        name: folder / PLAN
        for name, folder in zip(sources.names_of(folders), folders, strict=True)
        if (folder / PLAN).is_file()
    }
    titles = {read_settings(plan)[0].title for plan in plans.values()}
    texts = {name: files.read_text(plan) for name, plan in plans.items()}
    return texts, titles.pop() if len(titles) == 1 else ""

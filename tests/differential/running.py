# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs fio on a job in a folder of its own, with limits."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.differential.jobs import Job, Section
from tests.limited import run_limited

# Ample for each of the jobs; it only bounds a hang.
LIMIT_S = 20.0
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - disks there need no real one

Environment = Mapping[str, str]


@contextmanager
def new_folder() -> Iterator[Path]:
    place = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="pv-", dir=place) as folder:
        yield Path(folder)


def in_full(job: Job, own: str, sections: Sequence[Section]) -> str:
    """A job file; `own` are options for all sections."""
    text = "".join(section.text() for section in sections)
    return f"[global]\nfilename={':'.join(job.disks())}\n{own}\n{text}"


def run_fio(folder: Path, text: str, environment: Environment) -> tuple[bool, int, str, str]:
    """Whether it ended, with which status, and what it wrote."""
    (folder / "job.fio").write_text(text)
    return run_limited(["fio", "--output-format=json", "job.fio"], environment, LIMIT_S, folder)

# SPDX-License-Identifier: GPL-2.0-or-later
"""How a refused or failed run must end: no signal, a failing status, one sentence of ours."""

from tests.conftest import Finished

_PREFIX = "fio_virtio: "


def sentences(run: Finished) -> list[str]:
    """What the engine wrote to stderr, a line each."""
    lines = run.stderr.splitlines()
    return [line.removeprefix(_PREFIX) for line in lines if line.startswith(_PREFIX)]


def refusal(run: Finished) -> str:
    """The one sentence in which the engine says why fio failed."""
    assert run.status > 0, f"fio ended with {run.status}: {run.stderr}"
    said = sentences(run)
    assert len(said) == 1, f"one sentence is wanted: {run.stderr}"
    return said[0]

# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/ci-gate.sh: the gate from beginning to end, on back-ends that differ by what is known."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

# Far above what a busy machine adds to it, so that 10% more of it are 10% fewer IOPS.
SLOW, SLOWER = "50ms", "55ms"
SHORT = (
    *("--repeats", "20", "--runtime", "0.5", "--ramp-time", "0.1", "--iodepth", "4"),
    *("--wait", "event"),
)
PATIENCE_S = 240.0


def gate(folder: Path, old: str, new: str, limit: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [
            *("sh", str(ROOT / "docs" / "ci-gate.sh"), f"builtin,latency={old}"),
            *(f"builtin,latency={new}", limit, str(folder), *SHORT, "--no-controls"),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.mark.parametrize(
    ("old", "new", "limit", "status", "verdict"),
    [
        (SLOW, SLOWER, "2%", 4, "surely worse by more than 2%: failed"),
        (SLOW, SLOW, "25%", 0, "surely not worse by more than 25%: passed"),
    ],
)
def test_the_gate_tells_a_change_of_10_percent_from_none(
    private: Path, old: str, new: str, limit: str, status: int, verdict: str
) -> None:
    folder = private / "gate"
    ended = gate(folder, old, new, limit)
    assert ended.returncode == status, ended.stdout + ended.stderr
    summary = (folder / "summary.md").read_text()
    assert verdict in summary
    assert "old and new were measured in turns" in summary
    assert summary in ended.stdout
    comparison = json.loads((folder / "comparison.json").read_text())
    assert (comparison["in_turns"], comparison["verdict"]) == (True, verdict.split()[-1])
    assert "<svg" in (folder / "report.html").read_text()


def test_a_gate_that_cannot_measure_says_why(private: Path) -> None:
    ended = gate(private / "gate", "never", SLOW, "5%")
    assert ended.returncode not in (0, 4, 5)
    assert "latency cannot be 'never': 'never' is not a whole number like 20us" in ended.stderr


@pytest.mark.parametrize("words", [("a", "b"), ("a", "b", "ten", "x"), ("a", "b", "10", "x")])
def test_a_gate_without_a_limit_measures_nothing(private: Path, words: tuple[str, ...]) -> None:
    script = str(ROOT / "docs" / "ci-gate.sh")
    ended = subprocess.run(
        ["sh", script, *words], capture_output=True, text=True, cwd=private, check=False
    )
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "OLD NEW LIMIT" in ended.stderr or "write it as 5%" in ended.stderr
    assert list(private.iterdir()) == []

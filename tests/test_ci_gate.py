# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/ci-gate.sh and ci-gate.yml: the gate from beginning to end, on back-ends whose difference is
known.

The steps of the workflow run in a scratch clone of a repository that builds a back-end.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.waiting import wait_until

# Far above what a busy machine adds to it, and so far apart that no other program can hide it.
SLOW, SLOWER = "50ms", "100ms"
SHORT = (
    *("--repeats", "8", "--runtime", "0.5", "--ramp-time", "0.1", "--iodepth", "4"),
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


def check(folder: Path, printed: str, verdict: str) -> None:
    summary = (folder / "summary.md").read_text()
    assert verdict in summary
    assert "old and new were measured in turns" in summary
    assert summary in printed
    comparison = json.loads((folder / "comparison.json").read_text())
    assert (comparison["in_turns"], comparison["verdict"]) == (True, verdict.split()[-1])
    assert "<svg" in (folder / "report.html").read_text()


def test_the_gate_lets_a_change_without_an_effect_pass(private: Path) -> None:
    folder = private / "gate"
    ended = gate(folder, SLOW, SLOW, "25%")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    check(folder, ended.stdout, "surely not worse by more than 25%: passed")


# ---- the workflow -------------------------------------------------------------------


def steps() -> list[dict[str, Any]]:
    job = yaml.safe_load((ROOT / "docs" / "ci-gate.yml").read_text())["jobs"]["gate"]
    found: list[dict[str, Any]] = [step for step in job["steps"] if "run" in step]
    return found


def commit(folder: Path, latency: str) -> None:
    """A repository whose `make` builds a back-end that takes this long for a request."""
    serve = f"exec {sys.executable} -m pyfio_virtio.backends.builtin --storage=null --size=64M"
    makefile = f"daemon:\n\tprintf '%s\\n' '{serve} --latency={latency} \"$$@\"' > daemon\n"
    (folder / "Makefile").write_text(f"{makefile}\tchmod +x daemon\n")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", latency)


def git(folder: Path, *words: str) -> None:
    names = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    subprocess.run(["git", *names, *words], cwd=folder, check=True)


@pytest.fixture
def clone(private: Path) -> Path:
    """What actions/checkout leaves of a pull request that makes the back-end slower."""
    if shutil.which("git") is None:
        pytest.skip("no git")
    origin, clone = private / "origin", private / "clone"
    origin.mkdir()
    git(origin, "init", "--quiet", "--initial-branch=main")
    shutil.copy(ROOT / "docs" / "ci-gate.sh", origin)
    commit(origin, SLOW)
    git(private, "clone", "--quiet", str(origin), str(clone))
    git(clone, "checkout", "--quiet", "-b", "change")
    commit(clone, SLOWER)
    return clone


def run_step(step: dict[str, Any], clone: Path) -> "subprocess.CompletedProcess[str]":
    """As a runner does it."""
    temporary = clone.parent / "temporary"
    temporary.mkdir(exist_ok=True)
    set_by_runner = {
        "RUNNER_TEMP": str(temporary),
        "GITHUB_BASE_REF": "main",
        "GITHUB_STEP_SUMMARY": str(temporary / "step-summary.md"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    values = {"BUILD": "make --silent", "SERVE": "./daemon --socket", "LIMIT": "2%"}
    values["SWEEP"] = " ".join((*SHORT, "--no-controls"))
    return subprocess.run(
        ["bash", "-e", "-c", step["run"]],
        capture_output=True,
        text=True,
        cwd=clone,
        env={**os.environ, **set_by_runner, **values},
        timeout=PATIENCE_S,
        check=False,
    )


def test_the_steps_of_the_workflow_find_a_slower_back_end(clone: Path) -> None:
    failed: dict[str, int] = {}
    said = ""
    for step in steps():
        if not failed or step.get("if") == "always()":
            ended = run_step(step, clone)
            if ended.returncode != 0:
                failed[step["name"]] = ended.returncode
                said = ended.stdout + ended.stderr
    assert failed == {"compare them": 4}, said
    check(clone / "gate", said, "surely worse by more than 2%: failed")
    temporary = clone.parent / "temporary"
    assert (temporary / "step-summary.md").read_text() == (clone / "gate/summary.md").read_text()
    pids = [int(path.read_text()) for path in temporary.glob("*.pid")]
    assert len(pids) == 2
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_the_workflow_sets_what_its_steps_use() -> None:
    workflow = yaml.safe_load((ROOT / "docs" / "ci-gate.yml").read_text())
    assert set(workflow["jobs"]["gate"]["env"]) == {"BUILD", "SERVE", "LIMIT", "SWEEP"}


# ---- what cannot be measured ----------------------------------------------------------


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

# SPDX-License-Identifier: GPL-2.0-or-later
"""Every stored input is run again, with gcc's sanitizers."""

import os
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fuzz import seeds
from tests.fuzz.programs import HERE, REPLAY, TARGETS, Target, build
from tests.fuzz.texts import TEXTS, Text

TIMEOUT_S = 60


@pytest.fixture(scope="module")
def programs() -> Mapping[str, Path]:
    return build(REPLAY, TARGETS)


def replayed(target: Target, program: Path) -> str:
    """What went wrong, after the name of the input; "" if nothing did."""
    # The sanitizers are in the program itself, and one that is preloaded would be a second one.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run(
        [program, target.seeds],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=environment,
        check=False,
    )
    if not done.returncode:
        return ""
    name = done.stdout.splitlines()[-1] if done.stdout else "no input"
    return f"{target.name}: {name}\n{done.stderr}"


def test_no_stored_input_breaks_its_target(programs: Mapping[str, Path]) -> None:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        broken = pool.map(lambda target: replayed(target, programs[target.name]), TARGETS)
    assert not "".join(broken)


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text.name)
def test_no_stored_text_breaks_its_reader(text: Text) -> None:
    for data in (*text.starts(), *seeds.read(text.seeds).values()):
        text.run(data)


def test_each_target_has_seeds_and_each_file_of_seeds_a_target() -> None:
    found = {path for path in (HERE / "seeds").iterdir() if seeds.read(path)}
    needed = {target.seeds for target in TARGETS}
    assert needed <= found <= needed | {text.seeds for text in TEXTS}

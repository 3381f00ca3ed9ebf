# SPDX-License-Identifier: GPL-2.0-or-later
"""The models hold, each of their rules is needed, and they say what the sources say."""

import shutil

import pytest

from tests.model import run, sources
from tests.model.run import Function

MODELS = [run.read(name) for name in run.NAMES]
FUNCTIONS = sorted({each for model in MODELS for each in model.functions}, key=str)
# The functions of poller.c that only read a state.
READERS = {"poller_is_awake", "poller_open", "is_first"}


@pytest.mark.skipif(not shutil.which("spin"), reason="spin is missing: Debian's package spin")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", run.NAMES)
def test_a_model_holds_until_one_of_its_rules_is_broken(name: str) -> None:
    verdicts = list(run.judge(name))
    assert [each.configuration for each in verdicts if not each.holds] == []
    assert verdicts


def test_functions_access_memory_in_the_order_of_the_models() -> None:
    in_sources = [
        Function(each.path, each.name, sources.functions_of(each.path).get(each.name, ("missing",)))
        for each in FUNCTIONS
    ]
    assert in_sources == FUNCTIONS


def test_the_models_have_every_function_that_changes_a_waiter_or_the_turn() -> None:
    changing = {
        name
        for name, accesses in sources.functions_of("engine/library/poller.c").items()
        if any(each.startswith(("WAITER_", "TURN_")) for each in accesses)
    }
    assert changing - READERS <= {each.name for each in FUNCTIONS}


def test_each_rule_has_a_number_of_its_own_and_is_used() -> None:
    for model in MODELS:
        text = (run.FOLDER / f"{model.name}.pml").read_text()
        assert [each.number for each in model.rules] == list(range(1, len(model.rules) + 1))
        assert all(f"IS({each.name})" in text for each in model.rules)

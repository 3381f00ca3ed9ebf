# SPDX-License-Identifier: GPL-2.0-or-later
"""What the code host and pre-commit read: valid YAML, with commands that exist."""

import re
import shutil
from pathlib import Path

import click
import pytest
import yaml

from pyfio_virtio.cli.main import cli
from tests.conftest import ROOT

FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
TEXTS = [*FORMS, ROOT / "SECURITY.md"]
COMMAND = re.compile(r"`((?:pyfio-virtio|fio|qemu-storage-daemon|make) [^`]+)`")
NEEDED = {"input", "textarea"}


def commands(path: Path) -> list[list[str]]:
    return [found.split() for found in COMMAND.findall(path.read_text())]


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_a_form_has_what_the_code_host_asks_for(path: Path) -> None:
    form = yaml.safe_load(path.read_text())
    assert form["name"]
    assert form["description"]
    asked = [part for part in form["body"] if part["type"] in NEEDED]
    assert asked
    assert {part["type"] for part in form["body"]} <= {*NEEDED, "markdown"}
    assert len({part["id"] for part in asked}) == len(asked)
    assert all(part["attributes"]["label"] for part in asked)


def test_a_bug_report_has_what_is_needed_to_repeat_it() -> None:
    form = yaml.safe_load((FORMS[0]).read_text())
    required = {part["id"] for part in form["body"] if part.get("validations", {}).get("required")}
    assert {"doctor", "job", "fio", "back_end"} <= required


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_the_commands_that_it_names_exist(path: Path) -> None:
    named = commands(path)
    assert named
    targets = re.findall(r"^([a-z.-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for program, *words in named:
        if program == "make":
            assert words[0] in targets
        elif program == "pyfio-virtio":
            check(words)
        else:
            assert shutil.which(program)


def check(words: list[str]) -> None:
    """The command of these words, and its options, exist."""
    known: click.Command = cli
    if not words[0].startswith("-"):
        known = cli.commands[words.pop(0)]
    options = {name for each in known.get_params(click.Context(known)) for name in each.opts}
    assert {word for word in words if word.startswith("-")} <= options


def test_the_hook_of_pre_commit_needs_no_network() -> None:
    read = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [each["repo"] for each in read["repos"]] == ["local"]
    assert [hook["entry"] for hook in read["repos"][0]["hooks"]] == ["make lint"]


def test_the_workflow_calls_what_ci_calls() -> None:
    read = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    job = read["jobs"]["test"]
    assert job["container"]["image"] == "debian:12"
    [last] = [step["run"] for step in job["steps"] if ".ci" in step.get("run", "")]
    assert (ROOT / last).stat().st_mode & 0o111

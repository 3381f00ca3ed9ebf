# SPDX-License-Identifier: GPL-2.0-or-later
"""Every command with words that make no sense: no traceback, one line, a status of the table.

The cases come from the commands themselves, so a new command or option is tried as well.
"""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from pyfio_virtio.cli.main import cli
from pyfio_virtio.engine import engine
from tests.conftest import ROOT, Finished, RunCommand
from tests.forked import Forks

LONGEST_S = 60
STATUSES = {0, 1, 2, 3, 4, 5}
BINARY = os.fsdecode(b"\xff\xfe\x01")
WORDS = ("no/such/thing", ".", "-1", "9" * 40, BINARY, "a\nb", "")
# What a command needs to reach its options, and to start nothing.
NEEDED = {
    "run": ("--dry-run",),
    "explain": ("--dry-run", "--fio=no/fio"),  # it plans what run plans
    "sweep": ("--dry-run", "--iodepth=1", "--no-controls"),  # fio checks each point
    "tune": ("./no.sock", "--dry-run"),
    "backend start": ("--dry-run",),
    "restart-test": ("--dry-run",),
    "serve": ("--status",),
    "verify": ("--socket", "no.sock"),
    "probe": ("no.sock",),
    "completion": ("bash",),
    "compare": (".", "."),
    "replay": ("abc",),
    "results show": ("abc",),
}
# Without any words, they start something; with this flag, they do not.
STARTING = {
    **dict.fromkeys(("run", "explain", "sweep", "tune", "backend start"), "--dry-run"),
    "restart-test": "--dry-run",
    "serve": "--status",
}
# They do something useful, or ask for a word that they need.
USEFUL_ALONE = ("build-engine", "doctor", "env", "job", "help", "backend list")


def commands(group: click.Group = cli, path: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield f"{path}{name}", command
            yield from commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


ALL = dict(commands())
LEAVES = [path for path, command in ALL.items() if not isinstance(command, click.Group)]
OPTIONS = [
    (path, max(option.opts, key=len))
    for path in LEAVES
    for option in ALL[path].params
    if isinstance(option, click.Option) and not option.is_flag
]


@pytest.fixture
def tried(forks: Forks, private: Path) -> RunCommand:
    """Runs the command, and checks what holds for any words."""
    ours = {"PYTHONPATH": str(ROOT), engine.FOLDER_VARIABLE: str(engine.folder())}

    def run(*words: str) -> Finished:
        before = sorted(private.rglob("*"))
        ended = forks.run(words, {**os.environ, **ours}, LONGEST_S, private)
        assert ended, f"did not end: {words}"
        about = (words, ended.status, ended.stderr)
        assert ended.status in STATUSES, about
        assert "Traceback" not in ended.stderr, about
        assert not ended.left_children, about
        if ended.status and words[0] != "doctor":  # a table is its answer
            lines = [each for each in ended.stderr.splitlines() if ": note: " not in each]
            assert lines[0].startswith("Usage: ") or len(lines) == 1, about
            assert sorted(private.rglob("*")) == before, about
        return Finished(ended.status, ended.stdout, ended.stderr)

    return run


def needed(path: str) -> tuple[str, ...]:
    return (*path.split(), *NEEDED.get(path, ()))


@pytest.mark.parametrize("path", ALL)
def test_alone(tried: RunCommand, path: str) -> None:
    safe = (STARTING[path],) if path in STARTING else ()
    ended = tried(*path.split(), *safe)
    if not safe and path not in USEFUL_ALONE:
        assert ended.status


@pytest.mark.parametrize("path", ALL)
@pytest.mark.parametrize("option", ["--zzz", "-Z", "--zzz=1", "-"])
def test_a_wrong_option(tried: RunCommand, path: str, option: str) -> None:
    ended = tried(*path.split(), option)
    if option != "-":
        assert ended.status == 2


@pytest.mark.parametrize("path", LEAVES)
def test_arguments_that_make_no_sense(tried: RunCommand, path: str) -> None:
    kept = [word for word in NEEDED.get(path, ()) if word.startswith("--")]
    for word, times in itertools.product((*WORDS, *"ab"), (1, 2)):
        if word != "-1":
            tried(*path.split(), *kept, *[word] * times)


@pytest.mark.parametrize(("path", "option"), OPTIONS)
def test_a_value_that_makes_no_sense(tried: RunCommand, path: str, option: str) -> None:
    if (path, option) == ("job", "--output"):
        pytest.skip("any name is one of a file")
    for word in WORDS:
        ended = tried(*needed(path), f"{option}={word}")
        assert word or ended.status == 2, f"{option} is empty"


@pytest.mark.parametrize(("path", "option"), OPTIONS)
def test_an_option_without_its_value(tried: RunCommand, path: str, option: str) -> None:
    assert tried(*needed(path), option).status == 2


RANGES = [
    (path, max(option.opts, key=len), option.type)
    for path in LEAVES
    for option in ALL[path].params
    if isinstance(option.type, click.IntRange | click.FloatRange)
]


@pytest.mark.parametrize(("path", "option", "allowed"), RANGES)
def test_a_number_out_of_range(
    tried: RunCommand, path: str, option: str, allowed: click.IntRange
) -> None:
    for bound, step in ((allowed.min, -1), (allowed.max, 1)):
        if bound is not None:
            ended = tried(*needed(path), f"{option}={bound + step}")
            assert (ended.status, option in ended.stderr) == (2, True)

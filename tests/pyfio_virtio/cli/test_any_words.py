# SPDX-License-Identifier: GPL-2.0-or-later
"""Every command with words that make no sense: no traceback, one line, a status of the table.

The cases come from the commands themselves, so a new command or option is tried as well.
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from pyfio_virtio.cli.main import cli
from pyfio_virtio.engine import engine
from tests.conftest import ROOT, Finished, RunCommand

STATUSES = {0, 1, 2, 3, 4, 5}
BINARY = os.fsdecode(b"\xff\xfe\x01")
WORDS = ("no/such/thing", ".", "-1", "9" * 40, BINARY, "a\nb", "")
# What a command needs to reach its options, and to start nothing.
NEEDED = {
    "run": ("--dry-run",),
    "sweep": ("--dry-run",),
    "backend start": ("--dry-run",),
    "verify": ("--socket", "no.sock"),
    "probe": ("no.sock",),
    "completion": ("bash",),
    "compare": (".", "."),
    "replay": ("abc",),
    "results show": ("abc",),
}
# They do something useful, or ask for a word that they need.
USEFUL_ALONE = ("doctor", "env", "job", "help", "backend list")


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


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """The process that forks, and the folder in which all commands run."""
    with tempfile.TemporaryDirectory(prefix="pv-") as folder:
        ours = {
            "PYTHONPATH": str(ROOT),
            "XDG_RUNTIME_DIR": folder,
            engine.FOLDER_VARIABLE: str(engine.folder()),
        }
        with subprocess.Popen(
            [sys.executable, "-m", "tests.pyfio_virtio.cli.forked"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **ours},
        ) as process:
            yield process, Path(folder)


@pytest.fixture
def tried(server: tuple[subprocess.Popen[str], Path], tmp_path: Path) -> RunCommand:
    """Runs the command, and checks what holds for any words."""
    process, folder = server
    questions, answers = process.stdin, process.stdout
    assert questions
    assert answers

    def run(*words: str) -> Finished:
        files = {name: str(tmp_path / name) for name in ("stdout", "stderr")}
        before = sorted(folder.rglob("*"))
        questions.write(json.dumps({"words": words, "folder": str(folder), **files}) + "\n")
        questions.flush()
        status, has_children = json.loads(answers.readline())
        stdout, stderr = (
            Path(path).read_bytes().decode(errors="replace") for path in files.values()
        )
        about = (words, status, stderr)
        assert status in STATUSES, about
        assert "Traceback" not in stderr, about
        assert not has_children, about
        if status and words[0] != "doctor":  # a table is its answer, also if something is missing
            lines = [each for each in stderr.splitlines() if ": note: " not in each]
            assert lines[0].startswith("Usage: ") or len(lines) == 1, about
            assert sorted(folder.rglob("*")) == before, about
        return Finished(status, stdout, stderr)

    return run


def needed(path: str) -> tuple[str, ...]:
    return (*path.split(), *NEEDED.get(path, ()))


@pytest.mark.parametrize("path", ALL)
def test_alone(tried: RunCommand, path: str) -> None:
    safe = ("--dry-run",) if path in ("run", "sweep", "backend start") else ()
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

# SPDX-License-Identifier: GPL-2.0-or-later
"""cli/endings.py: each command has examples that are possible, and exit statuses that are true."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyfio_virtio.cli.endings import ENDINGS, walk
from pyfio_virtio.cli.main import cli
from tests.analysis.synthetic import write_sweep
from tests.conftest import RunCommand

ALL = dict(walk(cli))
DRY = ("run", "explain", "sweep", "tune", "restart-test")


def own(line: str, private: Path) -> list[str]:
    """The words of an example behind the name of the program, with sockets of the test's own."""
    line = line.replace("/tmp/", f"{private}/").replace("/run/", f"{private}/")  # noqa: S108
    return shlex.split(line)[1:]


def test_each_command_has_an_ending_and_nothing_else_has() -> None:
    assert set(ALL) == set(ENDINGS)
    for path, ending in ENDINGS.items():
        assert any(f"pyfio-virtio {path}".rstrip() in line for line in ending.examples), path


@pytest.mark.parametrize("path", ALL)
def test_the_help_ends_with_examples_and_the_exit_statuses(
    path: str, main_here: RunCommand
) -> None:
    shown = main_here(*path.split(), "--help").stdout
    for line in ENDINGS[path].examples:
        assert f"    {line}\n" in shown
    end = shown.partition("  Exit status:\n")[2].splitlines()
    assert [line.split()[0] for line in end] == [
        word.split()[0] for word, _ in ENDINGS[path].statuses()
    ]


@pytest.fixture
def served(private: Path, command: RunCommand) -> Iterator[Path]:
    """The folder in which vhost.0 is the socket of a back-end builtin-0."""
    started = command("backend", "start", "--disk-size", "1G")
    assert started.status == 0, started.stderr
    (private / "vhost.0").symlink_to(started.stdout.strip())
    yield private
    command("backend", "stop", "--all")


def examples(*paths: str) -> list[str]:
    return [line for path in paths for line in ENDINGS[path].examples]


def test_the_examples_of_back_ends_run(served: Path, main_here: RunCommand) -> None:
    controls = ("fault", "latency", "list", "logs", "resize", "stats")
    paths = ("doctor", "help", "job", "probe", "verify", *(f"backend {each}" for each in controls))
    for line in (*examples(*paths), *examples("backend stop")[:1]):
        words = own(line, served)
        ended = main_here(*words, *(["--yes"] if words[0] == "verify" else []))
        assert ended.status == 0, f"{line}\n{ended.stderr}"


def test_the_examples_of_results_run(private: Path, main_here: RunCommand) -> None:
    for name in ("out", "base", "new"):
        write_sweep(private / name, polls=(0, 20), waits=(), depths=(32,), repeats=6, noise=0.001)
    # These need several parts of one sweep, or files of fio. test_pages.py draws whole reports.
    needs_more = ("--base old", "*.json")
    for line in examples("compare", "plot", "results export", "results list"):
        if not any(each in line for each in needs_more):
            ended = main_here(*own(line, private))
            assert ended.status == 0, f"{line}\n{ended.stderr}"


def test_an_example_that_takes_long_is_possible(served: Path, main_here: RunCommand) -> None:
    for line in (each for path in DRY for each in examples(path)):
        words = own(line, served)
        if words[0] in DRY:
            place = words.index("--") if "--" in words else len(words)
            words[place:place] = ["--dry-run", "--yes"]
            ended = main_here(*words)
            assert ended.status == 0, f"{line}\n{ended.stderr}"

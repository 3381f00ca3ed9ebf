# SPDX-License-Identifier: GPL-2.0-or-later
"""cli/help.py: help texts, the command `help`, and the table of exit statuses."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pyfio_virtio.cli.main import cli
from tests.conftest import ROOT, RunCommand

# A command for each exit status that needs no results; test_report.py has those of `compare`.
REAL = {
    0: "job",
    1: "results list nowhere",
    2: "probe no.sock",
    3: "run --fio no-such-fio",
}


@pytest.mark.parametrize("group", ["", "backend", "results"])
def test_a_group_alone_prints_its_help_as_it_is(command: RunCommand, group: str) -> None:
    alone = command(*group.split())
    asked = command(*group.split(), "--help")
    assert (alone.status, alone.stdout) == (2, "")
    assert alone.stderr == asked.stdout
    assert "\nCommands:\n" in alone.stderr


@pytest.mark.parametrize("path", ["", "run", "backend", "backend start", "results export", "help"])
def test_help_shows_what_the_command_shows(command: RunCommand, path: str) -> None:
    shown = command("help", *path.split())
    assert (shown.status, shown.stderr) == (0, "")
    assert shown.stdout == command(*path.split(), "--help").stdout


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("help rnu", "no such command 'rnu'; did you mean run?"),
        ("help run latency", "pyfio-virtio run has no command 'latency'"),
        ("help backend strt", "no such command 'strt'; did you mean start?"),
        ("runn", "no such command 'runn'; did you mean run?"),
        ("backend lst", "no such command 'lst'; did you mean list?"),
        ("export", "no such command 'export'; did you mean results export?"),
        ("zzz", "no such command 'zzz' (see pyfio-virtio --help)"),
    ],
)
def test_a_wrong_command_is_answered_with_the_nearest(
    command: RunCommand, line: str, words: str
) -> None:
    ended = command(*line.split())
    assert (ended.status, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert words in ended.stderr


def test_no_sentence_of_a_list_is_cut(command: RunCommand) -> None:
    shown = command("--help", COLUMNS="40").stdout
    flat = " ".join(shown.split())
    assert "..." not in shown.partition("Commands:")[2]
    assert "report Write the report of a sweep as one self-contained HTML page." in flat
    assert all(f" {name} " in flat for name in cli.commands)


@pytest.mark.parametrize("flag", ["-v", "--version"])
def test_the_version_has_two_flags(command: RunCommand, flag: str) -> None:
    shown = command(flag)
    assert (shown.status, shown.stderr) == (0, "")
    assert re.fullmatch(r"pyfio-virtio \S+\n", shown.stdout)


def test_the_table_has_each_exit_status(command: RunCommand) -> None:
    table = command("--help").stdout.partition("Exit status:")[2]
    assert re.findall(r"^    (\d+(?: \+ N)?)  ", table, re.MULTILINE) == [
        *map(str, (*REAL, 4, 5)),
        "128 + N",
    ]


@pytest.mark.parametrize(("status", "line"), REAL.items())
def test_an_exit_status_of_the_table_is_true(command: RunCommand, status: int, line: str) -> None:
    assert command(*line.split()).status == status


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_shown_by_a_shell_as_128_and_its_number(private: Path, number: int) -> None:
    """The signal comes when the command has begun. A command that waits for nothing would end."""
    program = (
        "import os, click\n"
        "from pyfio_virtio.cli import main\n"
        f"end = lambda: os.kill(os.getpid(), {number:d})\n"
        "main.cli.add_command(click.Command('wait', callback=end))\n"
        "main.main()\n"
    )
    (private / "program.py").write_text(program)
    line = f"{sys.executable} program.py wait; echo $?"
    ended = subprocess.run(
        ["sh", "-c", line],
        cwd=private,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout == f"{128 + number}\n"
    assert "Traceback" not in ended.stderr

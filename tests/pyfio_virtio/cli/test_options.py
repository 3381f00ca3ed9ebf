# SPDX-License-Identifier: GPL-2.0-or-later
"""cli/options.py: an option means the same in each command, and old spellings work."""

import re
from collections.abc import Iterator

import click
import pytest

from pyfio_virtio.cli.main import cli
from tests.conftest import RunCommand, StartBackend

COMMANDS = ("run", "sweep", "job", "verify", "probe", "backend start")


def options_of(path: str) -> Iterator[click.Option]:
    command: click.Command = cli
    for word in path.split():
        assert isinstance(command, click.Group)
        command = command.commands[word]
    return (each for each in command.params if isinstance(each, click.Option) and not each.hidden)


@pytest.mark.parametrize(
    ("flag", "means"),
    [
        ("-o", {"--output"}),
        ("-s", {"--socket"}),
        ("--bs", {"Size of each I/O.", "Size of a piece, in any number of bytes."}),
        ("--size", {"How much of the disk to use."}),
        ("--wait", {"How to wait", "Ways of waiting"}),
        ("--backend", {"What serves the disk."}),
        ("--socket", {"Socket of the disk.", "Socket to serve.", "The same as --backend PATH"}),
        ("--cpus", {"CPUs of fio and the back-end", "CPUs that it runs on"}),
    ],
)
def test_an_option_has_one_meaning(flag: str, means: set[str]) -> None:
    for path in COMMANDS:
        for option in options_of(path):
            if flag in option.opts:
                about = f"{' '.join(option.opts)} {option.help}"
                assert any(each in about for each in means), (path, about)


@pytest.mark.parametrize("path", ["verify", "job"])
def test_the_ways_of_waiting_are_listed(path: str) -> None:
    [wait] = [each for each in options_of(path) if "--wait" in each.opts]
    assert isinstance(wait.type, click.Choice)
    assert list(wait.type.choices) == ["event", "busy", "sleepy", "adaptive"]


@pytest.mark.parametrize(
    ("old", "new"),
    [("-o 4096", "--offset 4096"), ("--size 512", "--bs 512"), ("-o4k", "--offset 4k")],
)
def test_an_old_spelling_works_with_a_note(
    main_here: RunCommand, builtin: StartBackend, old: str, new: str
) -> None:
    words = ("verify", "--socket", builtin().socket, "--iterations", "2", "--yes")
    asked, before = main_here(*words, *new.split()), main_here(*words, *old.split())
    assert (asked.status, asked.stderr) == (0, "")
    assert (before.status, before.stdout) == (0, asked.stdout)
    assert re.fullmatch(
        rf"pyfio-virtio: note: {old[:2]}\S* is now called {new.split()[0]}\n", before.stderr
    )


# ---- CPUs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "fio", "backend"),
    [
        ("0:1", "cpus_allowed=0", "taskset -c 1 "),
        ("0:", "cpus_allowed=0", ""),
        (":1", "", "taskset -c 1 "),
        ("1", "", "taskset -c 1 "),
        ("any", "", ""),
    ],
)
def test_run_places_fio_and_the_back_end_as_a_sweep_does(
    main_here: RunCommand, place: str, fio: str, backend: str
) -> None:
    for words in (("run",), ("sweep", "--iodepth", "1", "--no-controls")):
        shown = main_here(*words, "--cpus", place, "--dry-run")
        assert shown.status == 0, shown.stderr
        for text, word in ((fio, "cpus_allowed="), (backend, "taskset -c")):
            assert text in shown.stdout
            assert bool(text) == (word in shown.stdout)


def test_cpus_of_a_disk_that_is_served_already_are_those_of_fio(
    main_here: RunCommand, builtin: StartBackend
) -> None:
    words = ("run", "--socket", builtin().socket, "--dry-run", "latency", "--cpus")
    assert "cpus_allowed=0" in main_here(*words, "0:").stdout
    refused = main_here(*words, "0:1")
    assert (refused.status, refused.stderr.count("\n")) == (2, 1)
    assert "write --cpus FIO: to place fio alone" in refused.stderr


@pytest.mark.parametrize("words", ["run --cpus 0:x", "run --cpus 0:1:2", "run --cpus 99:0"])
def test_cpus_that_do_not_exist_are_refused(main_here: RunCommand, words: str) -> None:
    refused = main_here(*words.split(), "--dry-run")
    assert (refused.status, refused.stderr.count("\n")) == (2, 1)


# ---- sockets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "unused",
    [
        *("--storage=null", "--disk-size=1G", "--block-size=512", "--read-only"),
        *("--poll-max-ns=1", "--backend-option=latency=1us", "--backend=qsd"),
    ],
)
def test_an_option_for_a_disk_that_is_not_started_is_refused(
    main_here: RunCommand, unused: str
) -> None:
    refused = main_here("run", "--socket", "a.sock", unused, "--dry-run")
    assert (refused.status, refused.stderr.count("\n")) == (2, 1)
    assert f"cannot use {unused.partition('=')[0]} here" in refused.stderr


@pytest.mark.parametrize("flag", ["--socket", "--backend"])
def test_a_sweep_takes_a_socket_by_both_names(
    main_here: RunCommand, builtin: StartBackend, flag: str
) -> None:
    builtin()
    shown = main_here("sweep", flag, "disk0.sock", "--iodepth", "1", "--dry-run")
    assert shown.status == 0, shown.stderr
    assert "/disk0.sock" in shown.stdout

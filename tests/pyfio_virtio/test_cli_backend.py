# SPDX-License-Identifier: GPL-2.0-or-later
"""cli_backend.py: back-ends that stay, by the real command."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyfio_virtio import backends
from pyfio_virtio.process import Process
from tests.conftest import Finished, RunCommand


@pytest.fixture
def backend(command: RunCommand) -> Iterator[RunCommand]:
    """pyfio-virtio backend ...; all that it leaves running ends with the test."""

    def run(*arguments: str) -> Finished:
        return command("backend", *arguments)

    yield run
    run("stop", "--all")


def _records(backend: RunCommand) -> list[dict[str, object]]:
    listed = json.loads(backend("list", "--json").stdout)
    assert isinstance(listed, list)
    return listed


def test_start_prints_the_socket_of_a_back_end_that_stays(backend: RunCommand) -> None:
    started = backend("start", "qsd")
    assert started.status == 0
    assert backends.accepts(started.stdout.removesuffix("\n"))


def test_the_socket_lies_where_it_was_wanted(backend: RunCommand, private: Path) -> None:
    socket = str(private / "here.sock")
    assert backend("start", "qsd", "--socket", socket).stdout == f"{socket}\n"


def test_list_shows_what_was_started(backend: RunCommand) -> None:
    backend("start", "qsd", "--name", "fast", "--storage", "null", "--queues", "3")
    [record] = _records(backend)
    assert (record["name"], record["running"]) == ("fast", True)
    assert "fast" in backend("list").stdout


def test_stop_ends_the_named_one_only(backend: RunCommand) -> None:
    backend("start", "qsd", "--name", "one")
    backend("start", "qsd", "--name", "two")
    assert backend("stop", "one").status == 0
    assert [record["name"] for record in _records(backend)] == ["two"]


def test_stop_all_leaves_nothing_behind(backend: RunCommand, private: Path) -> None:
    backend("start", "qsd")
    backend("start", "qsd", "--storage", "null")
    backend("stop", "--all")
    assert list((private / "pyfio-virtio").iterdir()) == []


def test_one_that_died_is_listed_so(backend: RunCommand) -> None:
    backend("start", "qsd")
    [record] = _records(backend)
    pid, ticks = record["pid"], record["start_ticks"]
    assert isinstance(pid, int)
    assert isinstance(ticks, int)
    os.kill(pid, signal.SIGKILL)
    assert Process(pid, ticks).wait(timeout_s=10)
    assert "died" in backend("list").stdout


def test_the_state_folder_is_private(backend: RunCommand, private: Path) -> None:
    backend("start", "qsd")
    assert (private / "pyfio-virtio").stat().st_mode & 0o777 == 0o700


def test_a_dry_run_starts_nothing(backend: RunCommand, private: Path) -> None:
    shown = backend("start", "qsd", "--dry-run", "--queues", "7")
    assert "num-queues=7" in shown.stdout
    assert list(private.iterdir()) == []


def test_without_qemu_storage_daemon_one_line_names_the_package(
    command: RunCommand, private: Path
) -> None:
    ended = command("backend", "start", "qsd", PATH=str(private))
    assert ended.status == 3
    assert "qemu-system-common" in ended.stderr
    assert ended.stderr.count("\n") == 1

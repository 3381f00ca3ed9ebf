# SPDX-License-Identifier: GPL-2.0-or-later
"""cli/backend.py: back-ends that stay, by the real command."""

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pyfio_virtio.backends import unix_sockets
from tests.conftest import Finished, RunCommand
from tests.waiting import kill, stop


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
    assert unix_sockets.accepts(started.stdout.removesuffix("\n"))


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


def test_a_name_that_is_unknown_stops_none(backend: RunCommand) -> None:
    backend("start", "qsd", "--name", "one")
    refused = backend("stop", "one", "two")
    assert (refused.status, refused.stderr) == (
        2,
        "pyfio-virtio: no back-end is named two: known names: one; so none was stopped\n",
    )
    assert [record["running"] for record in _records(backend)] == [True]


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
    kill(pid)
    assert "died" in backend("list").stdout


@pytest.mark.parametrize(("kind", "number"), [("builtin", 4), ("qsd", 20)])
def test_of_many_starts_at_once_each_has_its_own(
    backend: RunCommand, kind: str, number: int
) -> None:
    with ThreadPoolExecutor(number) as pool:
        ended = list(pool.map(lambda _: backend("start", kind, "--storage", "null"), range(number)))
    assert [each.status for each in ended] == [0] * number
    sockets = {each.stdout.removesuffix("\n") for each in ended}
    listed = _records(backend)
    assert sockets == {record["socket"] for record in listed}
    assert len(listed) == number
    assert all(record["running"] for record in listed)
    assert all(unix_sockets.listener(str(each["socket"])) == each["pid"] for each in listed)


def test_of_many_starts_of_one_name_one_succeeds(backend: RunCommand) -> None:
    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(lambda _: backend("start", "qsd", "--name", "disk"), range(4)))
    assert sorted(each.status for each in ended) == [0, 2, 2, 2]
    assert len(_records(backend)) == 1


def test_starts_and_stops_at_once_leave_nothing_that_cannot_be_stopped(
    backend: RunCommand, private: Path
) -> None:
    words = [("start", "qsd", "--storage", "null"), ("stop", "--all")] * 6
    with ThreadPoolExecutor(6) as pool:
        ended = list(pool.map(lambda each: backend(*each), words))
    assert {each.status for each in ended} == {0}
    assert backend("stop", "--all").status == 0
    assert list((private / "pyfio-virtio").iterdir()) == []


def test_two_stops_of_one_are_both_content(backend: RunCommand) -> None:
    backend("start", "qsd", "--name", "disk")
    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(lambda _: backend("stop", "--all"), range(2)))
    assert [each.status for each in ended] == [0, 0]
    assert _records(backend) == []


@pytest.mark.parametrize("words", ["list", "list --json", "stop --all", "stop x", "start qsd"])
@pytest.mark.skipif(os.geteuid() != 0, reason="makes a folder of another user")
def test_a_folder_that_a_stranger_made_is_refused_in_a_sentence(
    command: RunCommand, private: Path, words: str
) -> None:
    folder = private / "pyfio-virtio"
    folder.mkdir()
    (folder / "x.json").write_text("{}")
    os.chown(folder, 65534, 65534)
    ended = command("backend", *words.split())
    assert ended.status == 3
    assert "belongs to user nobody" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert (folder / "x.json").exists()


def test_what_cannot_be_read_is_told_and_the_others_are_stopped(
    backend: RunCommand, private: Path
) -> None:
    backend("start", "qsd", "--name", "good")
    bad = private / "pyfio-virtio" / "backend-bad"
    bad.mkdir()
    (bad / "record.json").write_text("{")
    listed = backend("list")
    assert "good" in listed.stdout
    assert f"cannot read {bad / 'record.json'}" in listed.stderr
    stopped = backend("stop", "--all")
    assert stopped.status == 1
    assert "stopped good" in stopped.stderr
    assert bad.exists()


@pytest.mark.parametrize("strike", [kill, stop])
def test_stop_removes_a_socket_that_was_left_elsewhere(
    backend: RunCommand, private: Path, strike: Callable[[int], None]
) -> None:
    path = private / "here.sock"
    backend("start", "qsd", "--socket", str(path))
    [record] = _records(backend)
    assert isinstance(record["pid"], int)
    strike(record["pid"])
    stopped = backend("stop", "--all")
    assert (stopped.status, stopped.stderr) == (0, "stopped qsd-0\n")
    assert not path.exists()


def test_list_shows_the_options(backend: RunCommand, private: Path) -> None:
    words = ("--storage", f"file:{private / 'd'}", "--disk-size", "1M")
    backend("start", "qsd", *words, "--backend-option", "aio=threads", "--block-size", "4k")
    backend("start", "builtin", "--backend-option", "latency=20us", "--storage", "null")
    shown = "".join(backend("list").stdout.split())
    assert "4096-byteblocks,aio=threads" in shown
    assert "latency=20us" in shown
    assert "control=" not in shown


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

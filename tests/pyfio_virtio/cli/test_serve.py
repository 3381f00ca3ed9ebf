# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio serve: what it says, and to whom."""

import socket as socket_module
from pathlib import Path

import pytest

from tests.conftest import RunCommand
from tests.pyfio_virtio.conftest import Start
from tests.pyfio_virtio.hosts.conftest import Client, Served, here, long_served

__all__ = ["here", "long_served"]


def _free_port() -> int:
    with socket_module.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_nobody_serves(command: RunCommand, private: Path) -> None:
    ended = command("serve", "--status")
    assert ended.status == 1
    assert ended.stderr == (
        f"pyfio-virtio: nobody serves at unix:{private}/pyfio-virtio/serve.sock: "
        "No such file or directory; start there: pyfio-virtio serve\n"
    )


def test_the_status_shows_each_session(here: Served, command: RunCommand) -> None:
    with Client(here.socket) as client:
        client.prepare(storage="null")
        ended = command("serve", "--status", "--listen", here.address)
    assert ended.status == 0, ended.stderr
    assert "waits for its client" in ended.stdout
    assert "built-in back-end, storage null, 4 MiB, 1 queue" in ended.stdout
    assert len(ended.stdout.splitlines()) == 2


def test_the_status_of_what_is_no_serve(start: Start, private: Path) -> None:
    with socket_module.socket(socket_module.AF_UNIX) as listener:
        listener.bind(str(private / "s"))
        listener.listen()
        listener.settimeout(30)
        asking = start("serve", "--status", "--listen", f"unix:{private}/s")
        with listener.accept()[0] as connection:
            connection.sendall(b"hello\n")
            _, errors = asking.communicate(timeout=30)
    assert (asking.returncode, "it is not JSON" in errors) == (1, True), errors


def test_two_cannot_serve_at_the_default_address(start: Start, private: Path) -> None:
    first = start("serve")
    assert first.stdout
    assert first.stdout.readline() == f"unix:{private}/pyfio-virtio/serve.sock\n"
    second = start("serve")
    _, errors = second.communicate(timeout=30)
    assert second.returncode == 2
    assert "another pyfio-virtio serve of this user does" in errors
    first.terminate()
    _, errors = first.communicate(timeout=30)
    assert first.returncode == 143
    assert errors.splitlines()[-1] == "pyfio-virtio: interrupted"
    assert not list((private / "pyfio-virtio").iterdir())


def test_who_else_may_connect_is_said(start: Start) -> None:
    serving = start("serve", "--listen", f"127.0.0.1:{_free_port()}")
    assert serving.stdout
    serving.stdout.readline()
    serving.terminate()
    _, errors = serving.communicate(timeout=30)
    assert "every user of this machine can connect" in errors


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--allow", "no/such/folder"), "there is no folder"),
        (("--listen", "no/such"), "did you mean unix:no/such?"),
        (("--listen", "unix:no/such/s"), "its folder does not exist"),
        (("--sessions", "0"), "0 is not in the range"),
    ],
)
def test_what_cannot_be_served(command: RunCommand, words: tuple[str, ...], said: str) -> None:
    ended = command("serve", *words)
    assert (ended.status, said in ended.stderr) == (2, True), ended.stderr

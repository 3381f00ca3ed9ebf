# SPDX-License-Identifier: GPL-2.0-or-later
"""Tunnels, with a script that stands for ssh: it relays, refuses, or never gets anywhere."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pyfio_virtio.fio import fio
from pyfio_virtio.hosts import tunnels
from pyfio_virtio.hosts.addresses import Address
from pyfio_virtio.hosts.host_errors import HostError
from pyfio_virtio.hosts.hosts_file import Host
from pyfio_virtio.hosts.together import controller
from pyfio_virtio.hosts.tunnels import Tunnel
from pyfio_virtio.machine import descendants
from tests.pyfio_virtio.hosts.conftest import Serve
from tests.pyfio_virtio.hosts.test_together import OURS

# Listens at the local end that -L names, and passes each connection on to the other end.
RELAYS = """
import socket, sys, threading
local, remote = sys.argv[sys.argv.index("-L") + 1].split(":")
def copy(one, other):
    while data := one.recv(65536):
        other.sendall(data)
    other.shutdown(socket.SHUT_WR)
listener = socket.socket(socket.AF_UNIX)
listener.bind(local)
listener.listen()
while True:
    here, _ = listener.accept()
    there = socket.socket(socket.AF_UNIX)
    there.connect(remote)
    for pair in ((here, there), (there, here)):
        threading.Thread(target=copy, args=pair, daemon=True).start()
"""
REFUSES = """
import sys
sys.exit("warning: a new key\\nu@b: Permission denied (publickey).")
"""
HANGS = """
import time
time.sleep(60)
"""

Ssh = Callable[[str], None]


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ssh:
    """Puts a script named ssh first into the PATH."""

    def put(script: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        program = folder / "ssh"
        program.write_text(f"#!{sys.executable}\n{script}")
        program.chmod(0o700)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    return put


def opened(host: Host, folder: Path) -> None:
    tunnel = Tunnel(host, folder, 0)
    try:
        asyncio.run(tunnel.open())
    finally:
        tunnel.close()


HOST = Host("b", Address(path="/run/serve.sock"), ssh="u@b")


def test_a_host_is_reached_through_a_tunnel_that_ends_with_the_controller(
    served: Serve, ssh: Ssh, private: Path
) -> None:
    here = served()
    ssh(RELAYS)
    host = Host("b", Address(path=here.socket), ssh="u@b")
    with controller([host], private, fio.find()) as hosts:
        hosts.connect(OURS)
        assert hosts.known()["b"].versions == OURS
    here.wait_until_idle()
    assert not list(private.glob("ssh-*.sock"))
    assert set(descendants.below(os.getpid())) == {here.pid}


def test_the_words_of_ssh_are_in_the_error(ssh: Ssh, private: Path) -> None:
    ssh(REFUSES)
    with pytest.raises(HostError) as failed:
        opened(HOST, private)
    assert str(failed.value) == (
        "host b (unix:/run/serve.sock through ssh u@b): the ssh tunnel cannot be opened, ssh says: "
        "u@b: Permission denied (publickey).; try it: ssh -o BatchMode=yes u@b true"
    )


def test_an_ssh_that_gets_nowhere_is_ended(
    ssh: Ssh, private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh(HANGS)
    monkeypatch.setattr(tunnels, "LIMIT_S", 0.5)
    with pytest.raises(HostError, match=r"was not open after 0\.5 s"):
        opened(HOST, private)
    assert not list(descendants.below(os.getpid()))


def test_ssh_asks_nothing_and_gets_no_words_as_options(private: Path) -> None:
    command = Tunnel(HOST, private, 3).command()
    assert {"BatchMode=yes", "ExitOnForwardFailure=yes"} <= set(command)
    assert command[-4:] == ["-L", f"{private}/ssh-3.sock:/run/serve.sock", "--", "u@b"]


def test_a_tunnel_leads_to_a_port(private: Path) -> None:
    host = Host("b", Address(host="::1", port=99), ssh="b")
    assert f"{private}/ssh-0.sock:[::1]:99" in Tunnel(host, private, 0).command()

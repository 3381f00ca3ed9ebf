# SPDX-License-Identifier: GPL-2.0-or-later
"""Addresses as users write them, and sockets there."""

import os
import re
import socket as socket_module
from pathlib import Path

import pytest

from pyfio_virtio.errors import PyfioVirtioError, UsageError
from pyfio_virtio.hosts import addresses
from pyfio_virtio.hosts.addresses import Address, parse


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a", Address(host="a")),
        ("a.b:1", Address(host="a.b", port=1)),
        ("10.0.0.1:65535", Address(host="10.0.0.1", port=65535)),
        ("[::1]", Address(host="::1")),
        ("[fe80::1]:2", Address(host="fe80::1", port=2)),
        ("unix:/x/y", Address(path="/x/y")),
    ],
)
def test_an_address_is_read_and_shown(text: str, wanted: Address) -> None:
    assert parse(text) == wanted
    assert parse(str(wanted)) == wanted


def test_a_relative_path_is_that_of_this_folder() -> None:
    assert parse("unix:x") == Address(path=str(Path("x").absolute()))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not an address"),
        ("a:0", "ports are 1 to 65535"),
        ("a:99999", "ports are 1 to 65535"),
        ("a:b", "is not an address"),
        ("::1", "is not an address"),
        ("[a]", "is no IPv6 address"),
        ("/x/y", "did you mean unix:/x/y?"),
        ("a b", "is not an address"),
        ("unix:/" + "x" * 200, "Unix sockets allow 107"),
    ],
)
def test_what_is_no_address(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        parse(text)


@pytest.mark.parametrize(
    ("address", "is_so"),
    [
        (Address(path="/x"), True),
        (Address(host="127.0.0.9"), True),
        (Address(host="::1"), True),
        (Address(host="localhost"), True),
        (Address(host="10.0.0.1"), False),
        (Address(host="a"), False),
        (Address(host="0.0.0.0"), False),  # noqa: S104
    ],
)
def test_which_are_of_this_machine(address: Address, is_so: bool) -> None:
    assert address.is_of_this_machine() == is_so


def _free_port() -> int:
    with socket_module.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_who_connects(private: Path) -> None:
    for address in (Address(path=str(private / "s")), Address(host="127.0.0.1", port=_free_port())):
        with addresses.listen(address) as listener:
            with addresses.connect(address) as client, listener.accept()[0] as connection:
                peer = addresses.peer_of(connection)
                if address.path:
                    assert peer == f"process {os.getpid()}"
                else:
                    assert peer == f"127.0.0.1:{client.getsockname()[1]}"
            with pytest.raises(UsageError, match="cannot"):
                addresses.listen(address)
        with pytest.raises(PyfioVirtioError, match="nobody serves at"):
            addresses.connect(address)

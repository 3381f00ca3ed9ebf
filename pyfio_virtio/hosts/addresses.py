# SPDX-License-Identifier: GPL-2.0-or-later
"""Addresses at which a host serves: HOST, HOST:PORT, [V6]:PORT or unix:PATH.

Owns how an address is read, and the sockets that listen or connect there. Every wait has a limit,
but for the look-up of a host's name, which has the limits of the system's resolver. Any thread may
call.
"""

from __future__ import annotations

import ipaddress
import re
import socket as socket_module
from dataclasses import dataclass

from pyfio_virtio.backends import unix_sockets
from pyfio_virtio.errors import PyfioVirtioError, UsageError
from pyfio_virtio.machine.folders import absolute, check_socket_path

DEFAULT_PORT = 8765
_BACKLOG = 64
_CONNECT_S = 10.0
_FORMS = "write HOST, HOST:PORT, [V6-ADDRESS]:PORT or unix:PATH"
# A name, an IPv4 address, or an IPv6 address in brackets; and a port.
_NETWORK = re.compile(r"(?:\[([^\[\]]+)\]|([^:\[\]\s/]+))(?::(\d{1,5}))?", re.ASCII)
# The peer is lost after so many seconds without an answer, also if its machine has stopped.
_KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 20_000}


@dataclass(frozen=True)
class Address:
    """Either the path of a Unix socket, or a host and a port."""

    path: str = ""
    host: str = ""
    port: int = DEFAULT_PORT

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def is_of_this_machine(self) -> bool:
        """Whether only processes of this machine can reach it."""
        if self.path or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse(text: str) -> Address:
    """Reads an address that a user wrote."""
    if text.startswith("unix:"):
        path = absolute(text.removeprefix("unix:"))
        check_socket_path(path)
        return Address(path=path)
    match = _NETWORK.fullmatch(text)
    if match is None:
        advice = f"did you mean unix:{text}?" if "/" in text else _FORMS
        raise UsageError(f"{text!r} is not an address", "", advice)
    host, port = match[1] or match[2], int(match[3] or DEFAULT_PORT)
    if match[1] and not _is_v6(host):
        raise UsageError(f"{text!r} is not an address", f"[{host}] is no IPv6 address", _FORMS)
    if not 0 < port < 1 << 16:
        raise UsageError(f"{text!r} is not an address", "ports are 1 to 65535", _FORMS)
    return Address(host=host, port=port)


def _is_v6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def listen(address: Address) -> socket_module.socket:
    """A socket that listens there. The file of a Unix socket is made, and none is replaced."""
    if address.path:
        bound = unix_sockets.bind(address.path)
        bound.listen(_BACKLOG)
        return bound
    try:
        family, where = _resolved(address)
        return socket_module.create_server(where, family=family, backlog=_BACKLOG)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"cannot listen on {address}", *_why_not(error)) from error


def _resolved(address: Address) -> tuple[socket_module.AddressFamily, tuple[str, int]]:
    found = socket_module.getaddrinfo(
        address.host, address.port, type=socket_module.SOCK_STREAM, flags=socket_module.AI_PASSIVE
    )
    family, _, _, _, where = found[0]
    return family, (str(where[0]), int(where[1]))


def _why_not(error: OSError | UnicodeError) -> tuple[str, str]:
    why = getattr(error, "strerror", None) or str(error)
    return why, "name an address of this machine, and a port that is free"


def connect(address: Address, timeout_s: float = _CONNECT_S) -> socket_module.socket:
    """A connection to who serves there. Its time-out is `timeout_s`."""
    try:
        if address.path:
            connected = unix_sockets.connect(address.path)
        else:
            where = (address.host, address.port)
            connected = socket_module.create_connection(where, timeout_s)
            keep_alive(connected)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise PyfioVirtioError(
            f"nobody serves at {address}", why, "start there: pyfio-virtio serve"
        ) from error
    connected.settimeout(timeout_s)
    return connected


def keep_alive(connection: socket_module.socket) -> None:
    """Lets the kernel notice that the peer's machine is gone, and sends small messages at once."""
    if connection.family == socket_module.AF_UNIX:
        return
    connection.setsockopt(socket_module.SOL_SOCKET, socket_module.SO_KEEPALIVE, 1)
    connection.setsockopt(socket_module.IPPROTO_TCP, socket_module.TCP_NODELAY, 1)
    for name, value in _KEEPALIVE.items():
        connection.setsockopt(socket_module.IPPROTO_TCP, getattr(socket_module, name), value)


def peer_of(connection: socket_module.socket) -> str:
    """Who has connected, in words."""
    if connection.family == socket_module.AF_UNIX:
        credentials = connection.getsockopt(socket_module.SOL_SOCKET, socket_module.SO_PEERCRED, 12)
        return f"process {int.from_bytes(credentials[:4], 'little')}"
    try:
        host, port = connection.getpeername()[:2]
    except OSError:
        return "a peer that has left"
    return str(Address(host=host, port=port))

# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory that outlives its device while a back-end may still write to it: library/attach.c."""

import errno
from collections.abc import Callable, Iterator

import pytest

from pyfio_virtio.backends.backends import Backend
from tests.engine.blk_backend import describe, reaches
from tests.engine.shared_object import CData, ffi, lib, sentence
from tests.pyfio_virtio.disks import Kind, Server

Serve = Callable[..., Backend]
BLOCK = 4096


@pytest.fixture
def server(serve: Serve) -> Server:
    return Server(Kind("builtin", 512).start(serve))


def attach(server: Server, memory: CData, timeout_ms: int) -> CData:
    """A struct device * of C's."""
    path = ffi.new("char[]", server.backend.socket.encode())
    fields = {"socket": path, "connect_timeout_ms": 20_000, "memory": memory}
    device = ffi.new("struct device **")
    options = ffi.new("struct attach_options *", {"request_timeout_ms": timeout_ms})
    config = ffi.new("struct device_config *", fields)
    assert lib.device_attach(device, config, options) == 0
    return device[0]


@pytest.fixture
def memory() -> Iterator[CData]:
    made = lib.memory_create(lib.HUGEPAGES_OFF)
    yield made
    lib.memory_destroy(made)


def give_up_in_c(device: CData) -> CData:
    """The memory of a read that timed out, which was freed since."""
    buffer = lib.device_alloc(device, BLOCK, BLOCK)
    assert lib.device_read(device, buffer, BLOCK, 0) == -errno.ETIMEDOUT
    lib.device_free(device, buffer)
    return buffer


def is_free(memory: CData, buffer: CData) -> bool:
    """Whether it is among all that can be allocated."""
    found = []
    while (address := lib.memory_alloc(memory, BLOCK, 64)) != ffi.NULL:
        found.append(address)
    for address in found:
        lib.memory_free(memory, address)
    return buffer in found


def test_a_device_that_was_stopped_gives_memory_back(server: Server, memory: CData) -> None:
    device = attach(server, memory, 50)
    with server.stopped():
        buffer = give_up_in_c(device)
        assert not is_free(memory, buffer)
    lib.device_detach(device)
    assert is_free(memory, buffer)


def test_a_device_that_hangs_keeps_memory(serve: Serve, server: Server, memory: CData) -> None:
    """Also from the device that lies where it lay."""
    other = Server(Kind("builtin", 512).start(serve))
    device = attach(server, memory, 50)
    with server.stopped():
        buffer = give_up_in_c(device)
        lib.device_detach(device)
    for _ in range(3):
        lib.device_detach(attach(other, memory, 20_000))
        assert not is_free(memory, buffer)


# ---- the ID ------------------------------------------------------------------------------------


def attached_with(serve: Serve, fault: str, **fields: int) -> CData:
    """A device that was attached to a back-end with this fault, whose chain is its only one."""
    served = serve("builtin", size_bytes=1 << 20, options=(f"fault={fault}",))
    path = ffi.new("char[]", served.socket.encode())
    config = ffi.new("struct device_config *", {"socket": path, "depth": 1, **fields})
    code, device = attach_with(config, ffi.NULL)
    assert code == 0, sentence()
    return device


def can_read(device: CData) -> bool:
    return bool(lib.device_read(device, ffi.new("char[]", BLOCK), BLOCK, 0) == BLOCK)


def test_a_device_that_does_not_tell_its_id_is_attached(serve: Serve) -> None:
    device = attached_with(serve, "error:type=identify")
    assert describe(device).id[0] == b"\0"
    assert can_read(device)
    lib.device_detach(device)


def test_the_id_is_not_waited_for_and_its_chain_is_used_again(serve: Serve) -> None:
    device = attached_with(serve, "delay:for=3s,type=identify", connect_timeout_ms=1000)
    assert describe(device).id[0] == b"\0"
    assert can_read(device)
    lib.device_detach(device)


def test_an_id_that_never_comes_leaves_nothing_behind(serve: Serve) -> None:
    lib.device_detach(attached_with(serve, "lose:type=identify", connect_timeout_ms=1000))


# ---- what may be left out ------------------------------------------------------------------------


def attach_with(config: CData, options: CData) -> tuple[int, CData]:
    device = ffi.new("struct device **")
    return lib.device_attach(device, config, options), device[0]


@pytest.mark.parametrize("has_config", [False, True])
def test_a_missing_socket_is_refused_in_words(*, has_config: bool) -> None:
    config = ffi.new("struct device_config *") if has_config else ffi.NULL
    assert attach_with(config, ffi.NULL) == (-errno.EINVAL, ffi.NULL)
    assert "no socket is given" in sentence()


def test_zeroes_and_no_options_mean_the_defaults(server: Server) -> None:
    path = ffi.new("char[]", server.backend.socket.encode())
    code, device = attach_with(ffi.new("struct device_config *", {"socket": path}), ffi.NULL)
    assert code == 0, sentence()
    buffer = lib.device_alloc(device, BLOCK, 0)
    assert lib.device_read(device, buffer, BLOCK, 0) == BLOCK
    lib.device_detach(device)


@pytest.mark.parametrize("wait", [-1, 5, 1 << 20])
def test_an_unknown_way_of_waiting_is_refused(server: Server, wait: int) -> None:
    path = ffi.new("char[]", server.backend.socket.encode())
    config = ffi.new("struct device_config *", {"socket": path})
    code, _ = attach_with(config, ffi.new("struct attach_options *", {"wait": wait}))
    assert code == -errno.EINVAL
    assert f"{wait} is not a way of waiting" in sentence()


@pytest.mark.parametrize("sleepy_poll_us", [1_000_001, 4_294_968, (1 << 32) - 1])
def test_a_sleep_that_would_wrap_is_refused(server: Server, sleepy_poll_us: int) -> None:
    path = ffi.new("char[]", server.backend.socket.encode())
    config = ffi.new("struct device_config *", {"socket": path})
    options = ffi.new("struct attach_options *", {"sleepy_poll_us": sleepy_poll_us})
    assert attach_with(config, options)[0] == -errno.EINVAL
    assert f"sleepy_poll_us={sleepy_poll_us}: it must be from 0 to 1000000" in sentence()


# ---- memory that several devices share ---------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("profile=spdk",)], ids=["slots", "no slots"])
def test_memory_that_another_device_added_is_used(
    serve: Serve, server: Server, memory: CData, options: tuple[str, ...]
) -> None:
    """Directly if the back-end takes it, else with a copy."""
    other_server = Server(serve("builtin", size_bytes=8 << 20, options=options))
    device, other = attach(server, memory, 20_000), attach(other_server, memory, 20_000)
    buffer = lib.device_alloc(device, 32 << 20, BLOCK)
    assert not reaches(other, buffer, BLOCK)
    ffi.memmove(buffer, b"grown" * 800, 4000)
    assert lib.device_write(other, buffer, BLOCK, 0) == BLOCK
    ffi.memmove(buffer, bytes(4000), 4000)
    assert lib.device_read(other, buffer, BLOCK, 0) == BLOCK
    assert ffi.buffer(buffer, 5)[:] == b"grown"
    assert reaches(other, buffer, BLOCK) == (not options)
    assert lib.device_alloc(other, BLOCK, BLOCK) != ffi.NULL
    lib.device_detach(device)
    lib.device_detach(other)

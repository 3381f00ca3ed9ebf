# SPDX-License-Identifier: GPL-2.0-or-later
"""Structures of programs that were compiled with an older or a newer header, and pointers that are
NULL: library/sized.c and the files library/public_*.c."""

import ctypes
import errno
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyfio_virtio.backends.backends import Backend
from tests.engine.library.installed import HEADERS, build, code_of, execute
from tests.pyfio_virtio.disks import DISK_BYTES, SCSI, Kind

Serve = Callable[..., Backend]
POINTER = ctypes.sizeof(ctypes.c_void_p)
# What a program has behind its structure.
CANARY = b"\xa5" * 64
NEWER = 24  # bytes that a newer header adds
BLOCK = 4096


@pytest.fixture(scope="module")
def lib(prefix: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(prefix / "lib" / "libpyfio_virtio.so"))
    library.pyfio_error_message.restype = ctypes.c_char_p
    library.pyfio_wait_name.restype = ctypes.c_char_p
    for name in ("read", "write"):
        call = getattr(library, f"pyfio_device_{name}")
        call.restype = ctypes.c_int64
        call.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint64]
    for name in ("async_get_completed", "async_get_overdue", "device_alloc", "memory_create"):
        getattr(library, f"pyfio_{name}").restype = ctypes.c_void_p
    return library


@pytest.fixture(scope="module")
def sizes(prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Of each structure, as the compiler has it."""
    folder = tmp_path_factory.mktemp("sizes")
    header = code_of(prefix / "include" / HEADERS[0])
    names = re.findall(r"^struct (\w+) \{", header, re.MULTILINE)
    prints = "".join(f'\tprintf("{name} %zu\\n", sizeof(struct {name}));\n' for name in names)
    source = folder / "sizes.c"
    source.write_text(
        "#include <pyfio_virtio.h>\n#include <stdio.h>\n"
        f"int main(void)\n{{\n{prints}\treturn 0;\n}}\n"
    )
    said = execute(prefix, build(prefix, source, folder / "sizes"))
    return {name: int(size) for name, size in map(str.split, said.splitlines())}


class Structure:
    """`size` bytes that begin with their number, or with what `says` says, then a canary."""

    def __init__(self, size: int, says: int | None = None, **words: int) -> None:
        self.raw = bytearray(size) + CANARY
        self.memory = (ctypes.c_char * len(self.raw)).from_buffer(self.raw)
        self.size = size
        self.put(0, size if says is None else says)
        for place, value in words.items():
            self.put(int(place.removeprefix("at_")), value)

    def put(self, offset: int, value: int) -> None:
        self.raw[offset : offset + 8] = value.to_bytes(8, "little")

    @property
    def content(self) -> bytes:
        return bytes(self.raw[: self.size])

    @property
    def canary(self) -> bytes:
        return bytes(self.raw[self.size :])


class Device:
    """A struct pyfio_device *, and how it was made."""

    def __init__(self, lib: ctypes.CDLL, backend: Backend) -> None:
        self.lib = lib
        self.handle = ctypes.c_void_p()
        self.path = ctypes.create_string_buffer(backend.socket.encode())

    def config(self, size: int, says: int | None = None) -> Structure:
        return Structure(size, says, at_8=ctypes.addressof(self.path))

    def attach(self, config: Structure, options: Structure | None = None) -> int:
        self.close()
        given = options.memory if options else None
        code: int = self.lib.pyfio_device_attach(ctypes.byref(self.handle), config.memory, given)
        assert bool(self.handle) == (code == 0)
        return code

    def close(self) -> None:
        self.lib.pyfio_device_detach(self.handle)
        self.handle = ctypes.c_void_p()


@pytest.fixture
def device(lib: ctypes.CDLL, serve: Serve) -> Iterator[Device]:
    made = Device(lib, Kind("builtin", 512, SCSI).start(serve))
    yield made
    made.close()


@pytest.fixture
def attached(device: Device) -> Device:
    assert device.attach(device.config(16)) == 0
    return device


@pytest.fixture
def sync(attached: Device) -> Iterator[ctypes.c_void_p]:
    """A struct pyfio_async *."""
    handle = ctypes.c_void_p()
    assert attached.lib.pyfio_async_open(ctypes.byref(handle), attached.handle) == 0
    yield handle
    attached.lib.pyfio_async_close(handle)


def sentence(lib: ctypes.CDLL) -> str:
    return str(lib.pyfio_error_message().decode())


# ---- one way to pass each structure -------------------------------------------------------------

Pass = Callable[[Device, Structure], int]


def with_config(device: Device, config: Structure) -> int:
    if config.size >= 16:
        config.put(8, ctypes.addressof(device.path))
    return device.attach(config)


def with_options(device: Device, options: Structure) -> int:
    return device.attach(device.config(16), options)


def with_info(device: Device, info: Structure) -> int:
    assert device.attach(device.config(16)) == 0
    return int(device.lib.pyfio_device_describe(device.handle, info.memory))


def with_summary(device: Device, summary: Structure) -> int:
    assert device.attach(device.config(16)) == 0
    return int(device.lib.pyfio_device_get_disk(device.handle, 0, summary.memory))


def with_operation(device: Device, op: Structure) -> int:
    """A read of nothing, which is collected."""
    handle = ctypes.c_void_p()
    assert device.attach(device.config(16)) == 0
    assert device.lib.pyfio_async_open(ctypes.byref(handle), device.handle) == 0
    code = int(device.lib.pyfio_async_submit(handle, op.memory))
    if code == 0:
        assert device.lib.pyfio_async_get_completed(handle) == ctypes.addressof(op.memory)
    device.lib.pyfio_async_close(handle)
    return code


READS: dict[str, Pass] = {
    "pyfio_device_config": with_config,
    "pyfio_attach_options": with_options,
    "pyfio_operation": with_operation,
}
FILLS: dict[str, Pass] = {
    "pyfio_device_info": with_info,
    "pyfio_disk_summary": with_summary,
}
every_structure = pytest.mark.parametrize("name", [*READS, *FILLS])


def test_each_structure_is_tested_here(sizes: dict[str, int]) -> None:
    assert set(sizes) == {*READS, *FILLS}


@every_structure
def test_a_structure_of_this_release(device: Device, sizes: dict[str, int], name: str) -> None:
    structure = Structure(sizes[name])
    assert (READS | FILLS)[name](device, structure) == 0, sentence(device.lib)
    assert structure.canary == CANARY


@every_structure
def test_a_newer_structure_whose_rest_is_zero(
    device: Device, sizes: dict[str, int], name: str
) -> None:
    structure = Structure(sizes[name] + NEWER)
    assert (READS | FILLS)[name](device, structure) == 0, sentence(device.lib)
    assert structure.canary == CANARY


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("place", [0, 7, NEWER - 1])
def test_a_newer_structure_that_asks_for_more_is_refused(
    device: Device, sizes: dict[str, int], name: str, place: int
) -> None:
    structure = Structure(sizes[name] + NEWER)
    structure.raw[sizes[name] + place] = 1
    assert READS[name](device, structure) == -errno.E2BIG
    assert f"struct {name}: the program uses a member at byte {sizes[name] + place}" in sentence(
        device.lib
    )


@pytest.mark.parametrize("name", FILLS)
def test_what_the_library_does_not_know_becomes_zero(
    device: Device, sizes: dict[str, int], name: str
) -> None:
    structure = Structure(sizes[name] + NEWER)
    structure.raw[sizes[name] : sizes[name] + NEWER] = b"x" * NEWER
    assert FILLS[name](device, structure) == 0
    assert structure.content[sizes[name] :] == bytes(NEWER)


@pytest.mark.parametrize("name", FILLS)
def test_an_older_structure_is_filled_in_as_far_as_it_goes(
    device: Device, sizes: dict[str, int], name: str
) -> None:
    whole = Structure(sizes[name])
    assert FILLS[name](device, whole) == 0
    for size in range(8, sizes[name], 8):
        older = Structure(size)
        assert FILLS[name](device, older) == 0
        assert older.content[8:] == whole.content[8:size]
        assert older.canary == CANARY


def test_an_older_config_has_the_defaults_for_the_rest(
    device: Device, sizes: dict[str, int]
) -> None:
    for size in range(16, sizes["pyfio_device_config"], 8):
        assert with_config(device, Structure(size)) == 0, sentence(device.lib)


def test_older_options_have_the_defaults_for_the_rest(device: Device) -> None:
    for size in (8, 16):
        assert with_options(device, Structure(size)) == 0, sentence(device.lib)


def test_an_operation_is_never_smaller_than_in_the_first_release(device: Device) -> None:
    assert with_operation(device, Structure(72)) == 0
    assert with_operation(device, Structure(64)) == -errno.EINVAL


@every_structure
@pytest.mark.parametrize("says", [0, 4, 12, 57])
def test_what_is_no_size_is_refused_in_words(
    device: Device, sizes: dict[str, int], name: str, says: int
) -> None:
    structure = Structure(sizes[name], says)
    assert (READS | FILLS)[name](device, structure) == -errno.EINVAL
    said = f"struct {name}: its struct_size is {says}, and in this library it is {sizes[name]}"
    assert said in sentence(device.lib)


@every_structure
@pytest.mark.parametrize("says", [4104, 1 << 40, (1 << 64) - 8])
def test_a_size_that_cannot_be_is_refused(
    device: Device, sizes: dict[str, int], name: str, says: int
) -> None:
    structure = Structure(sizes[name], says)
    assert (READS | FILLS)[name](device, structure) == -errno.E2BIG
    assert f"a struct_size of {says} is too large" in sentence(device.lib)


# ---- values that this library does not know -----------------------------------------------------


def put_int(structure: Structure, offset: int, value: int) -> Structure:
    structure.raw[offset : offset + 4] = value.to_bytes(4, "little", signed=True)
    return structure


@pytest.mark.parametrize(
    ("offset", "value", "said"),
    [
        (40, 3, "type=3: this library knows the values 0, 2 and 8"),
        (44, 3, "indirect=3: this library knows the values from 0 to 2"),
        (48, -1, "event_idx=-1: this library knows the values from 0 to 2"),
        (52, 4, "hugepages=4: this library knows the values from 0 to 3"),
        (72, 2, "scsi_address_set=2: this library knows the values from 0 to 1"),
    ],
)
def test_a_value_of_a_newer_header_is_refused(
    device: Device, sizes: dict[str, int], offset: int, value: int, said: str
) -> None:
    config = put_int(Structure(sizes["pyfio_device_config"]), offset, value)
    assert with_config(device, config) == -errno.EINVAL
    assert said in sentence(device.lib)


@pytest.mark.parametrize(
    ("offset", "value", "said"), [(8, 5, "5 is not a way of waiting"), (20, 1, "reserved=1")]
)
def test_an_option_of_a_newer_header_is_refused(
    device: Device, offset: int, value: int, said: str
) -> None:
    assert with_options(device, put_int(Structure(24), offset, value)) == -errno.EINVAL
    assert said in sentence(device.lib)


@pytest.mark.parametrize(
    ("offset", "said"), [(12, "a read with the flags 0x4: the flags are"), (68, "reserved=4")]
)
def test_a_flag_of_a_newer_operation_is_refused(device: Device, offset: int, said: str) -> None:
    assert with_operation(device, put_int(Structure(72), offset, 4)) == -errno.EINVAL
    assert said in sentence(device.lib)


# ---- NULL ---------------------------------------------------------------------------------------


def test_a_missing_socket_is_refused_in_words(device: Device, sizes: dict[str, int]) -> None:
    lib, handle = device.lib, ctypes.byref(device.handle)
    calls: list[Callable[[Any], int]] = [
        lambda config: lib.pyfio_device_open(handle, config),
        lambda config: lib.pyfio_device_attach(handle, config, None),
    ]
    for config in (None, Structure(sizes["pyfio_device_config"]).memory):
        for call in calls:
            assert call(config) == -errno.EINVAL
            assert "no socket is given" in sentence(lib)
            assert not device.handle


def test_what_cannot_work_without_a_pointer_is_refused_in_words(
    attached: Device, sync: ctypes.c_void_p
) -> None:
    lib, dev = attached.lib, attached.handle
    calls: dict[str, list[Callable[[], Any]]] = {
        "the place for the device is missing": [
            lambda: lib.pyfio_device_open(None, None),
            lambda: lib.pyfio_device_attach(None, None, None),
        ],
        "the place for the async is missing": [lambda: lib.pyfio_async_open(None, dev)],
        "the device is missing": [
            lambda: lib.pyfio_device_start(None),
            lambda: lib.pyfio_device_describe(None, None),
            lambda: lib.pyfio_device_register_memory(None, None, 0, 0, 0),
            lambda: lib.pyfio_device_read(None, None, 0, 0),
            lambda: lib.pyfio_device_write(None, None, 0, 0),
            lambda: lib.pyfio_device_readv(None, None, 0, 0),
            lambda: lib.pyfio_device_writev(None, None, 0, 0),
            lambda: lib.pyfio_device_flush(None),
            lambda: lib.pyfio_device_discard(None, 0, 0),
            lambda: lib.pyfio_device_write_zeroes(None, 0, 0),
            lambda: lib.pyfio_async_open(ctypes.byref(ctypes.c_void_p()), None),
        ],
        "the async is missing": [
            lambda: lib.pyfio_async_submit(None, None),
            lambda: lib.pyfio_async_submit_many(None, None, 1),
            lambda: lib.pyfio_async_completed(None, 0, 0),
            lambda: lib.pyfio_async_collect(None, None, 1),
            lambda: lib.pyfio_async_fd(None),
        ],
        "there is no struct": [
            lambda: lib.pyfio_device_describe(dev, None),
            lambda: lib.pyfio_device_get_disk(dev, 0, None),
            lambda: lib.pyfio_async_submit(sync, None),
            lambda: lib.pyfio_async_submit_many(sync, (ctypes.c_void_p * 1)(), 1),
        ],
        "the list of operations is missing": [lambda: lib.pyfio_async_submit_many(sync, None, 1)],
        "the room for operations is missing": [lambda: lib.pyfio_async_collect(sync, None, 1)],
        "a read needs a buffer": [lambda: lib.pyfio_device_read(dev, None, BLOCK, 0)],
        "wait=: use one of": [lambda: lib.pyfio_wait_named(None)],
    }
    for said, refused in calls.items():
        for call in refused:
            assert call() == -errno.EINVAL
            assert said in sentence(lib)


def test_null_does_nothing_where_there_is_nothing_to_do(
    attached: Device, sync: ctypes.c_void_p
) -> None:
    lib = attached.lib
    for name in ("device_close", "device_detach", "device_shutdown", "device_identify"):
        getattr(lib, f"pyfio_{name}")(None)
    for name in ("memory_keep", "memory_destroy", "async_shutdown", "async_close"):
        getattr(lib, f"pyfio_{name}")(None)
    lib.pyfio_memory_free(None, None)
    lib.pyfio_device_free(None, None)
    lib.pyfio_device_free(attached.handle, None)
    lib.pyfio_async_cancel(None, None)
    lib.pyfio_async_cancel(sync, None)
    assert lib.pyfio_device_num_disks(None) == 0
    assert lib.pyfio_device_alloc(None, BLOCK, 0) is None
    assert lib.pyfio_async_get_completed(None) is None
    assert lib.pyfio_async_get_overdue(None) is None


def test_a_device_that_is_only_open_is_not_read(device: Device) -> None:
    lib, buffer = device.lib, ctypes.create_string_buffer(BLOCK)
    config = device.config(16)
    assert lib.pyfio_device_open(ctypes.byref(device.handle), config.memory) == 0
    assert lib.pyfio_device_read(device.handle, buffer, BLOCK, 0) == -errno.EINVAL
    assert "the device is not attached" in sentence(lib)


def test_there_is_no_disk_behind_the_last(attached: Device) -> None:
    summary = Structure(136)
    assert attached.lib.pyfio_device_num_disks(attached.handle) == 1
    assert attached.lib.pyfio_device_get_disk(attached.handle, 1, summary.memory) == -errno.ENOENT
    assert attached.lib.pyfio_device_get_disk(attached.handle, 0, summary.memory) == 0
    assert int.from_bytes(summary.content[8:16], "little") == DISK_BYTES


# ---- defaults -----------------------------------------------------------------------------------


def test_a_config_of_zeroes_reads(attached: Device) -> None:
    buffer = ctypes.create_string_buffer(b"x" * BLOCK, BLOCK)
    assert attached.lib.pyfio_device_read(attached.handle, buffer, BLOCK, 0) == BLOCK
    assert buffer.raw == bytes(BLOCK)


def test_the_ways_of_waiting_have_names(lib: ctypes.CDLL) -> None:
    names = [lib.pyfio_wait_name(wait) for wait in range(-1, 6)]
    assert names == [None, b"default", b"event", b"busy", b"sleepy", b"adaptive", None]
    assert [lib.pyfio_wait_named(name) for name in names[1:-1]] == list(range(5))

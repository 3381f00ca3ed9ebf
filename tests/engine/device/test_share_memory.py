# SPDX-License-Identifier: GPL-2.0-or-later
"""Which memory a back-end knows, whatever it refuses, and of two devices which: share_memory.c."""

import errno
import mmap
import os
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.engine.blk_backend import (
    MEM_SLOTS,
    PROTOCOL,
    REPLY_ACK,
    BlkBackend,
    open_device,
    opened,
    reaches,
)
from tests.engine.scripted_backend import ScriptedBackend
from tests.engine.shared_object import CData, ffi, lib, sentence
from tests.vhost_numbers import Request

PAGE = mmap.PAGESIZE
REGION_BYTES = 2 << 20
TABLE_ONLY = PROTOCOL & ~MEM_SLOTS


@contextmanager
def shared_memory() -> Iterator[CData]:
    """Memory for several devices, on ordinary pages."""
    memory = lib.memory_create(lib.HUGEPAGES_OFF)
    yield memory
    lib.memory_destroy(memory)


@contextmanager
def running(path: Path, backend: BlkBackend, memory: CData, **config: object) -> Iterator[CData]:
    """A device whose rings run."""
    with ScriptedBackend(path, backend) as served:
        code, device = open_device(served.path, memory=memory, depth=2, **config)
        assert code == 0, sentence()
        try:
            assert lib.device_start(device) == 0, sentence()
            yield device
        finally:
            lib.device_close(device)


class Pages:
    """A file of the program's, mapped."""

    def __init__(self, size: int = PAGE) -> None:
        self.fd = os.memfd_create("program")
        os.ftruncate(self.fd, size)
        self._map = mmap.mmap(self.fd, size)
        self.pointer = ffi.from_buffer(self._map)
        self.address = int(ffi.cast("uintptr_t", self.pointer))
        self.size = size

    def register(self, device: CData) -> int:
        code = lib.device_register_memory(device, self.pointer, self.size, self.fd, 0)
        return int(code)

    def unregister(self, device: CData) -> int:
        return int(lib.device_unregister_memory(device, self.pointer))

    def is_reached(self, device: CData) -> bool:
        return reaches(device, self.pointer, self.size)

    def close(self) -> None:
        ffi.release(self.pointer)
        self._map.close()
        os.close(self.fd)


@pytest.fixture
def memory() -> Iterator[CData]:
    with shared_memory() as made:
        yield made


@pytest.fixture
def pages() -> Iterator[Pages]:
    made = Pages()
    yield made
    made.close()


@pytest.fixture
def backend() -> BlkBackend:
    return BlkBackend()


@pytest.fixture
def device(private: Path, backend: BlkBackend, memory: CData) -> Iterator[CData]:
    with running(private / "a.sock", backend, memory) as started:
        yield started


def alloc(device: CData, size: int) -> CData:
    return lib.device_alloc(device, size, 64)


# ---- the program's own memory ------------------------------------------------------------------


def test_memory_that_was_registered_is_reached(device: CData, pages: Pages) -> None:
    assert pages.register(device) == 0
    assert pages.is_reached(device)


def test_memory_that_was_refused_is_not_reached(
    device: CData, backend: BlkBackend, pages: Pages
) -> None:
    backend.refuse = Request.ADD_MEM_REG
    assert pages.register(device) == -errno.EREMOTEIO
    assert "refused ADD_MEM_REG" in sentence()
    assert not pages.is_reached(device)


def test_after_a_refusal_allocations_succeed(
    device: CData, backend: BlkBackend, pages: Pages
) -> None:
    backend.refuse = Request.ADD_MEM_REG
    pages.register(device)
    assert alloc(device, 4096) != ffi.NULL


def test_after_a_refusal_memory_can_be_registered(
    device: CData, backend: BlkBackend, pages: Pages
) -> None:
    backend.refuse = Request.ADD_MEM_REG
    pages.register(device)
    backend.refuse = None
    assert pages.register(device) == 0
    assert pages.is_reached(device)


def test_after_a_refusal_memory_grows(device: CData, backend: BlkBackend, pages: Pages) -> None:
    backend.refuse = Request.ADD_MEM_REG
    pages.register(device)
    backend.refuse = None
    assert alloc(device, 2 * REGION_BYTES) != ffi.NULL


def test_a_hang_up_in_the_middle_leaves_memory_unknown(
    device: CData, backend: BlkBackend, pages: Pages
) -> None:
    backend.hang_up_at = Request.ADD_MEM_REG
    assert pages.register(device) == -errno.ECONNRESET
    assert not pages.is_reached(device)


def test_without_a_slot_the_back_end_is_not_asked(
    private: Path, memory: CData, pages: Pages
) -> None:
    backend = BlkBackend(max_mem_slots=1)
    with running(private / "a.sock", backend, memory) as device:
        assert pages.register(device) == -errno.ENOSPC
        assert not pages.is_reached(device)
        assert len(backend.all_of(Request.ADD_MEM_REG)) == 1


def test_without_single_regions_none_is_registered(
    private: Path, memory: CData, pages: Pages
) -> None:
    backend = BlkBackend(protocol=TABLE_ONLY)
    with running(private / "a.sock", backend, memory) as device:
        assert pages.register(device) == -errno.ENOSPC
        assert "cannot take it while it runs" in sentence()
        assert not pages.is_reached(device)


@pytest.mark.parametrize("protocol", [PROTOCOL, TABLE_ONLY])
def test_a_device_that_is_not_started_knows_no_memory(
    private: Path, pages: Pages, protocol: int
) -> None:
    backend = BlkBackend(protocol=protocol)
    with opened(private, backend) as device:
        assert pages.register(device) == -errno.EINVAL
        assert "not started" in sentence()
        assert alloc(device, 4096) == ffi.NULL
        assert lib.device_start(device) == 0
        assert alloc(device, 4096) != ffi.NULL


def test_memory_is_registered_once(device: CData, pages: Pages) -> None:
    assert pages.register(device) == 0
    assert pages.register(device) == -errno.EINVAL
    assert "shared already" in sentence()


def test_memory_at_the_end_of_addresses_is_refused(device: CData, pages: Pages) -> None:
    address = ffi.cast("void *", (1 << 64) - PAGE)
    assert lib.device_register_memory(device, address, PAGE, pages.fd, 0) == -errno.EINVAL


def test_a_closed_devices_memory_is_nobodys(private: Path, memory: CData) -> None:
    """The program may have unmapped it, and something else may lie there."""
    pages, other = Pages(), BlkBackend()
    with running(private / "a.sock", BlkBackend(), memory) as device:
        pages.register(device)
    with running(private / "b.sock", other, memory) as device:
        assert not pages.is_reached(device)
        assert alloc(device, 2 * REGION_BYTES) != ffi.NULL
    assert pages.address not in [address for address, _ in other.known]
    pages.close()


# ---- unregistering -----------------------------------------------------------------------------


def test_memory_is_registered_a_thousand_times(private: Path, memory: CData, pages: Pages) -> None:
    """The rings have one slot of the back-end, so one is left."""
    backend = BlkBackend(max_mem_slots=2)
    with running(private / "a.sock", backend, memory) as device:
        for _ in range(1000):
            assert pages.register(device) == 0
            assert pages.unregister(device) == 0
        assert not pages.is_reached(device)
        assert len(backend.known) == 1
        removals = backend.all_of(Request.REM_MEM_REG)
        assert len(removals) == 1000
        assert not any(message.fds for message in removals)


def test_memory_that_is_not_registered_is_not_unregistered(
    device: CData, backend: BlkBackend, pages: Pages
) -> None:
    assert pages.unregister(device) == -errno.EINVAL
    assert "no memory is registered that begins at" in sentence()
    assert not backend.all_of(Request.REM_MEM_REG)


def test_without_slots_memory_is_not_unregistered(
    private: Path, memory: CData, pages: Pages
) -> None:
    with running(private / "a.sock", BlkBackend(protocol=TABLE_ONLY), memory) as device:
        assert pages.unregister(device) == -errno.EOPNOTSUPP
        assert "cannot give up memory while it runs" in sentence()


def test_memory_in_use_is_not_unregistered(device: CData, pages: Pages) -> None:
    lent = ffi.new("uint32_t *")
    pages.register(device)
    for _ in range(2):  # the same operation counts once
        assert lib.device_lend(device, pages.pointer, pages.size, lent)
    assert pages.unregister(device) == -errno.EBUSY
    assert "for an operation" in sentence()
    lib.device_return(device, lent[0])
    assert pages.unregister(device) == 0
    assert not lib.device_lend(device, pages.pointer, pages.size, lent)


def test_memory_that_the_back_end_keeps_stays_registered(
    device: CData, backend: BlkBackend, pages: Pages
) -> None:
    pages.register(device)
    backend.refuse = Request.REM_MEM_REG
    assert pages.unregister(device) == -errno.EREMOTEIO
    assert pages.is_reached(device)
    backend.refuse = None
    assert pages.unregister(device) == 0


def test_a_back_end_that_only_says_that_it_forgot_memory(
    device: CData, backend: BlkBackend, pages: Pages
) -> None:
    pages.register(device)
    pages.unregister(device)
    backend.refuse = Request.ADD_MEM_REG  # because it knows the memory already
    assert pages.register(device) == -errno.EREMOTEIO
    assert not pages.is_reached(device)


@pytest.mark.parametrize("way", ["hang_up_at", "ignore_from"])
def test_a_connection_that_ends_while_memory_is_unregistered(
    private: Path, memory: CData, pages: Pages, way: str
) -> None:
    backend = BlkBackend()
    with running(private / "a.sock", backend, memory, connect_timeout_ms=300) as device:
        pages.register(device)
        setattr(backend, way, Request.REM_MEM_REG)
        assert pages.unregister(device) in (-errno.ECONNRESET, -errno.ETIMEDOUT)
        assert "REM_MEM_REG" in sentence()
        # The back-end may have given it up, so no operation may use it any more.
        assert not lib.device_lend(device, pages.pointer, pages.size, ffi.new("uint32_t *"))
        assert pages.unregister(device) == -errno.EBUSY


# ---- memory of two devices ---------------------------------------------------------------------


def test_two_devices_register_the_same_memory(
    private: Path, device: CData, memory: CData, pages: Pages
) -> None:
    with running(private / "b.sock", BlkBackend(), memory) as other:
        assert pages.register(device) == 0
        assert not pages.is_reached(other)
        assert pages.register(other) == 0
        assert pages.is_reached(other)


def test_what_one_device_adds_the_other_does_not_reach(
    private: Path, device: CData, memory: CData
) -> None:
    with running(private / "b.sock", BlkBackend(), memory) as other:
        address = alloc(device, 2 * REGION_BYTES)
        assert reaches(device, address, 2 * REGION_BYTES)
        assert not reaches(other, address, 1)


def test_an_operation_on_what_another_device_added_tells_the_back_end(
    private: Path, device: CData, memory: CData
) -> None:
    lent = ffi.new("uint32_t *")
    with running(private / "b.sock", BlkBackend(), memory) as other:
        address = alloc(device, 2 * REGION_BYTES)
        lib.device_learn(other, address, 2 * REGION_BYTES)
        assert lib.device_lend(other, address, 2 * REGION_BYTES, lent)
        assert reaches(other, address, 2 * REGION_BYTES)
        assert lent[0] == 0


def test_a_back_end_without_a_slot_is_asked_again_once_it_has_one(
    private: Path, device: CData, memory: CData, pages: Pages
) -> None:
    lent = ffi.new("uint32_t *")
    full = BlkBackend(max_mem_slots=2)
    with running(private / "b.sock", full, memory) as other:
        pages.register(other)
        address = alloc(device, 2 * REGION_BYTES)
        lib.device_learn(other, address, 1)
        assert not lib.device_lend(other, address, 1, lent)
        pages.unregister(other)
        lib.device_learn(other, address, 1)
        assert lib.device_lend(other, address, 1, lent)


def test_a_back_end_that_refuses_memory_is_asked_once(
    private: Path, device: CData, memory: CData
) -> None:
    lent = ffi.new("uint32_t *")
    refusing = BlkBackend()
    with running(private / "b.sock", refusing, memory) as other:
        refusing.refuse = Request.ADD_MEM_REG
        address = alloc(device, 2 * REGION_BYTES)
        for _ in range(3):
            lib.device_learn(other, address, 1)
            assert not lib.device_lend(other, address, 1, lent)
        assert len(refusing.all_of(Request.ADD_MEM_REG)) == 2  # the first is that of the rings


@pytest.mark.parametrize("protocol", [PROTOCOL, TABLE_ONLY])
def test_a_device_allocates_where_its_own_back_end_knows_memory(
    private: Path, device: CData, memory: CData, protocol: int
) -> None:
    refusing = BlkBackend(protocol=protocol)
    with running(private / "b.sock", refusing, memory) as other:
        refusing.refuse = Request.ADD_MEM_REG
        # A free place in it would do, but for the other back-end.
        lib.device_free(device, alloc(device, 2 * REGION_BYTES))
        address = alloc(other, 4096)
        assert reaches(other, address, 4096)
        assert alloc(other, 2 * REGION_BYTES) == ffi.NULL
        assert reaches(other, alloc(other, 4096), 4096)


def test_growth_that_is_refused_adds_nothing(
    device: CData, backend: BlkBackend, memory: CData
) -> None:
    backend.refuse = Request.ADD_MEM_REG
    for _ in range(20):
        assert alloc(device, 2 * REGION_BYTES) == ffi.NULL
    assert memory.num_regions == 1
    assert Path("/proc/self/maps").read_text().count("memfd:pyfio-virtio") == 1
    assert alloc(device, 4096) != ffi.NULL


@pytest.mark.parametrize("protocol", [PROTOCOL, TABLE_ONLY])
def test_a_start_that_is_refused_adds_nothing(private: Path, memory: CData, protocol: int) -> None:
    request = Request.ADD_MEM_REG if protocol & MEM_SLOTS else Request.SET_MEM_TABLE
    refusing = BlkBackend(protocol=protocol, refuse=request)
    with ScriptedBackend(private / "a.sock", refusing) as served:
        _, device = open_device(served.path, memory=memory)
        assert lib.device_start(device) == -errno.EREMOTEIO
        lib.device_close(device)
    assert memory.num_regions == 0
    with running(private / "b.sock", BlkBackend(), memory) as device:
        assert alloc(device, 4096) != ffi.NULL


# ---- any sequence ------------------------------------------------------------------------------

sides = st.sampled_from((0, 1))


class TwoDevices(RuleBasedStateMachine):
    """Two devices of one memory. What their back-ends accepted is the truth."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        folder = Path(self.stack.enter_context(TemporaryDirectory(prefix="pv-")))
        self.memory = self.stack.enter_context(shared_memory())
        self.backends: list[BlkBackend] = []
        self.devices: list[CData] = []
        self.folder = folder
        self.pages: list[Pages] = []
        self.seen: list[tuple[int, int]] = []  # addresses and sizes, valid or stale

    @initialize(protocols=st.tuples(*[st.sampled_from((PROTOCOL, TABLE_ONLY))] * 2))
    def start(self, protocols: tuple[int, int]) -> None:
        for side, protocol in enumerate(protocols):
            backend = BlkBackend(protocol=protocol | REPLY_ACK, max_mem_slots=3)
            path = self.folder / f"{side}.sock"
            self.devices.append(self.stack.enter_context(running(path, backend, self.memory)))
            self.backends.append(backend)

    def teardown(self) -> None:
        self.stack.close()
        for pages in self.pages:
            pages.close()

    @rule(side=sides, refuses=st.booleans())
    def change_mind(self, side: int, refuses: bool) -> None:
        self.backends[side].refuse = Request.ADD_MEM_REG if refuses else None

    @rule(side=sides, size=st.integers(1, REGION_BYTES), is_kept=st.booleans())
    def allocate(self, side: int, size: int, is_kept: bool) -> None:
        address = alloc(self.devices[side], size)
        if address == ffi.NULL:
            return
        self.seen.append((int(ffi.cast("uintptr_t", address)), size))
        assert self.knows(side, *self.seen[-1])
        if not is_kept:
            lib.device_free(self.devices[side], address)

    @rule(side=sides)
    def share(self, side: int) -> None:
        lib.device_share_memory(self.devices[side])

    @precondition(lambda self: len(self.pages) < 6)
    @rule(side=sides)
    def register(self, side: int) -> None:
        pages = Pages()
        self.pages.append(pages)
        self.seen.append((pages.address, pages.size))
        code = pages.register(self.devices[side])
        assert self.knows(side, *self.seen[-1]) == (code == 0)

    @precondition(lambda self: self.pages)
    @rule(side=sides, chance=st.randoms())
    def unregister(self, side: int, chance: random.Random) -> None:
        pages = chance.choice(self.pages)
        was_known = self.knows(side, pages.address, pages.size)
        assert (pages.unregister(self.devices[side]) == 0) == was_known

    @rule(side=sides, chance=st.randoms())
    def lend(self, side: int, chance: random.Random) -> None:
        if not self.seen:
            return
        address, size = chance.choice(self.seen)
        lent = ffi.new("uint32_t *")
        pointer = ffi.cast("void *", address)
        lib.device_learn(self.devices[side], pointer, size)
        is_lent = bool(lib.device_lend(self.devices[side], pointer, size, lent))
        assert is_lent == self.knows(side, address, size)
        lib.device_return(self.devices[side], lent[0])

    def knows(self, side: int, address: int, size: int) -> bool:
        regions = self.backends[side].known
        return any(start <= address and address + size <= start + n for start, n in regions)

    @invariant()
    def what_counts_as_shared_is_what_the_back_end_accepted(self) -> None:
        for side, device in enumerate(self.devices):
            for address, size in self.seen:
                pointer = ffi.cast("void *", address)
                is_reached = reaches(device, pointer, size)
                assert is_reached == self.knows(side, address, size)


TwoDevices.TestCase.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
TestTwoDevices = TwoDevices.TestCase

# SPDX-License-Identifier: GPL-2.0-or-later
"""Shared regions and the allocator over them: engine/memory/regions.c."""

import ctypes
import errno
import fcntl
import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.engine.shared_object import CData, ffi, lib, sentence
from tests.open_descriptors import descriptors

MIB = 1 << 20
HUGE_BYTES = 2 * MIB
MAX_REGIONS = 8
SIZE_MAX = (1 << 64) - 1
LIBC = ctypes.CDLL(None)
LIBC.malloc.restype = ctypes.c_size_t
LIBC.malloc.argtypes = LIBC.free.argtypes = [ctypes.c_size_t]
SYSFS = Path("/sys/kernel/mm/hugepages/hugepages-2048kB")


def address_of(pointer: CData) -> int:
    return int(ffi.cast("uintptr_t", pointer))


def free_huge_pages() -> int:
    file = SYSFS / "free_hugepages"
    return int(file.read_text()) if file.exists() else 0


@pytest.fixture
def memory() -> Iterator[CData]:
    """Without regions, on ordinary pages."""
    made = ffi.new("struct memory *")
    lib.memory_init(made, lib.HUGEPAGES_OFF)
    yield made
    lib.memory_close(made)


# ---- regions -------------------------------------------------------------


def test_a_region_is_aligned_to_2_mib(memory: CData) -> None:
    lib.memory_add_region(memory, 4096)
    assert address_of(memory.regions[0].address) % HUGE_BYTES == 0


@pytest.mark.parametrize("wanted", [1, HUGE_BYTES - 1, HUGE_BYTES, HUGE_BYTES + 1])
def test_a_region_is_a_multiple_of_2_mib(memory: CData, wanted: int) -> None:
    lib.memory_add_region(memory, wanted)
    assert memory.regions[0].size_bytes == -(-wanted // HUGE_BYTES) * HUGE_BYTES


def test_no_more_of_a_region_is_made_present_than_was_asked_for(memory: CData) -> None:
    advice = Path("/sys/kernel/mm/transparent_hugepage/shmem_enabled").read_text()
    if "[never]" not in advice and "[deny]" not in advice:
        pytest.skip("this machine puts shared memory on huge pages by itself")
    lib.memory_add_region(memory, 10_000)
    assert os.fstat(memory.regions[0].fd).st_blocks * 512 == 12_288


def test_add_region_returns_the_index(memory: CData) -> None:
    assert [lib.memory_add_region(memory, 1) for _ in range(3)] == [0, 1, 2]


def test_the_file_of_a_region_is_sealed(memory: CData) -> None:
    lib.memory_add_region(memory, 1)
    seals = fcntl.fcntl(memory.regions[0].fd, fcntl.F_GET_SEALS)
    assert seals == fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def test_a_sealed_file_cannot_be_shrunk(memory: CData) -> None:
    lib.memory_add_region(memory, 1)
    with pytest.raises(PermissionError):
        os.ftruncate(memory.regions[0].fd, 0)


def test_the_file_is_as_long_as_the_region(memory: CData) -> None:
    lib.memory_add_region(memory, 1)
    assert os.fstat(memory.regions[0].fd).st_size == memory.regions[0].size_bytes


def test_the_file_is_not_inherited_by_programs(memory: CData) -> None:
    lib.memory_add_region(memory, 1)
    assert not os.get_inheritable(memory.regions[0].fd)


def test_what_is_written_to_memory_is_in_the_file(memory: CData) -> None:
    lib.memory_add_region(memory, 1)
    ffi.memmove(memory.regions[0].address, b"shared", 6)
    assert os.pread(memory.regions[0].fd, 6, 0) == b"shared"


def test_a_ninth_region_is_refused_in_words(memory: CData) -> None:
    for _ in range(MAX_REGIONS):
        assert lib.memory_add_region(memory, 1) >= 0
    assert lib.memory_add_region(memory, 1) == -errno.ENOSPC
    assert "all 8 memory regions are in use" in sentence()


def test_more_than_the_machine_has_is_refused_in_words(memory: CData) -> None:
    assert lib.memory_add_region(memory, 1 << 50) == -errno.ENOMEM
    assert sentence().startswith(f"cannot share {(1 << 50) // MIB} MiB of memory")


def test_a_size_that_cannot_be_rounded_up_is_refused(memory: CData) -> None:
    assert lib.memory_add_region(memory, SIZE_MAX) == -errno.ENOMEM


def test_close_closes_the_files() -> None:
    before = descriptors()
    memory = ffi.new("struct memory *")
    lib.memory_init(memory, lib.HUGEPAGES_OFF)
    lib.memory_add_region(memory, 1)
    lib.memory_close(memory)
    assert descriptors() == before


def test_close_unmaps() -> None:
    memory = ffi.new("struct memory *")
    lib.memory_init(memory, lib.HUGEPAGES_OFF)
    lib.memory_add_region(memory, 1)
    start = f"{address_of(memory.regions[0].address):x}-"
    assert start in Path("/proc/self/maps").read_text()
    lib.memory_close(memory)
    assert start not in Path("/proc/self/maps").read_text()


def test_a_refused_region_leaves_no_descriptor(memory: CData) -> None:
    before = descriptors()
    assert lib.memory_add_region(memory, 1 << 50) < 0
    assert descriptors() == before


# ---- huge pages ----------------------------------------------------------


@pytest.fixture
def refused() -> str:
    """The sentence over one huge page of 2 MiB more than are free."""
    memory = ffi.new("struct memory *")
    lib.memory_init(memory, lib.HUGEPAGES_2M)
    wanted = (free_huge_pages() + 1) * HUGE_BYTES
    assert lib.memory_add_region(memory, wanted) == -errno.ENOMEM
    words = sentence()
    lib.memory_close(memory)
    return words


def test_too_few_huge_pages_are_counted(refused: str) -> None:
    free = free_huge_pages()
    assert refused.startswith(f"{free + 1} huge pages of 2 MiB are needed and {free} are free")


def test_too_few_huge_pages_name_the_file_that_makes_more(refused: str) -> None:
    assert f"{SYSFS}/nr_hugepages" in refused


def test_auto_falls_back_to_ordinary_pages() -> None:
    free = free_huge_pages()
    if free > 64:
        pytest.skip(f"{free} huge pages are free: more than a test should take instead")
    memory = ffi.new("struct memory *")
    lib.memory_init(memory, lib.HUGEPAGES_AUTO)
    assert lib.memory_add_region(memory, (free + 1) * HUGE_BYTES) == 0
    assert memory.fell_back
    assert memory.regions[0].page_bytes == os.sysconf("SC_PAGESIZE")
    lib.memory_close(memory)


def test_auto_takes_huge_pages_that_are_free() -> None:
    if not free_huge_pages():
        pytest.skip("no huge page is free")
    memory = ffi.new("struct memory *")
    lib.memory_init(memory, lib.HUGEPAGES_AUTO)
    assert lib.memory_add_region(memory, HUGE_BYTES) == 0
    assert memory.regions[0].page_bytes == HUGE_BYTES
    lib.memory_close(memory)


def test_off_does_not_count_as_falling_back(memory: CData) -> None:
    lib.memory_add_region(memory, 1)
    assert not memory.fell_back


# ---- allocator -----------------------------------------------------------


@pytest.fixture
def region(memory: CData) -> CData:
    """Memory with one region of 2 MiB."""
    lib.memory_add_region(memory, HUGE_BYTES)
    return memory


def test_without_regions_there_is_nothing_to_allocate(memory: CData) -> None:
    assert lib.memory_alloc(memory, 1, 1) == ffi.NULL


def test_a_whole_region_can_be_allocated(region: CData) -> None:
    assert lib.memory_alloc(region, HUGE_BYTES, HUGE_BYTES) == region.regions[0].address


def test_more_than_a_region_is_not_taken_from_two(region: CData) -> None:
    lib.memory_add_region(region, HUGE_BYTES)
    assert lib.memory_alloc(region, HUGE_BYTES + 1, 1) == ffi.NULL


@pytest.mark.parametrize("size", [SIZE_MAX, SIZE_MAX - 62])
def test_a_size_near_the_end_of_the_address_space_is_not_there(region: CData, size: int) -> None:
    assert lib.memory_alloc(region, size, 64) == ffi.NULL


@pytest.mark.parametrize("power", range(64))
def test_alignment(region: CData, power: int) -> None:
    lib.memory_alloc(region, 64, 64)  # so that the next is not aligned by chance
    address = address_of(lib.memory_alloc(region, 64, 1 << power))
    assert address % (1 << power) == 0


def test_two_allocations_never_share_a_cache_line(region: CData) -> None:
    first = address_of(lib.memory_alloc(region, 1, 1))
    assert address_of(lib.memory_alloc(region, 1, 1)) // 64 != first // 64


def test_what_was_freed_is_allocated_again(region: CData) -> None:
    first = lib.memory_alloc(region, 4096, 4096)
    lib.memory_alloc(region, 4096, 4096)
    lib.memory_free(region, first)
    assert lib.memory_alloc(region, 4096, 4096) == first


@pytest.mark.parametrize("order", ["abc", "acb", "bac", "bca", "cab", "cba"])
def test_free_neighbours_become_one(region: CData, order: str) -> None:
    third = HUGE_BYTES // 4
    extents = {name: lib.memory_alloc(region, third, 64) for name in "abc"}
    rest = lib.memory_alloc(region, HUGE_BYTES - 3 * third, 64)
    for name in order:
        lib.memory_free(region, extents[name])
    assert lib.memory_alloc(region, 3 * third, 64) == extents["a"]
    assert rest != ffi.NULL


def test_regions_that_touch_do_not_become_one(region: CData) -> None:
    for _ in range(MAX_REGIONS - 1):
        lib.memory_add_region(region, HUGE_BYTES)
    whole = [lib.memory_alloc(region, HUGE_BYTES, 64) for _ in range(MAX_REGIONS)]
    for address in whole:
        lib.memory_free(region, address)
    assert lib.memory_alloc(region, HUGE_BYTES + 64, 64) == ffi.NULL


def test_freeing_null_does_nothing(region: CData) -> None:
    lib.memory_free(region, ffi.NULL)


def test_a_region_is_found_up_to_its_last_byte(region: CData) -> None:
    lib.memory_add_region(region, HUGE_BYTES)
    for index in range(2):
        assert lib.memory_find(region, region.regions[index].address, HUGE_BYTES) == index


@pytest.mark.parametrize(
    ("offset", "size"),
    [(-1, 1), (0, HUGE_BYTES + 1), (HUGE_BYTES, 1), (HUGE_BYTES - 1, 2), (64, SIZE_MAX)],
)
def test_what_lies_outside_is_not_found(region: CData, offset: int, size: int) -> None:
    start = ffi.cast("char *", region.regions[0].address)
    assert lib.memory_find(region, start + offset, size) == -1


@pytest.mark.parametrize("index", [0, 1, 2])
def test_only_the_regions_that_will_do_are_allocated_from(memory: CData, index: int) -> None:
    for _ in range(3):
        lib.memory_add_region(memory, HUGE_BYTES)
    pieces = [lib.memory_alloc_in(memory, HUGE_BYTES // 4, 64, 1 << index) for _ in range(5)]
    assert [lib.memory_find(memory, piece, 1) for piece in pieces] == [index] * 4 + [-1]
    assert lib.memory_alloc_in(memory, 64, 64, 0) == ffi.NULL


# ---- memory that a back-end may still touch ---------------------------------


class Holds:
    """Blocks that belong to the memory once they are left to it, as a transfer's do."""

    def __init__(self, memory: CData) -> None:
        self.memory = memory

    def hold(self, address: CData, size: int, holder: CData = ffi.NULL) -> CData:
        block = ffi.cast("void *", LIBC.malloc(ffi.sizeof("struct memory_hold")))
        hold = ffi.cast("struct memory_hold *", block)
        hold.address, hold.size_bytes, hold.holder, hold.block = address, size, holder, block
        lib.memory_hold(self.memory, hold)
        return hold

    def release(self, hold: CData) -> None:
        lib.memory_release(self.memory, hold)
        LIBC.free(address_of(hold))


@pytest.fixture
def holds(region: CData) -> Holds:
    return Holds(region)


def is_whole(memory: CData) -> bool:
    address = lib.memory_alloc(memory, HUGE_BYTES, 64)
    lib.memory_free(memory, address)
    return bool(address != ffi.NULL)


def test_held_memory_is_not_allocated_again_when_it_was_freed(region: CData, holds: Holds) -> None:
    address = lib.memory_alloc(region, HUGE_BYTES, 64)
    hold = holds.hold(address, HUGE_BYTES)
    lib.memory_free(region, address)
    assert lib.memory_alloc(region, 64, 64) == ffi.NULL
    holds.release(hold)
    assert is_whole(region)


@pytest.mark.parametrize("place", [0, 4095, HUGE_BYTES // 2])
def test_a_byte_that_is_held_holds_all_that_was_allocated_with_it(
    region: CData, holds: Holds, place: int
) -> None:
    address = ffi.cast("char *", lib.memory_alloc(region, HUGE_BYTES, 64))
    hold = holds.hold(address + place, 1)
    lib.memory_free(region, address)
    assert not is_whole(region)
    holds.release(hold)
    assert is_whole(region)


def test_what_lies_beside_held_memory_is_allocated_again(region: CData, holds: Holds) -> None:
    before, held, behind = (lib.memory_alloc(region, 4096, 4096) for _ in range(3))
    hold = holds.hold(held, 4096)
    for address in (before, held, behind):
        lib.memory_free(region, address)
    again = [lib.memory_alloc(region, 4096, 4096) for _ in range(3)]
    assert held not in again
    assert before in again
    for address in again:
        lib.memory_free(region, address)
    holds.release(hold)
    assert is_whole(region)


def test_memory_that_is_held_and_not_freed_stays_with_its_owner(
    region: CData, holds: Holds
) -> None:
    address = lib.memory_alloc(region, HUGE_BYTES, 64)
    holds.release(holds.hold(address, HUGE_BYTES))
    assert lib.memory_alloc(region, 64, 64) == ffi.NULL
    lib.memory_free(region, address)
    assert is_whole(region)


def test_the_last_of_several_holds_counts(region: CData, holds: Holds) -> None:
    address = lib.memory_alloc(region, HUGE_BYTES, 64)
    first, second = holds.hold(address, 64), holds.hold(address, 4096)
    lib.memory_free(region, address)
    lib.memory_free(region, address)  # a mistake, and harmless
    holds.release(first)
    assert not is_whole(region)
    holds.release(second)
    assert is_whole(region)


def test_a_holder_that_gives_all_back_ends_its_own_holds(region: CData, holds: Holds) -> None:
    first, second = (lib.memory_alloc(region, HUGE_BYTES // 2, 64) for _ in range(2))
    holds.hold(first, 64, ffi.cast("void *", 1))
    holds.hold(second, 64, ffi.cast("void *", 2))
    for address in (first, second):
        lib.memory_free(region, address)
    lib.memory_end_holds(region, ffi.cast("void *", 1), True)
    assert lib.memory_alloc(region, 64, 64) == first
    lib.memory_end_holds(region, ffi.cast("void *", 2), False)
    # It is nobody's now, also not that of a later holder at the same address.
    lib.memory_end_holds(region, ffi.cast("void *", 2), True)
    assert lib.memory_alloc(region, HUGE_BYTES // 2, 64) == ffi.NULL


def test_memory_lasts_until_its_last_keeper_has_let_go() -> None:
    memory = lib.memory_create(lib.HUGEPAGES_OFF)
    lib.memory_add_region(memory, 1)
    start = f"{address_of(memory.regions[0].address):x}-"
    lib.memory_keep(memory)
    lib.memory_destroy(memory)
    assert start in Path("/proc/self/maps").read_text()
    lib.memory_destroy(memory)
    assert start not in Path("/proc/self/maps").read_text()


@settings(max_examples=50, stateful_step_count=60, deadline=None)
class Allocator(RuleBasedStateMachine):
    """Any sequence of calls, against a model: a dictionary of what is allocated."""

    extents = Bundle("extents")

    def __init__(self) -> None:
        super().__init__()
        self.memory = ffi.new("struct memory *")
        lib.memory_init(self.memory, lib.HUGEPAGES_OFF)
        self.sizes: dict[int, int] = {}

    def teardown(self) -> None:
        lib.memory_close(self.memory)

    @initialize()
    def first_region(self) -> None:
        assert lib.memory_add_region(self.memory, 1) == 0

    @precondition(lambda self: self.memory.num_regions < 3)
    @rule(size=st.integers(0, 2 * HUGE_BYTES))
    def add_region(self, size: int) -> None:
        assert lib.memory_add_region(self.memory, size) == self.memory.num_regions - 1

    @rule(
        target=extents,
        size=st.integers(0, 1 << 12) | st.integers(0, 1 << 21),
        power=st.integers(0, 21),
    )
    def allocate(self, size: int, power: int) -> int:
        pointer = lib.memory_alloc(self.memory, size, 1 << power)
        address = address_of(pointer)
        if address:
            assert address % (1 << power) == 0
            assert lib.memory_find(self.memory, pointer, size) >= 0
            self.sizes[address] = max(size, 1)
        return address

    @rule(address=consumes(extents))
    def free(self, address: int) -> None:
        lib.memory_free(self.memory, ffi.cast("void *", address))
        self.sizes.pop(address, None)

    @rule()
    def free_all_and_find_every_region_whole(self) -> None:
        for address in self.sizes:
            lib.memory_free(self.memory, ffi.cast("void *", address))
        self.sizes.clear()
        # The largest first: first fit must not put a small one into a large region.
        sizes = [self.memory.regions[i].size_bytes for i in range(self.memory.num_regions)]
        whole = [lib.memory_alloc(self.memory, size, 64) for size in sorted(sizes, reverse=True)]
        assert ffi.NULL not in whole
        for address in whole:
            lib.memory_free(self.memory, address)

    @invariant()
    def nothing_overlaps(self) -> None:
        extents = sorted(self.sizes.items())
        for (address, size), (next_address, _) in pairwise(extents):
            assert address + size <= next_address


TestAllocator = Allocator.TestCase


def churn(memory: CData, seed: int) -> None:
    """Allocates, marks as its own, looks whether the marks held, and frees."""
    random_source = random.Random(seed)
    held: list[tuple[CData, bytes]] = []
    for turn in range(300):
        size = random_source.randrange(1, 5000)
        address = lib.memory_alloc(memory, size, 64)
        mark = bytes([seed, turn % 251]) * (size // 2)
        ffi.memmove(address, mark, len(mark))
        held.append((address, mark))
        if len(held) > 8:
            address, mark = held.pop(random_source.randrange(len(held)))
            assert ffi.buffer(address, len(mark))[:] == mark
            lib.memory_free(memory, address)
    for address, _ in held:
        lib.memory_free(memory, address)


def test_eight_threads_never_get_the_same_bytes(region: CData) -> None:
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(churn, region, seed) for seed in range(8)]:
            done.result()
    assert lib.memory_alloc(region, HUGE_BYTES, 64) == region.regions[0].address

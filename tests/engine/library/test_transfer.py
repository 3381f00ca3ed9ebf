# SPDX-License-Identifier: GPL-2.0-or-later
"""How a transfer is cut into steps, up to the last byte that a disk can have: transfer.c."""

from collections.abc import Iterator

from hypothesis import assume, example, given
from hypothesis import strategies as st

from tests.engine.shared_object import CData, ffi, lib

DISK_MAX_BYTES = (1 << 63) - 1
STRETCH_BYTES = 4 << 20
SLOT_BYTES = 64 << 10
RANGE_BYTES = 1 << 31
TYPES = (lib.REQUEST_READ, lib.REQUEST_WRITE, lib.REQUEST_DISCARD, lib.REQUEST_WRITE_ZEROES)
DATA = (lib.REQUEST_READ, lib.REQUEST_WRITE)
MOST_STEPS = 100

block_sizes = st.integers(9, 20).map(lambda power: 1 << power)


def near(*places: int) -> st.SearchStrategy[int]:
    """Numbers of 63 bits, most of them beside places where arithmetic may go wrong."""
    edges = (*places, 0, 1 << 31, 1 << 32, 1 << 62, DISK_MAX_BYTES)
    beside = st.tuples(st.sampled_from(edges), st.integers(-(1 << 21), 1 << 21)).map(sum)
    return (beside | st.integers(0, DISK_MAX_BYTES)).filter(lambda n: 0 <= n <= DISK_MAX_BYTES)


def steps_of(transfer: CData, block_size: int, slot_bytes: int) -> Iterator[CData]:
    """Each step, as if it was carried out; not all of a transfer that has very many."""
    for _ in range(MOST_STEPS):
        if not transfer.left_bytes:
            return
        lib.transfer_plan(transfer, block_size, slot_bytes, RANGE_BYTES)
        step = transfer.step
        yield step
        transfer.offset_bytes += step.payload_bytes
        transfer.left_bytes -= step.payload_bytes


@given(
    kind=st.sampled_from(TYPES),
    is_direct=st.booleans(),
    block_size=block_sizes,
    capacity=near(),
    offset=near(STRETCH_BYTES),
    size=near(STRETCH_BYTES, SLOT_BYTES),
)
@example(lib.REQUEST_WRITE, False, 1 << 20, DISK_MAX_BYTES, DISK_MAX_BYTES - 1, 1)
@example(lib.REQUEST_WRITE, True, 512, DISK_MAX_BYTES, DISK_MAX_BYTES - 5000, 4000)
def test_steps_cover_the_range_and_nothing_else(
    kind: int, is_direct: bool, block_size: int, capacity: int, offset: int, size: int
) -> None:
    capacity -= capacity % block_size
    assume(offset < capacity)
    size = min(size, capacity - offset)
    slot_bytes = max(block_size, SLOT_BYTES)
    fields = {"type": kind, "is_direct": is_direct, "offset_bytes": offset, "left_bytes": size}
    transfer = ffi.new("struct transfer *", fields)
    at = offset
    for step in steps_of(transfer, block_size, slot_bytes):
        end = step.first_byte + step.size_bytes
        assert step.first_byte % block_size == step.size_bytes % block_size == 0
        assert end <= capacity
        assert step.first_byte + step.skip_bytes == at
        assert 0 < step.payload_bytes <= step.size_bytes - step.skip_bytes
        if step.uses_slot:
            assert step.size_bytes <= slot_bytes
        if kind in DATA or step.uses_slot:
            assert step.first_byte // STRETCH_BYTES == (end - 1) // STRETCH_BYTES
        else:
            assert step.size_bytes <= RANGE_BYTES
        if kind != lib.REQUEST_READ:
            assert step.is_partial == (step.payload_bytes < step.size_bytes)
        at += step.payload_bytes
    assert at - offset == size - transfer.left_bytes

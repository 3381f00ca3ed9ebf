# SPDX-License-Identifier: GPL-2.0-or-later
"""Any sequence of calls on a disk, against a model: a bytearray beside it."""

import random
from collections.abc import Callable

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from pyfio_virtio import Disk, Write
from pyfio_virtio.backends.backends import Backend
from tests.pyfio_virtio.disks import Kind, every_kind, open_disk

Serve = Callable[..., Backend]
# Small, so that operations meet; beyond a bounce buffer, so that long ones are cut.
MODEL_BYTES = 200_000
# Six kinds of disk make 12,000 operations of it.
EXAMPLES, STEPS = 20, 100

offsets = st.integers(0, MODEL_BYTES - 1) | st.integers(0, 48).map(lambda i: i * 4096)
sizes = (
    st.integers(0, 1500) | st.integers(0, MODEL_BYTES) | st.integers(1, 16).map(lambda i: i * 512)
)


class Model(RuleBasedStateMachine):
    disk: Disk  # set by the test

    @initialize()
    def start(self) -> None:
        self.disk.write_zeroes(0, MODEL_BYTES)
        self.model = bytearray(MODEL_BYTES)
        self.shared = self.disk.alloc(MODEL_BYTES)

    def fit(self, offset: int, size: int) -> int:
        return min(size, MODEL_BYTES - offset)

    @rule(offset=offsets, size=sizes, seed=st.integers(0, 255), is_shared=st.booleans())
    def write(self, offset: int, size: int, seed: int, is_shared: bool) -> None:
        data = random.Random(seed).randbytes(self.fit(offset, size))
        self.shared[: len(data)] = data
        buffer = self.shared[: len(data)] if is_shared else data
        assert self.disk.pwrite(buffer, offset) == len(data)
        self.model[offset : offset + len(data)] = data

    @rule(offset=offsets, size=sizes, is_shared=st.booleans())
    def read(self, offset: int, size: int, is_shared: bool) -> None:
        size = self.fit(offset, size)
        buffer = self.shared[:size] if is_shared else memoryview(bytearray(size))
        assert self.disk.preadv([buffer], offset) == size
        assert buffer == self.model[offset : offset + size]

    @rule(offset=offsets, size=sizes)
    def write_zeroes(self, offset: int, size: int) -> None:
        size = self.fit(offset, size)
        self.disk.write_zeroes(offset, size)
        self.model[offset : offset + size] = bytes(size)

    @rule(offset=offsets, size=sizes)
    def discard(self, offset: int, size: int) -> None:
        """What whole blocks hold then is the disk's affair; the rest stays."""
        size = self.fit(offset, size)
        self.disk.discard(offset, size)
        block = self.disk.block_size
        first, end = -(-offset // block) * block, (offset + size) // block * block
        if first < end:
            self.model[first:end] = self.disk.pread(end - first, first)

    @rule(offset=offsets, count=st.integers(2, 40), size=st.integers(1, 1500))
    def write_neighbours_at_once(self, offset: int, count: int, size: int) -> None:
        with self.disk.operations() as operations:
            batch = []
            for number in range(count):
                start = offset + number * size
                data = bytes([number]) * (self.fit(start, size) if start < MODEL_BYTES else 0)
                batch.append(Write(data, start, len(data)))
                self.model[start : start + len(data)] = data
            operations.submit(batch)
            done = operations.completed(count)
            assert len(done) == count
            for each in done:
                assert each.check() == each.key

    @rule()
    def flush(self) -> None:
        self.disk.flush()

    def teardown(self) -> None:
        if hasattr(self, "model"):
            assert self.disk.pread(MODEL_BYTES, 0) == self.model


@every_kind
def test_a_disk_is_like_a_bytearray(kind: Kind, serve: Serve) -> None:
    with open_disk(kind.start(serve)) as disk:
        machine = type("Model", (Model,), {"disk": disk})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )

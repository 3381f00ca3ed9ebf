# SPDX-License-Identifier: GPL-2.0-or-later
"""virtio-blk's configuration space, as a back-end may fill it in: engine/disk/blk.c."""

import errno
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.blk_backend import (
    BLK_FEATURES,
    BLK_MQ,
    BLK_SIZE,
    CONFIG_WCE,
    DISCARD,
    FLUSH,
    RO,
    SEG_MAX,
    SIZE_MAX,
    TOPOLOGY,
    WRITE_ZEROES,
    BlkConfig,
)
from tests.engine.shared_object import CData, ffi, lib, sentence

CONFIG_BYTES = 60


def read(features: int = BLK_FEATURES, **fields: Any) -> CData:  # noqa: ANN401
    """What the engine makes of a configuration: struct device_info."""
    info = ffi.new("struct device_info *")
    assert lib.blk_read_config(BlkConfig(**fields).pack(), features, info) == 0, sentence()
    return info


def refusal(**fields: Any) -> str:  # noqa: ANN401
    info = ffi.new("struct device_info *")
    code = lib.blk_read_config(BlkConfig(**fields).pack(), BLK_FEATURES, info)
    assert code == -errno.EPROTO
    return sentence()


def test_the_configuration_has_60_bytes() -> None:
    assert len(BlkConfig().pack()) == CONFIG_BYTES


def test_capacity_is_in_sectors_of_512_bytes() -> None:
    assert read(capacity=24).capacity_bytes == 24 * 512


def test_capacity_is_in_sectors_of_512_bytes_also_on_4096_byte_blocks() -> None:
    assert read(capacity=24, blk_size=4096).capacity_bytes == 24 * 512


def test_an_empty_disk_is_a_disk() -> None:
    assert read(capacity=0).capacity_bytes == 0


def test_no_blocks_of_no_bytes_are_no_disk() -> None:
    info = ffi.new("struct device_info *")
    config = BlkConfig(capacity=0, blk_size=0).pack()
    assert lib.blk_read_config(config, BLK_FEATURES, info) == -errno.ENODEV
    assert "there is no disk behind it any more" in sentence()


def test_the_largest_capacity_in_bytes_fits() -> None:
    assert read(capacity=(1 << 54) - 1).capacity_bytes == (1 << 63) - 512


@pytest.mark.parametrize("sectors", [1 << 54, (1 << 55) - 1, 1 << 55, (1 << 64) - 1])
def test_a_capacity_that_no_offset_can_name_is_refused_in_words(sectors: int) -> None:
    assert f"{sectors} blocks of 512 bytes: a disk has at most {(1 << 63) - 1} bytes" in refusal(
        capacity=sectors
    )


@pytest.mark.parametrize("size", [512, 1024, 4096, 65536, 1 << 20])
def test_block_sizes(size: int) -> None:
    assert read(blk_size=size).block_size == size


@pytest.mark.parametrize("size", [0, 1, 256, 513, 520, 4095, 3 * 512, 1 << 21, (1 << 32) - 1])
def test_a_block_size_that_cannot_be_is_refused_in_words(size: int) -> None:
    assert f"its blocks have {size} bytes" in refusal(blk_size=size)


def test_a_block_size_that_was_not_negotiated_is_not_read() -> None:
    assert read(BLK_FEATURES & ~BLK_SIZE, blk_size=7).block_size == 512


@pytest.mark.parametrize("sectors", [1, 7, 9])
def test_a_capacity_of_broken_blocks_is_refused_in_words(sectors: int) -> None:
    assert "not a multiple of its 4096 byte blocks" in refusal(blk_size=4096, capacity=sectors)


def test_physical_blocks_are_a_power_of_two_of_logical_ones() -> None:
    assert read(blk_size=512, physical_block_exp=3).physical_block_size == 4096


def test_without_topology_physical_blocks_are_logical_ones() -> None:
    info = read(BLK_FEATURES & ~TOPOLOGY, blk_size=4096, physical_block_exp=3)
    assert info.physical_block_size == 4096


@pytest.mark.parametrize(("size", "exponent"), [(512, 23), (1 << 20, 12), (512, 255)])
def test_a_physical_block_of_4_gib_is_not_taken_for_a_small_one(size: int, exponent: int) -> None:
    info = ffi.new("struct device_info *")
    config = BlkConfig(blk_size=size, physical_block_exp=exponent).pack()
    code = lib.blk_read_config(config, BLK_FEATURES, info)
    assert code == -errno.EPROTO or info.physical_block_size == size


def test_the_optimal_size_is_in_logical_blocks() -> None:
    assert read(blk_size=4096, opt_io_size=16).optimal_io_size == 65536


def test_an_optimal_size_that_overflows_is_not_taken_for_a_small_one() -> None:
    info = ffi.new("struct device_info *")
    config = BlkConfig(blk_size=4096, opt_io_size=(1 << 20) + 1).pack()
    code = lib.blk_read_config(config, BLK_FEATURES, info)
    assert code == -errno.EPROTO or info.optimal_io_size == 0


def test_a_size_max_of_0_is_no_limit() -> None:
    assert read(size_max=0).size_max == 0


def test_a_size_max_that_was_not_negotiated_is_no_limit() -> None:
    assert read(BLK_FEATURES & ~SIZE_MAX, size_max=9).size_max == 0


def test_a_seg_max_of_0_is_one_segment() -> None:
    assert read(seg_max=0).seg_max == 1


def test_a_seg_max_that_was_not_negotiated_is_one_segment() -> None:
    assert read(BLK_FEATURES & ~SEG_MAX, seg_max=9).seg_max == 1


@pytest.mark.parametrize(("wce", "writeback"), [(0, False), (1, True)])
def test_writeback_is_as_configured(wce: int, writeback: bool) -> None:
    assert read(wce=wce).writeback == writeback


@pytest.mark.parametrize(("features", "writeback"), [(FLUSH, True), (0, False)])
def test_without_wce_flush_means_writeback(features: int, writeback: bool) -> None:
    assert read(features, wce=1 - writeback).writeback == writeback


@pytest.mark.parametrize(("features", "read_only"), [(RO, True), (0, False)])
def test_read_only(features: int, read_only: bool) -> None:
    assert read(features).read_only == read_only


@pytest.mark.parametrize(("features", "queues"), [(BLK_MQ, 7), (0, 1)])
def test_queues_are_counted_only_with_mq(features: int, queues: int) -> None:
    assert read(features, num_queues=7).max_queues == queues


def test_a_device_of_no_queues_has_one() -> None:
    assert read(num_queues=0).max_queues == 1


def test_limits_of_discard_are_in_bytes() -> None:
    info = read(max_discard_sectors=(1 << 32) - 1, discard_sector_alignment=8)
    assert (info.max_discard_bytes, info.discard_alignment) == (((1 << 32) - 1) * 512, 4096)


def test_an_alignment_of_discard_that_overflows_is_not_taken_for_none() -> None:
    info = ffi.new("struct device_info *")
    config = BlkConfig(discard_sector_alignment=1 << 23).pack()
    code = lib.blk_read_config(config, BLK_FEATURES, info)
    assert code == -errno.EPROTO or not info.can_discard


def test_limits_of_write_zeroes_are_in_bytes() -> None:
    info = read(max_write_zeroes_sectors=(1 << 32) - 1)
    assert info.max_write_zeroes_bytes == ((1 << 32) - 1) * 512


@pytest.mark.parametrize("sectors", [0, 8])
def test_discard_without_sectors_is_no_discard(sectors: int) -> None:
    assert read(max_discard_sectors=sectors).can_discard == bool(sectors)


@pytest.mark.parametrize("sectors", [0, 8])
def test_write_zeroes_without_sectors_is_none(sectors: int) -> None:
    assert read(max_write_zeroes_sectors=sectors).can_write_zeroes == bool(sectors)


@pytest.mark.parametrize(
    ("bit", "name"),
    [(DISCARD, "can_discard"), (WRITE_ZEROES, "can_write_zeroes"), (FLUSH, "can_flush")],
)
def test_what_was_not_negotiated_cannot_be_done(bit: int, name: str) -> None:
    assert not getattr(read(BLK_FEATURES & ~bit), name)


@given(
    space=st.binary(min_size=CONFIG_BYTES, max_size=CONFIG_BYTES), features=st.integers(0, 1 << 33)
)
def test_any_configuration_is_read_or_refused(space: bytes, features: int) -> None:
    info = ffi.new("struct device_info *")
    code = lib.blk_read_config(space, features, info)
    assert code in (0, -errno.EPROTO), os.strerror(-code)
    if code == 0:
        assert info.block_size >= 512
        assert info.block_size & (info.block_size - 1) == 0
        assert info.capacity_bytes % info.block_size == 0
        assert info.capacity_bytes < 1 << 63
        assert info.seg_max >= 1
        assert info.max_queues >= 1


def test_every_feature_of_the_configuration_is_asked_for() -> None:
    """The others of BLK_FEATURES are not virtio-blk's own."""
    own = SIZE_MAX | SEG_MAX | RO | BLK_SIZE | FLUSH | TOPOLOGY | CONFIG_WCE | BLK_MQ
    assert lib.blk_wanted_features() == own | DISCARD | WRITE_ZEROES

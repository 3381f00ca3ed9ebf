# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk behind a virtio-scsi controller, as it may describe itself: engine/device/discover.c."""

import errno
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.blk_backend import BlkBackend, describe, started
from tests.engine.scsi_backend import (
    BLOCK_LIMITS,
    INQUIRY,
    MODE_SENSE_6,
    MODE_SENSE_10,
    PROVISIONING,
    READ_CAPACITY_10,
    READ_CAPACITY_16,
    REPORT_LUNS,
    Command,
    Reply,
    block_limits,
    caching_page,
    capacity_10,
    capacity_16,
    discovered,
    fixed_sense,
    inquiry,
    luns,
    mode_pages,
    refused,
)
from tests.engine.shared_object import CData, ffi, lib, sentence

IS_DISK: Mapping[Command, bytes] = {(INQUIRY, 0): inquiry()}
ORDINARY: Mapping[Command, bytes] = {**IS_DISK, (READ_CAPACITY_16, 0): capacity_16(1023, 512)}
KNOWN = [
    *((INQUIRY, page) for page in (0, 0x80, BLOCK_LIMITS, PROVISIONING)),
    *((code, 0) for code in (READ_CAPACITY_10, READ_CAPACITY_16, REPORT_LUNS, 0x1A)),
]


def found(folder: Path, answers: Mapping[Command, bytes | Reply]) -> CData:
    """What is made of a disk: struct device_info."""
    with discovered(folder, {**IS_DISK, **answers}) as (code, device, _):
        assert code == 0, sentence()
        return describe(device)


def refusal(folder: Path, answers: Mapping[Command, bytes | Reply]) -> int:
    with discovered(folder, {**IS_DISK, **answers}) as (code, _, _):
        return code


def test_an_ordinary_disk_is_found(private: Path) -> None:
    info = found(private, ORDINARY)
    assert (info.capacity_bytes, info.block_size, info.physical_block_size) == (1 << 19, 512, 512)


def test_capacity_beyond_32_bits_of_blocks(private: Path) -> None:
    info = found(private, {(READ_CAPACITY_16, 0): capacity_16((1 << 40) - 1, 4096)})
    assert info.capacity_bytes == 1 << 52


def test_a_disk_that_knows_only_the_short_command(private: Path) -> None:
    info = found(private, {(READ_CAPACITY_10, 0): capacity_10(1023, 4096)})
    assert info.capacity_bytes == 1 << 22


@pytest.mark.parametrize("block_size", [0, 1, 256, 513, 1 << 21, 0xFFFFFFFF])
def test_blocks_that_cannot_be_are_refused(private: Path, block_size: int) -> None:
    assert refusal(private, {(READ_CAPACITY_16, 0): capacity_16(7, block_size)}) == -errno.ENODEV
    assert f"its blocks have {block_size} bytes" in sentence()


@pytest.mark.parametrize(
    ("last_block", "block_size"),
    [
        *(((1 << 64) - 1, size) for size in (512, 4096, 1 << 20)),
        *(((1 << 63) // size - 1, size) for size in (512, 4096, 1 << 20)),
        ((1 << 64) // 4096 - 2, 4096),
    ],
)
def test_a_capacity_that_no_offset_can_name_is_refused(
    private: Path, last_block: int, block_size: int
) -> None:
    answers = {(READ_CAPACITY_16, 0): capacity_16(last_block, block_size)}
    assert refusal(private, answers) == -errno.ENODEV
    assert "the disk at target 0, LUN 0 cannot be used: the disk says that it" in sentence()


@pytest.mark.parametrize("block_size", [512, 4096, 1 << 20])
def test_the_largest_capacity_is_taken(private: Path, block_size: int) -> None:
    answers = {(READ_CAPACITY_16, 0): capacity_16((1 << 63) // block_size - 2, block_size)}
    assert found(private, answers).capacity_bytes == (1 << 63) - block_size


def test_a_disk_too_large_for_the_short_command_is_refused(private: Path) -> None:
    answers = {(READ_CAPACITY_10, 0): capacity_10(0xFFFFFFFF, 512)}
    assert refusal(private, answers) == -errno.ENODEV
    assert "more blocks than READ CAPACITY (10) can tell" in sentence()


@pytest.mark.parametrize("address", [(256, 0), (0, 16384), (0xFFFFFFFF, 0xFFFFFFFF)])
def test_an_address_that_would_be_cut_is_refused(private: Path, address: tuple[int, int]) -> None:
    target, lun = address
    with discovered(private, ORDINARY, scsi_target=target, scsi_lun=lun) as (code, _, _):
        assert code == -errno.EINVAL
        assert f"scsi_target={target} and scsi_lun={lun}" in sentence()


@pytest.mark.parametrize(
    ("exponent", "physical"), [(0, 4096), (3, 32768), (11, 1 << 23), (12, 4096), (15, 4096)]
)
def test_a_physical_block_size_does_not_wrap(private: Path, exponent: int, physical: int) -> None:
    info = found(private, {(READ_CAPACITY_16, 0): capacity_16(1023, 4096, exponent)})
    assert info.physical_block_size == physical


def test_the_largest_physical_block_of_the_largest_blocks(private: Path) -> None:
    info = found(private, {(READ_CAPACITY_16, 0): capacity_16(1023, 1 << 20, 15)})
    assert info.physical_block_size == 1 << 20


@pytest.mark.parametrize(
    ("blocks", "in_bytes"), [(1, 4096), ((1 << 20) - 1, (1 << 32) - 4096), (1 << 20, 0)]
)
def test_hints_in_bytes_do_not_wrap(private: Path, blocks: int, in_bytes: int) -> None:
    limits = block_limits(optimal=blocks, unmap_alignment=blocks)
    info = found(
        private,
        {(READ_CAPACITY_16, 0): capacity_16(1023, 4096), (INQUIRY, BLOCK_LIMITS): limits},
    )
    assert (info.optimal_io_size, info.discard_alignment) == (in_bytes, in_bytes)


# ---- what other disks answer -------------------------------------------------------------------


@pytest.mark.parametrize("residual", [0, 1, 255, (1 << 32) - 1])
def test_parameter_data_tells_its_own_length(private: Path, residual: int) -> None:
    thin = {
        **ORDINARY,
        (READ_CAPACITY_16, 0): capacity_16(1023, 512, thin=True),
        (INQUIRY, BLOCK_LIMITS): block_limits(),
        (INQUIRY, PROVISIONING): bytes([0, PROVISIONING, 0, 4, 0, 0x80, 0, 0]),
        (MODE_SENSE_6, 8): mode_pages(caching_page(write_cache=True), protected=True),
    }
    info = found(private, {key: Reply(data, residual=residual) for key, data in thin.items()})
    assert (info.capacity_bytes, info.can_discard) == (1 << 19, True)
    assert (info.writeback, info.read_only) == (True, True)


@pytest.mark.parametrize("residual", [0, 4096])
def test_a_list_of_luns_tells_its_own_length(private: Path, residual: int) -> None:
    listed = Reply(luns(5), residual=residual)
    answers: Mapping[Command, bytes | Reply] = {**ORDINARY, (REPORT_LUNS, 0): listed}
    with discovered(private, answers, scsi_address_set=False) as (code, device, _):
        assert code == -errno.ENODEV  # one behind each target
        found = ffi.new("struct disk_summary[]", 1)
        lib.device_list_disks(device, found, 1)
        assert found[0].lun == 5


@pytest.mark.parametrize(
    "address", [b"\xc1\x01" + bytes(6), b"\x80\x01" + bytes(6), b"\x00\x01\x00\x02" + bytes(4)]
)
def test_luns_that_cannot_be_addressed_are_left_out(private: Path, address: bytes) -> None:
    """Well-known ones, those of other buses, and those of a second level."""
    listed = bytes([0, 0, 0, 8, 0, 0, 0, 0]) + address
    answers = {**ORDINARY, (REPORT_LUNS, 0): listed}
    with discovered(private, answers, scsi_address_set=False) as (code, device, _):
        assert code == -errno.ENODEV
        assert lib.device_list_disks(device, ffi.NULL, 0) == 0


def test_a_disk_that_knows_only_the_long_mode_sense(private: Path) -> None:
    header = bytes([0, 6 + 20, 0, 0x80, 0, 0, 0, 0])
    answers = {**ORDINARY, (MODE_SENSE_10, 8): header + caching_page(write_cache=True)}
    info = found(private, answers)
    assert (info.read_only, info.writeback) == (True, True)


def test_a_disk_that_knows_no_caching_page_may_be_protected(private: Path) -> None:
    info = found(private, {**ORDINARY, (MODE_SENSE_6, 0x3F): mode_pages(protected=True)})
    assert (info.read_only, info.writeback) == (True, False)


def test_block_descriptors_come_before_the_pages(private: Path) -> None:
    page = caching_page(write_cache=True)
    answers = {**ORDINARY, (MODE_SENSE_6, 8): bytes([3 + 8 + 20, 0, 0, 8]) + bytes(8) + page}
    assert found(private, answers).writeback


def test_limits_of_0_are_no_unmap(private: Path) -> None:
    limits = bytearray(block_limits())
    limits[20:24] = bytes(4)  # blocks of a range
    answers = {
        (READ_CAPACITY_16, 0): capacity_16(1023, 512, thin=True),
        (INQUIRY, BLOCK_LIMITS): bytes(limits),
        (INQUIRY, PROVISIONING): bytes([0, PROVISIONING, 0, 4, 0, 0x80, 0, 0]),
    }
    assert not found(private, answers).can_discard


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({(READ_CAPACITY_16, 0): capacity_16(1023, 520)}, "its blocks have 520 bytes"),
        ({(INQUIRY, 0): inquiry(0x05)}, "it is a device of type 05h, which is no disk"),
        ({(INQUIRY, 0): inquiry(0x20)}, "it is not connected"),
        ({(INQUIRY, 0): Reply(response=6)}, "transport failure"),
        ({(INQUIRY, 0): refused(fixed_sense(4, 0x44))}, "internal target failure"),
        ({(READ_CAPACITY_10, 0): refused(fixed_sense(2, 0x3A))}, "medium not present"),
        (
            {(READ_CAPACITY_16, 0): bytes(32), (READ_CAPACITY_10, 0): bytes(8)},
            "the back-end has no disk there any more",
        ),
    ],
)
def test_a_chosen_disk_that_cannot_be_used_has_a_reason(
    private: Path, answers: Mapping[Command, bytes | Reply], words: str
) -> None:
    assert refusal(private, answers) == -errno.ENODEV
    assert "the disk at target 0, LUN 0 cannot be used: " in sentence()
    assert words in sentence()


@pytest.mark.parametrize("answer", [inquiry(0x7F), Reply(response=3)], ids=["no LUN", "no target"])
def test_a_chosen_disk_that_is_not_there(private: Path, answer: bytes | Reply) -> None:
    assert refusal(private, {(INQUIRY, 0): answer}) == -errno.ENODEV
    assert "there is no disk at target 0, LUN 0" in sentence()


def test_a_disk_that_is_busy_while_it_is_described(private: Path) -> None:
    busy = {code: [Reply(status=0x08)] * 3 for code in (INQUIRY, READ_CAPACITY_16, MODE_SENSE_6)}
    with discovered(private, {**IS_DISK, **ORDINARY}, first_answers=busy) as (code, device, _):
        assert code == 0, sentence()
        assert describe(device).capacity_bytes == 1 << 19


def test_a_disk_that_is_busy_for_ever_is_given_up_in_words(private: Path) -> None:
    answers = {(INQUIRY, 0): Reply(status=0x28)}
    with discovered(private, answers, connect_timeout_ms=300) as (code, _, _):
        assert code == -errno.ETIMEDOUT
        assert "did not complete a command in time: it says that it is busy" in sentence()


# ---- a list of LUNs that cannot be -------------------------------------------------------------


@pytest.mark.parametrize("claimed", [0, 1, 3, 1 << 28, (1 << 29) - 1])
def test_no_more_luns_are_believed_than_came(private: Path, claimed: int) -> None:
    answers = {**ORDINARY, (REPORT_LUNS, 0): luns(0, claimed=claimed)}
    with discovered(private, answers, scsi_address_set=False) as (_, _, backend):
        # For each target: the list, and at most as many disks as were in it.
        asked = backend.commands.count((READ_CAPACITY_16, 0))
        assert asked <= backend.commands.count((REPORT_LUNS, 0)) <= 256


@settings(max_examples=40, deadline=None)
@given(answers=st.dictionaries(st.sampled_from(KNOWN), st.binary(max_size=300)))
def test_whatever_a_disk_answers_there_is_an_end(answers: dict[Command, bytes]) -> None:
    with (
        TemporaryDirectory(prefix="pv-") as folder,
        discovered(Path(folder), answers) as (code, device, _),
    ):
        assert code <= 0
        if code == 0:
            info = describe(device)
            assert info.block_size >= 512
            assert info.physical_block_size >= info.block_size
            assert info.capacity_bytes % info.block_size == 0
            assert info.capacity_bytes < 1 << 63


# ---- the ID of a virtio-blk disk ---------------------------------------------------------------


def test_a_device_without_a_free_chain_keeps_no_queue(private: Path) -> None:
    with started(private, BlkBackend(), depth=2) as device:
        queue = lib.device_claim_queue(device)
        taken = [lib.queue_get(queue) for _ in range(queue.num_free)]
        lib.device_release_queue(device, queue)
        lib.device_identify(device)
        assert lib.device_claim_queue(device) == queue, sentence()
        assert taken

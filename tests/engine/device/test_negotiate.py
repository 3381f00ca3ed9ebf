# SPDX-License-Identifier: GPL-2.0-or-later
"""What is asked of a back-end at device_open(), and what is taken: engine/device/negotiate.c."""

import errno
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.engine.blk_backend import (
    BACKEND_REQ,
    BLK_FEATURES,
    CONFIG,
    EVENT_IDX,
    INDIRECT,
    MEM_SLOTS,
    MQ,
    PROTOCOL,
    PROTOCOL_FEATURES,
    REPLY_ACK,
    VERSION_1,
    BlkBackend,
    BlkConfig,
    describe,
    open_device,
    opened,
)
from tests.engine.scripted_backend import ScriptedBackend
from tests.engine.shared_object import CData, lib, sentence
from tests.open_descriptors import descriptors
from tests.vhost_numbers import Request

ALL = (1 << 64) - 1

Info = Callable[..., CData]
Refused = Callable[..., int]


@pytest.fixture
def info(private: Path) -> Iterator[Info]:
    """info(backend, **config): what device_describe() says once the device is open."""
    with ExitStack() as stack:
        yield lambda backend, **config: describe(
            stack.enter_context(opened(private, backend, **config))
        )


@pytest.fixture
def refused(private: Path) -> Refused:
    """refused(backend, **config): the code of device_open(), which leaves nothing open."""

    def run(backend: BlkBackend, **config: object) -> int:
        before = descriptors()
        with ScriptedBackend(private / "blk.sock", backend) as served:
            code, _ = open_device(served.path, **config)
        assert descriptors() == before
        return code

    return run


# ---- order -------------------------------------------------------------------


def test_a_back_end_without_protocol_features_is_asked_for_nothing_more(private: Path) -> None:
    backend = BlkBackend(features=BLK_FEATURES & ~PROTOCOL_FEATURES)
    with opened(private, backend):
        pass
    assert backend.requests == [Request.GET_FEATURES, Request.SET_OWNER]


def test_a_back_end_with_all_is_asked_for_all(private: Path) -> None:
    backend = BlkBackend()
    with opened(private, backend):
        pass
    assert backend.requests == [
        Request.GET_FEATURES,
        Request.GET_PROTOCOL_FEATURES,
        Request.SET_PROTOCOL_FEATURES,
        Request.SET_OWNER,
        Request.GET_MAX_MEM_SLOTS,
        Request.GET_CONFIG,
        Request.GET_QUEUE_NUM,
    ]


@pytest.mark.parametrize("bit", [MQ, REPLY_ACK, CONFIG, MEM_SLOTS])
def test_each_protocol_feature_can_be_missing(info: Info, bit: int) -> None:
    """The back-end fails the test when it is asked for what was not agreed on."""
    assert info(BlkBackend(protocol=PROTOCOL & ~bit)).protocol & bit == 0


def test_each_protocol_feature_can_be_the_only_one(private: Path) -> None:
    for bit in (MQ, REPLY_ACK, CONFIG, MEM_SLOTS):
        with opened(private, BlkBackend(protocol=bit)):
            pass


# ---- features ----------------------------------------------------------------


def test_no_feature_is_taken_that_was_not_offered(info: Info) -> None:
    assert info(BlkBackend(features=VERSION_1)).features == VERSION_1


def test_no_feature_is_taken_that_the_engine_does_not_know(info: Info) -> None:
    taken = info(BlkBackend(features=ALL)).features
    assert taken & ~(BLK_FEATURES | 1 << 5) == 0


def test_no_protocol_feature_is_taken_that_the_engine_does_not_know(info: Info) -> None:
    assert info(BlkBackend(protocol=ALL)).protocol == PROTOCOL | BACKEND_REQ


def test_what_was_offered_can_be_shown(info: Info) -> None:
    found = info(BlkBackend(features=BLK_FEATURES | 1 << 34, protocol=PROTOCOL | 1 << 1))
    assert found.offered_features == BLK_FEATURES | 1 << 34
    assert found.offered_protocol == PROTOCOL | 1 << 1


@pytest.mark.parametrize(("name", "bit"), [("indirect", INDIRECT), ("event_idx", EVENT_IDX)])
def test_a_feature_can_be_left_out(info: Info, name: str, bit: int) -> None:
    assert info(BlkBackend(), **{name: lib.CHOICE_OFF}).features & bit == 0


@pytest.mark.parametrize(("name", "bit"), [("indirect", INDIRECT), ("event_idx", EVENT_IDX)])
def test_a_feature_that_is_insisted_on_and_not_offered_is_told(
    refused: Refused, name: str, bit: int
) -> None:
    backend = BlkBackend(features=BLK_FEATURES & ~bit)
    assert refused(backend, **{name: lib.CHOICE_ON}) == -errno.EOPNOTSUPP
    assert f"leave out {name}=on" in sentence()


# ---- numbers -----------------------------------------------------------------


def test_without_a_configuration_the_capacity_is_not_known(info: Info) -> None:
    found = info(BlkBackend(protocol=PROTOCOL & ~CONFIG))
    assert (found.has_config, found.capacity_bytes, found.block_size) == (False, 0, 512)


def test_without_a_configuration_a_request_has_one_segment(info: Info) -> None:
    assert info(BlkBackend(protocol=PROTOCOL & ~CONFIG)).seg_max == 1


@pytest.mark.parametrize(("configured", "told"), [(4, 2), (2, 4), (3, 3)])
def test_the_smaller_number_of_queues_counts(info: Info, configured: int, told: int) -> None:
    backend = BlkBackend(config=BlkConfig(num_queues=configured), queue_num=told)
    assert info(backend).max_queues == min(configured, told)


def test_no_more_queues_than_an_index_of_a_byte_tells_apart(info: Info) -> None:
    backend = BlkBackend(config=BlkConfig(num_queues=1000), queue_num=2000)
    assert info(backend).max_queues == 256


def test_a_number_of_queues_beyond_32_bits_is_not_cut(info: Info) -> None:
    backend = BlkBackend(config=BlkConfig(num_queues=4), queue_num=1 << 32 | 1)
    assert info(backend).max_queues == 4


def test_without_mq_there_is_one_queue(info: Info) -> None:
    backend = BlkBackend(protocol=PROTOCOL & ~MQ, config=BlkConfig(num_queues=4))
    assert info(backend).max_queues == 1


def test_without_mem_slots_eight_regions_are_taken(info: Info) -> None:
    assert info(BlkBackend(protocol=PROTOCOL & ~MEM_SLOTS)).max_mem_slots == 8


@pytest.mark.parametrize("slots", [1, 509, (1 << 32) - 1])
def test_mem_slots_are_as_told(info: Info, slots: int) -> None:
    assert info(BlkBackend(max_mem_slots=slots)).max_mem_slots == slots


def test_mem_slots_beyond_32_bits_are_not_cut(info: Info) -> None:
    assert info(BlkBackend(max_mem_slots=1 << 32)).max_mem_slots == (1 << 32) - 1


@pytest.mark.parametrize(
    "config",
    [
        BlkConfig(size_max=1, seg_max=1),
        BlkConfig(size_max=100, seg_max=5),
        BlkConfig(size_max=512, seg_max=7, blk_size=4096),
    ],
)
def test_limits_under_one_block_are_refused_in_words(refused: Refused, config: BlkConfig) -> None:
    assert refused(BlkBackend(config=config)) == -errno.EPROTO
    assert f"size_max {config.size_max}, seg_max {config.seg_max}" in sentence()


def test_a_discard_of_less_than_a_block_is_no_discard(info: Info) -> None:
    config = BlkConfig(blk_size=4096, max_discard_sectors=7)
    assert not info(BlkBackend(config=config)).can_discard


def test_a_write_zeroes_of_less_than_a_block_is_none(info: Info) -> None:
    config = BlkConfig(blk_size=4096, max_write_zeroes_sectors=7)
    assert not info(BlkBackend(config=config)).can_write_zeroes


# ---- failures ----------------------------------------------------------------


def test_a_configuration_that_cannot_be_names_the_socket(refused: Refused, private: Path) -> None:
    refused(BlkBackend(config=BlkConfig(blk_size=7)))
    assert sentence().startswith(f"{private}/blk.sock: ")

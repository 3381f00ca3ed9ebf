# SPDX-License-Identifier: GPL-2.0-or-later
"""SCSI sense data, as a disk may send it: engine/disk/sense.c."""

import errno

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.engine.shared_object import CData, ffi, lib

NOT_READY, MEDIUM_ERROR, ILLEGAL_REQUEST, UNIT_ATTENTION, DATA_PROTECT = 2, 3, 5, 6, 7
SENSE_BYTES_MAX = 252  # SPC-4, 4.5.1

bytes8 = st.integers(0, 255)
keys = st.integers(0, 15)


def fixed(key: int, asc: int, ascq: int, response_code: int = 0x70) -> bytes:
    """SPC-4, 4.5.3."""
    return bytes([response_code, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq, 0, 0, 0, 0])


def descriptor(key: int, asc: int, ascq: int, response_code: int = 0x72) -> bytes:
    """SPC-4, 4.5.2, with no descriptors."""
    return bytes([response_code, key, asc, ascq, 0, 0, 0, 0])


FORMATS = [(fixed, 0x70), (fixed, 0x71), (descriptor, 0x72), (descriptor, 0x73)]


def parse(data: bytes) -> CData:
    # On the heap and of just this size, so that the sanitizer sees a byte too far.
    copy = ffi.new("uint8_t[]", data)
    return ffi.new("struct sense *", lib.sense_parse(copy, len(data)))


def error_of(key: int, asc: int = 0, ascq: int = 0) -> int:
    return int(lib.sense_errno(parse(fixed(key, asc, ascq))))


@pytest.mark.parametrize(("make", "response_code"), FORMATS)
@given(key=keys, asc=bytes8, ascq=bytes8)
def test_both_formats_say_the_same(
    make: CData, response_code: int, key: int, asc: int, ascq: int
) -> None:
    sense = parse(make(key, asc, ascq, response_code))
    assert (sense.is_valid, sense.key, sense.asc, sense.ascq) == (True, key, asc, ascq)


def test_the_valid_bit_and_flags_of_fixed_data_do_no_harm() -> None:
    data = bytearray(fixed(MEDIUM_ERROR, 0x11, 0, 0xF0))
    data[2] |= 0xE0  # filemark, end of medium, incorrect length
    sense = parse(bytes(data))
    assert (sense.is_valid, sense.key, sense.asc) == (True, MEDIUM_ERROR, 0x11)


@pytest.mark.parametrize("make", [fixed, descriptor])
def test_all_beyond_the_code_may_be_missing(make: CData) -> None:
    needed = 14 if make is fixed else 4
    assert parse(make(MEDIUM_ERROR, 0x11, 0)[:needed]).is_valid


@pytest.mark.parametrize(("make", "key_at"), [(fixed, 2), (descriptor, 1)])
def test_short_data_says_what_it_has(make: CData, key_at: int) -> None:
    whole = make(MEDIUM_ERROR, 0x11, 0x04)
    for size in range(len(whole)):
        sense = parse(whole[:size])
        assert sense.is_valid == (size > key_at)
        assert sense.key == (MEDIUM_ERROR if size > key_at else 0)
        assert sense.asc in (0, 0x11)
        assert lib.sense_errno(sense) == errno.EIO


@pytest.mark.parametrize("response_code", [0x00, 0x6F, 0x74, 0x7E, 0x7F])
def test_other_formats_say_nothing(response_code: int) -> None:
    assert not parse(fixed(UNIT_ATTENTION, 0x29, 0, response_code)).is_valid


@pytest.mark.parametrize(
    ("key", "asc", "ascq", "expected"),
    [
        (MEDIUM_ERROR, 0x11, 0x00, errno.EIO),
        (ILLEGAL_REQUEST, 0x20, 0x00, errno.EOPNOTSUPP),
        (ILLEGAL_REQUEST, 0x21, 0x00, errno.ENOSPC),
        (ILLEGAL_REQUEST, 0x24, 0x00, errno.EINVAL),
        (ILLEGAL_REQUEST, 0x25, 0x00, errno.ENXIO),
        (NOT_READY, 0x3A, 0x00, errno.ENOMEDIUM),
        (NOT_READY, 0x04, 0x01, errno.EIO),
        (DATA_PROTECT, 0x27, 0x00, errno.EROFS),
        (DATA_PROTECT, 0x27, 0x07, errno.ENOSPC),
        (0xD, 0x00, 0x00, errno.ENOSPC),
        (0, 0, 0, errno.EIO),
    ],
)
def test_each_error_has_its_errno(key: int, asc: int, ascq: int, expected: int) -> None:
    assert error_of(key, asc, ascq) == expected


OUTCOMES = {
    (0x0, 0x00, 0x00): lib.SENSE_AGAIN,  # NO SENSE: a false alarm, and an unknown amount moved
    (0x1, 0x17, 0x01): lib.SENSE_SUCCESS,  # RECOVERED ERROR
    (0x2, 0x04, 0x01): lib.SENSE_LATER,  # becoming ready
    (0x2, 0x04, 0x04): lib.SENSE_LATER,  # format in progress
    (0x2, 0x04, 0x0A): lib.SENSE_LATER,  # asymmetric access state transition
    (0x2, 0x04, 0x02): lib.SENSE_ERROR,  # START UNIT needed
    (0x2, 0x3A, 0x00): lib.SENSE_ERROR,  # medium not present
    (0x2, 0x3A, 0x01): lib.SENSE_ERROR,
    (0x3, 0x11, 0x00): lib.SENSE_ERROR,
    (0x4, 0x44, 0x00): lib.SENSE_ERROR,
    (0x5, 0x20, 0x00): lib.SENSE_ERROR,
    (0x6, 0x29, 0x00): lib.SENSE_AGAIN,
    (0x6, 0x2A, 0x09): lib.SENSE_AGAIN,  # capacity data has changed
    (0x7, 0x27, 0x00): lib.SENSE_ERROR,
    (0x8, 0x00, 0x00): lib.SENSE_ERROR,
    (0x9, 0x80, 0x00): lib.SENSE_ERROR,
    (0xA, 0x00, 0x00): lib.SENSE_ERROR,
    (0xB, 0x00, 0x00): lib.SENSE_AGAIN,  # ABORTED COMMAND
    (0xB, 0x10, 0x01): lib.SENSE_ERROR,  # ... by a guard check that failed
    (0xD, 0x00, 0x00): lib.SENSE_ERROR,
    (0xE, 0x1D, 0x00): lib.SENSE_ERROR,
    (0xF, 0x00, 0x1D): lib.SENSE_SUCCESS,  # COMPLETED
}


@pytest.mark.parametrize("make", [fixed, descriptor])
@pytest.mark.parametrize(("sense", "outcome"), OUTCOMES.items())
def test_what_sense_data_means_for_the_command(
    make: CData, sense: tuple[int, int, int], outcome: int
) -> None:
    assert lib.sense_judge(parse(make(*sense))) == outcome


@pytest.mark.parametrize(("make", "code"), [(fixed, 0x71), (descriptor, 0x73)])
@pytest.mark.parametrize("key", range(16))
def test_an_error_of_an_earlier_command_is_not_hidden(make: CData, code: int, key: int) -> None:
    """The command that brings it was not begun, so it has not succeeded in any case."""
    sense = parse(make(key, 0x0C, 0, code))
    is_harmless = key in (0, 1, UNIT_ATTENTION)
    assert lib.sense_judge(sense) == (lib.SENSE_AGAIN if is_harmless else lib.SENSE_ERROR)
    assert lib.sense_errno(sense) == errno.EIO


def test_data_that_cannot_be_read_is_an_error() -> None:
    assert lib.sense_judge(parse(fixed(UNIT_ATTENTION, 0x29, 0)[:2])) == lib.SENSE_ERROR


@pytest.mark.parametrize(
    ("key", "name"), [(0, "NO SENSE"), (MEDIUM_ERROR, "MEDIUM ERROR"), (15, "COMPLETED")]
)
def test_keys_have_names(key: int, name: str) -> None:
    assert ffi.string(lib.sense_key_name(key)).decode() == name


@given(key=bytes8)
def test_every_key_has_a_name(key: int) -> None:
    assert ffi.string(lib.sense_key_name(key))


@pytest.mark.parametrize(
    ("asc", "ascq", "name"),
    [
        (0x11, 0x00, "unrecovered read error"),
        (0x21, 0x00, "logical block address out of range"),
        (0x27, 0x07, "space allocation failed"),
        (0x27, 0xFF, ""),
        (0xFF, 0x00, ""),
    ],
)
def test_codes_have_names_or_none(asc: int, ascq: int, name: str) -> None:
    assert ffi.string(lib.sense_code_name(asc, ascq)).decode() == name


@given(data=st.binary(max_size=SENSE_BYTES_MAX))
@example(data=b"")
@example(data=b"\x70" * 13)
@example(data=b"\x72" * 3)
def test_any_bytes_make_an_error_and_words(data: bytes) -> None:
    sense = parse(data)
    assert lib.sense_errno(sense) > 0
    assert sense.key <= 0xF
    assert ffi.string(lib.sense_key_name(sense.key))
    ffi.string(lib.sense_code_name(sense.asc, sense.ascq))

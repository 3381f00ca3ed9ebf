# SPDX-License-Identifier: GPL-2.0-or-later
"""The blocks of a restart test: what one holds, and which writes may be found.

test_clients.py has the faults of disks.
"""

import pytest

from pyfio_virtio.restarts.versions import Content, Verdict, Window

CONTENT = Content(b"this run", 4096, 512)


def mixed(first: int, second: int, sectors: int) -> bytes:
    """Block 7 with this many sectors of the second write, and then the first one."""
    return CONTENT.make(7, second)[: sectors * 512] + CONTENT.make(7, first)[sectors * 512 :]


@pytest.mark.parametrize(
    ("found", "acknowledged", "submitted", "verdict"),
    [
        (4, 5, 5, Verdict.OLDER),
        (5, 5, 5, Verdict.RIGHT),
        (6, 5, 5, Verdict.NEWER),
        # The second write was never answered.
        (4, 5, 6, Verdict.OLDER),
        (5, 5, 6, Verdict.RIGHT),
        (6, 5, 6, Verdict.RIGHT),
    ],
)
def test_a_write_is_right_from_the_last_acknowledged_to_the_last_submitted(
    found: int, acknowledged: int, submitted: int, verdict: Verdict
) -> None:
    window = Window(acknowledged, submitted)
    assert CONTENT.judge(7, CONTENT.make(7, found), window) is verdict


@pytest.mark.parametrize("sectors", range(1, 8))
def test_a_block_may_hold_a_part_of_a_write_only_if_that_was_not_acknowledged(sectors: int) -> None:
    data = mixed(5, 6, sectors)
    assert CONTENT.judge(7, data, Window(5, 6)) is Verdict.RIGHT
    assert CONTENT.judge(7, data, Window(6, 6)) is Verdict.TORN
    assert CONTENT.judge(7, data, Window(5, 5)) is Verdict.TORN


def test_a_sector_changes_as_a_whole() -> None:
    data = mixed(5, 6, 1)
    data = data[:100] + CONTENT.make(7, 5)[100:512] + data[512:]
    assert CONTENT.judge(7, data, Window(5, 6)) is Verdict.TORN


@pytest.mark.parametrize("place", [0, 23, 24, 66, 67, 2048, 4095])
def test_each_byte_counts(place: int) -> None:
    data = bytearray(CONTENT.make(7, 5))
    data[place] ^= 1
    assert CONTENT.judge(7, bytes(data), Window(5, 5)) is Verdict.TORN


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (bytes(4096), "it holds zeroes, and write 5 was acknowledged"),
        (CONTENT.make(7, 3), "it holds write 3, and write 5 was acknowledged"),
        (CONTENT.make(8, 3), "it holds write 3 of block 8, and write 5 was acknowledged"),
        (mixed(4, 5, 2), "it holds write 5 and write 4, and write 5 was acknowledged"),
        (b"x" * 4096, "it holds data of somebody else, and write 5 was acknowledged"),
    ],
)
def test_what_a_block_holds_is_told(data: bytes, words: str) -> None:
    assert CONTENT.describe(7, data, Window(5, 5)) == words

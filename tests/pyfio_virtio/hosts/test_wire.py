# SPDX-License-Identifier: GPL-2.0-or-later
"""Bytes of a peer: whole messages come out however they were cut, and nothing else raises."""

import json
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.hosts import wire
from pyfio_virtio.hosts.wire import Decoder, Frames, Message, WireError

SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=20)
FIELDS = st.dictionaries(st.text(max_size=8), SCALARS | st.lists(SCALARS, max_size=3), max_size=4)
MESSAGES = st.builds(
    Message,
    st.text(min_size=1, max_size=12),
    FIELDS.map(lambda found: {k: v for k, v in found.items() if k not in ("kind", "bytes")}),
    st.binary(max_size=200),
)


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(places)]


@given(st.lists(MESSAGES, max_size=4), st.lists(st.integers(0, 10_000), max_size=10))
def test_messages_come_out_however_they_were_cut(messages: list[Message], cuts: list[int]) -> None:
    decoder, found = Decoder(), list[Message]()
    for piece in pieces(b"".join(each.encoded() for each in messages), cuts):
        found += decoder.feed(piece)
    assert found == messages


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_any_bytes_are_messages_or_an_error(given_pieces: list[bytes]) -> None:
    decoder = Decoder()
    try:
        for piece in given_pieces:
            list(decoder.feed(piece))
    except WireError:
        pass


JSON = st.recursive(
    SCALARS | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)


@given(JSON, st.dictionaries(st.sampled_from(["kind", "bytes", "n"]), JSON))
def test_any_json_is_a_message_or_an_error(value: object, fields: dict[str, object]) -> None:
    for each in (value, fields):
        decoder = Decoder()
        try:
            for message in decoder.feed(json.dumps(each).encode() + b"\n"):
                message.text("kind")
        except WireError:
            pass


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b"{" * 40 + b"}" * 40,
        b'{"kind":"a","bytes":-1}',
        b'{"kind":"a","bytes":1e3}',
        b'{"kind":"a","bytes":true}',
        b'{"kind":"a","bytes":99999999999999}',
        b'{"kind":' + b"9" * 10_000 + b"}",
        b'{"kind":1}',
        b"[]",
        b"",
        b"x" * (wire.LONGEST_LINE + 1),
    ],
    ids=lambda line: repr(line[:20]),
)
def test_a_wrong_line_is_an_error(line: bytes) -> None:
    with pytest.raises(WireError):
        list(Decoder().feed(line + b"\n"))


def test_a_line_without_an_end_is_an_error_at_the_limit() -> None:
    decoder = Decoder()
    for _ in range(wire.LONGEST_LINE):
        assert list(decoder.feed(b"x")) == []
    with pytest.raises(WireError, match="too long"):
        list(decoder.feed(b"xx"))


@given(
    st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 65535), st.binary(max_size=100))),
    st.lists(st.integers(0, 10_000), max_size=10),
)
def test_frames_come_out_however_they_were_cut(
    wanted: list[tuple[int, int, bytes]], cuts: list[int]
) -> None:
    frames, found = Frames(), list[tuple[int, int, bytes]]()
    for piece in pieces(b"".join(wire.framed(*each) for each in wanted), cuts):
        found += [(frame.version, frame.opcode, data) for frame, data in frames.feed(piece)]
    assert found == wanted


@given(st.binary(max_size=300))
def test_any_bytes_are_frames_or_an_error(data: bytes) -> None:
    with suppress(WireError):
        list(Frames().feed(data))


def test_a_frame_that_is_too_long_is_an_error() -> None:
    head = wire.framed(97, wire.OPCODE_JOB, b"")[:16] + (wire.LARGEST_FRAME + 1).to_bytes(
        4, "little"
    )
    with pytest.raises(WireError, match="too long"):
        wire.frame_of(head + wire.crc16(head).to_bytes(2, "little") + bytes(2))


def test_a_refusal_keeps_its_words() -> None:
    error = PyfioVirtioError("cannot", "because", "do this")
    (message,) = Decoder().feed(wire.refused(error).encoded())
    assert str(message.refusal()) == str(error)

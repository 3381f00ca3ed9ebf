# SPDX-License-Identifier: GPL-2.0-or-later
"""results/values.py: the kinds of values, their canonical forms, and their order."""

import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfio_virtio.results import values
from pyfio_virtio.results.values import canonical, kind, number, order


def ordered(name: str, given: Iterable[object]) -> list[object]:
    return sorted(given, key=lambda value: order(name, value))


@pytest.mark.parametrize(
    ("name", "alike"),
    [
        ("bs", ("4k", "4096", 4096, "4ki", "4K", "4kb", "0x1000", 4096.0)),
        ("bs", ("4k,8k", "4096,8192")),
        ("bssplit", ("4k/50:8k/50", "4096/50:8192/50")),
        ("bsrange", ("1k-4k", "1024-4096")),
        ("size", ("1m", "1024k", "1048576")),
        ("runtime", ("1m", "60", "60s", 60, 60.0)),
        ("thinktime", ("1ms", "1000us", "1000")),
        ("iodepth", ("32", 32, 32.0, "0x20")),
        ("size", ("50%",)),
        ("rw", ("rw", "readwrite")),
        ("direct", (True, 1, "1")),
        ("rate_iops", (None, "", float("nan"))),
    ],
)
def test_values_with_the_same_meaning_have_one_form(name: str, alike: tuple[object, ...]) -> None:
    assert len({canonical(name, value) for value in alike}) == 1


@pytest.mark.parametrize(
    ("name", "one", "two"),
    [
        ("bs", "4k", "4kib"),  # fio's kib is 1000 unless kb_base is 1000
        ("size", "50", "50%"),
        ("thinktime", "1ms", "1"),
        ("runtime", "1m", "1"),
        ("iodepth", "1e3", "1000"),
        ("iodepth", "1_000", "1000"),
        ("iodepth", " 5", "5"),
        ("iodepth", "٣", "3"),
        ("cpus", "0:1", "0-1"),
        ("jobname", "007", "7"),
        ("bs", "1.5k", "1"),
        ("rw", "read", "randread"),
    ],
)
def test_other_values_do_not(name: str, one: str, two: str) -> None:
    assert canonical(name, one) != canonical(name, two)


def test_kb_base_decides_what_k_means() -> None:
    assert number("bs", "4k", 1000) == 4000
    assert number("bs", "4kib", 1000) == 4096
    assert number("bs", "4kib") == 4000


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("bs", "4096", values.SIZE),
        ("iodepth", 32, values.COUNT),
        ("runtime", "10s", values.TIME),
        ("size", "50%", values.PERCENTAGE),
        ("bs", "4k,8k", values.LIST),
        ("bs", "4k,,8k", values.LIST),
        ("rw", "randread:8", values.WORD),
        ("random_distribution", "zipf:1.2", values.WORD),
        ("cpus_allowed", "0", values.WORD),
        ("iodepth", "nan", values.WORD),
        ("iodepth", float("nan"), values.MISSING),
    ],
)
def test_each_value_has_a_kind(name: str, value: object, expected: str) -> None:
    assert kind(name, value) == expected


def test_sizes_are_ordered_by_their_size_and_shown_as_written() -> None:
    given_order = ["128k", "16k", None, "1m", "4k,8k", "4k", "50%", "512", "4096"]
    expected = ["512", "4k", "4096", "16k", "128k", "1m", "50%", "4k,8k", None]
    assert ordered("bs", given_order) == expected


def test_numbers_inside_words_are_ordered_as_numbers() -> None:
    words = ["zipf:10", "random", "zipf:9"]
    assert ordered("random_distribution", words) == ["random", "zipf:9", "zipf:10"]


ANY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.from_regex(r"[0-9]{1,25}(\.[0-9]+)?[kmgtpisu%b]{0,3}([,:/-][0-9]{1,3}k?)*", fullmatch=True),
)


@given(st.sampled_from(["bs", "runtime", "iodepth", "rw", "way"]), st.lists(ANY, max_size=8))
def test_any_values_have_an_order_and_equal_forms_are_neighbours(
    name: str, several: list[object]
) -> None:
    mixed = random.Random(1).sample(several, len(several))
    found = [canonical(name, value) for value in ordered(name, mixed)]
    assert found == [canonical(name, value) for value in ordered(name, several)]
    for value in several:
        number(name, value)
        order(name, value, 1000)

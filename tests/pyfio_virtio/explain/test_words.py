# SPDX-License-Identifier: GPL-2.0-or-later
"""explain/words.py: a sentence holds what the bars hold."""

from dataclasses import replace

from pyfio_virtio.explain import parts, words
from pyfio_virtio.explain.parts import Bar, Explained
from pyfio_virtio.explain.requests import BOTH_SIDES, OUR_SIDE, WATCHED

EVENT = Bar(
    which=parts.MEDIAN,
    requests=200,
    parts=dict(zip(BOTH_SIDES, (1e3, 1e3, 41e3, 10e3, 38e3, 5e3), strict=True)),
    kick_ns=3000,
    kicked=0.9,
    slept=0,
    called=0.9,
)
BUSY = replace(EVENT, kicked=0.1, called=0)
SLOWEST = replace(EVENT, which=parts.SLOWEST)


def explained(*bars: Bar, fio_median_ns: float = 97e3) -> Explained:
    return Explained("event", 1, bars, 2000, fio_median_ns, {"kicks": 1.0})


def said(*bars: Bar) -> list[str]:
    return list(words.sentences(explained(*bars)))


def test_wake_ups_are_told_with_the_largest_first() -> None:
    assert said(EVENT, SLOWEST)[0] == (
        "wait=event, iodepth 1, the median request: of 96 µs, 41 are spent waking the back-end, "
        "38 waking fio and 10 in the back-end"
    )


def test_a_back_end_that_needed_no_kick_is_not_woken() -> None:
    sentence = said(BUSY, SLOWEST)[0]
    assert "waking" not in sentence
    assert "41 pass until the back-end, which is awake, takes it" in sentence


def test_of_another_back_end_only_our_side_is_told() -> None:
    bar = replace(EVENT, parts=dict(zip(OUR_SIDE, (1e3, 1e3, 3e3, 90e3, 1e3), strict=True)))
    assert said(bar, SLOWEST)[0].endswith("of 96 µs, 90 pass in the back-end and waking fio")


def test_of_a_watched_ring_two_parts_are_told() -> None:
    bar = replace(EVENT, parts=dict(zip(WATCHED, (1e3, 1e3, 3e3, 60e3, 30e3, 1e3), strict=True)))
    assert said(bar, SLOWEST)[0].endswith(
        "of 96 µs, 60 pass until the back-end has it in the used ring and 30 are spent waking fio"
    )


def test_too_few_requests_are_told() -> None:
    assert "for the slowest 1%, the times of 2000 requests are too few" in said(EVENT)[1]
    assert "too few to tell" in said()[0]


def test_requests_that_were_slower_because_they_were_timed_are_told() -> None:
    told = list(words.sentences(explained(EVENT, SLOWEST, fio_median_ns=80e3)))
    assert "the median of the timed requests is 96 µs, and that of all requests is 80 µs" in told[2]
    assert "because taking the times takes time" in told[2]


def test_requests_that_are_unlike_the_others_are_told() -> None:
    told = list(words.sentences(explained(EVENT, SLOWEST, fio_median_ns=120e3)))
    assert "that of all requests is 120 µs, so the timed ones are unlike the others" in told[2]

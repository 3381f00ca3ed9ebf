# SPDX-License-Identifier: GPL-2.0-or-later
"""machine/signals.py: signals end a block by way of its `finally`, and former handlers return."""

import signal

import pytest

from pyfio_virtio.machine import signals

NUMBERS = (signal.SIGTERM, signal.SIGHUP)


class _EndedError(Exception):
    """What the signal raises here."""


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_ends_the_block_by_the_exception(number: int) -> None:
    with pytest.raises(_EndedError, match=str(int(number))):  # noqa: SIM117
        with signals.ending_tidily(lambda number: _EndedError(str(int(number)))):
            signal.raise_signal(number)


@pytest.mark.parametrize("number", NUMBERS)
def test_former_handlers_return(number: int) -> None:
    former = signal.getsignal(number)
    with signals.ending_tidily(lambda number: _EndedError()):
        assert signal.getsignal(number) is not former
    assert signal.getsignal(number) is former


def test_each_handler_hears_of_its_signal_alone() -> None:
    heard: list[int] = []
    with signals.handled(
        {number: lambda number, frame: heard.append(number) for number in NUMBERS}
    ):
        signal.raise_signal(signal.SIGHUP)
    assert heard == [signal.SIGHUP]


@pytest.mark.parametrize("number", NUMBERS)
def test_the_exit_status_tells_the_signal(number: int) -> None:
    with pytest.raises(KeyboardInterrupt) as ending, signals.ending_tidily():
        signal.raise_signal(number)
    assert signals.exit_status(ending.value) == 128 + number
    assert signals.exit_status(KeyboardInterrupt()) == 130


def test_a_hang_up_that_nohup_has_ignored_stays_ignored() -> None:
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.ending_tidily(lambda number: _EndedError()):
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, former)

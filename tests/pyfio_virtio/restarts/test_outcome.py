# SPDX-License-Identifier: GPL-2.0-or-later
"""The sentences about a restart test say what was measured, and no more."""

from dataclasses import replace

import pytest

from pyfio_virtio.restarts.clients import Tally
from pyfio_virtio.restarts.outcome import Connection, Found, Outcome, Restart, found
from pyfio_virtio.restarts.stalls import Stall
from pyfio_virtio.restarts.versions import Verdict

STALL = Stall(0, 50_000_000, 8, 60_000_000, 75_000_000)
ONE = Restart(1, 0.5, 0.1, STALL, Connection(1, 8, 55_000_000), Found(reads=100))
GOOD = Outcome(1, 1, 64, Found(writes=64), [ONE], Found(reads=64), [1], [], "", "")

EARLY = replace(GOOD, last=Found(), failure="it died")


def test_a_good_end() -> None:
    assert GOOD.is_good
    assert GOOD.sentences() == [
        "1 restart stalled the clients for 60.0 ms (median of the p50s), and for 75.0 ms at worst; "
        "8 requests were sent again.",
        "No operation failed.",
        "No acknowledged write was lost: all 64 blocks were read after each restart, and again at "
        "the end over a new connection.",
    ]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (replace(GOOD, last=Found(lost=2)), "after each restart): 2 held nothing of the test."),
        (
            replace(GOOD, last=Found(older=1, torn=3)),
            "1 held an earlier write and 3 held only a part",
        ),
        (
            replace(GOOD, before=Found(errors=1), first_error="no"),
            "1 operation failed, the first: no.",
        ),
        (replace(EARLY, planned=9), "after 1 of 9 restarts: it died."),
        (EARLY, "100 reads found no acknowledged write missing."),
        (replace(EARLY, restarts=[]), "No stall was measured."),
        (replace(EARLY, before=Found(errors=3), first_error="it died"), " 3 operations failed. "),
    ],
)
def test_what_was_found_is_told(changed: Outcome, sentence: str) -> None:
    assert not changed.is_good
    assert sentence in " ".join(changed.sentences())


def test_tallies_are_added() -> None:
    tallies = [Tally(reads=2), Tally(reads=3, errors=1)]
    tallies[0].verdicts.update([Verdict.RIGHT, Verdict.LOST])
    tallies[1].verdicts.update([Verdict.LOST, Verdict.TORN])
    assert found(tallies) == Found(reads=5, errors=1, lost=2, torn=1)

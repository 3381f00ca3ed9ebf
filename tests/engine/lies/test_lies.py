# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever a back-end says or writes, a program gets what it asked for or a sentence.

Each row of the table is played, see disk.py. No row makes a call wait beyond its time limit, leaves
a descriptor open, or changes a byte beside the buffer of a read.
"""

import threading
from pathlib import Path

import pytest

from tests.backend.file_kinds import end_lingering
from tests.engine.lies import fields, messages, rings, scsi
from tests.engine.lies.disk import DATA_BYTE, GUARD_BYTE, Lie, Outcome, live
from tests.open_descriptors import descriptors
from tests.waiting import wait_until

TABLE = [*messages.LIES, *fields.LIES, *rings.LIES, *scsi.LIES]
# It only bounds a hang.
LIMIT_S = 30.0


def test_every_row_has_a_name_of_its_own() -> None:
    assert len({lie.name for lie in TABLE}) == len(TABLE)


@pytest.mark.parametrize("lie", TABLE, ids=lambda lie: lie.name)
def test_a_lie(private: Path, lie: Lie) -> None:
    before = descriptors()
    outcome = play(private, lie)
    end_lingering()
    # Files that nobody asked for are closed in a thread.
    wait_until(lambda: descriptors() == before, f"{before} open files")
    assert outcome.guards == {GUARD_BYTE}
    if lie.then:
        assert next(iter(outcome.failures), None) == lie.at, outcome.failures
        assert lie.then in outcome.failures[lie.at]
    else:
        assert outcome.failures == {}
        assert outcome.read == {DATA_BYTE if not lie.scsi else 0}


def play(folder: Path, lie: Lie) -> Outcome:
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(live(folder, lie)), daemon=True)
    thread.start()
    thread.join(LIMIT_S)
    assert not thread.is_alive(), "a call waits beyond its time limit"
    assert outcomes, "see the exception above"
    return outcomes[0]

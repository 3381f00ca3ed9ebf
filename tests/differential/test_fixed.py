# SPDX-License-Identifier: GPL-2.0-or-later
"""A fixed set of drawn jobs runs here as on fio's own engines.

The jobs are the lines of fixed.jsonl, so that they stay the same in any release of hypothesis. Jobs
that once ran otherwise are added at its end.
"""

from pathlib import Path

import pytest

from tests.differential.compare import compare
from tests.differential.jobs import Job
from tests.differential.sides import OnBuiltin

JOBS = [
    Job.from_json(line) for line in Path(__file__).with_name("fixed.jsonl").read_text().splitlines()
]


@pytest.mark.parametrize("number", range(len(JOBS)))
def test_a_job_runs_as_on_fios_own_engines(number: int) -> None:
    found = compare(JOBS[number], OnBuiltin())
    assert not found.differences, found.describe()

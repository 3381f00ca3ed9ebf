# SPDX-License-Identifier: GPL-2.0-or-later
"""The job files of fio's source tree run here as on libaio, or are in a table with a reason."""

import re
from pathlib import Path

import pytest

from pyfio_virtio.fio import fio
from tests.differential.examples import EXAMPLES, ROOT, compare, files, tree

PAGE = ROOT / "docs" / "fio-examples.md"
# The tables are about the files of this release.
RELEASE = "fio-3.33"

pytestmark = pytest.mark.skipif(
    not (ROOT / "build" / "fio-tree").exists() or fio.find().release != RELEASE,
    reason=f"the tables are about {RELEASE}",
)


def excluded() -> dict[str, str]:
    """The files that cannot run here, and the reason of each."""
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    return {name: reason for names, reason in rows for name in re.findall(r"`(.*?)`", names)}


@pytest.mark.parametrize("name", [name for name in EXAMPLES if EXAMPLES[name].quick])
def test_a_job_file_of_fio_runs_as_on_libaio(name: str) -> None:
    found = compare(name)
    assert found.is_good(), found.describe()


def test_each_file_runs_or_has_a_reason() -> None:
    assert sorted([*EXAMPLES, *excluded()]) == files()


def test_each_reason_is_a_sentence() -> None:
    assert [name for name, reason in excluded().items() if len(reason) < 20] == []


def test_the_files_are_those_that_make_fetched() -> None:
    assert Path(tree(), "examples").is_dir()

# SPDX-License-Identifier: GPL-2.0-or-later
"""matrix: `make matrix` judges a fio and an engine rightly, and writes what it saw."""

import hashlib
import shutil
from pathlib import Path

import pytest
from fio_headers import HeadersError

from pyfio_virtio.engine import engine
from tests.matrix import matrix, sources, trials
from tests.matrix.sources import Pinned
from tests.matrix.trials import Pair


def installed() -> Path:
    path = shutil.which("fio")
    assert path
    return Path(path)


def test_the_installed_fio_passes_all_trials_with_its_engine() -> None:
    pair = Pair(installed(), engine.folder())
    assert trials.failures(pair) == []
    assert matrix.refused(pair) == "NOT REFUSED"


def test_without_an_engine_every_trial_that_runs_a_job_fails(tmp_path: Path) -> None:
    failed = trials.failures(Pair(installed(), tmp_path))
    assert set(trials.TRIALS) - set(failed) <= {"ranges"}
    assert matrix.verdict(failed).startswith("FAILED: enghelp")


def test_a_failure_is_found_in_the_tables() -> None:
    good = matrix.Shown("Title", ("a", "b"), [("fio-3.33", "all 9 passed")])
    bad = matrix.Shown("Title", ("a", "b"), [("fio-3.33", "NOT REFUSED")])
    assert not matrix.is_bad([good])
    assert matrix.is_bad([good, bad])


def test_a_table_of_markdown_has_a_line_for_each_row() -> None:
    shown = matrix.Shown("Title", ("a", "b"), [("fio-3.33", "runs")])
    assert shown.markdown() == "Title:\n\n| a | b |\n| --- | --- |\n| fio-3.33 | runs |\n"


def test_the_page_has_one_place_for_the_tables() -> None:
    page = matrix.PAGE.read_text()
    assert page.count(matrix.BEGIN) == page.count(matrix.END) == 1


def test_a_file_that_changed_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = tmp_path / "changed.tar"
    changed.write_bytes(b"changed")
    monkeypatch.setattr(Pinned, "url", lambda self: changed.as_uri())
    wanted = Pinned("fio-9.9", "fio.tar", hashlib.sha256(b"as it was").hexdigest())
    with pytest.raises(HeadersError, match="is not the file that it was"):
        sources.upstream_sources(wanted, tmp_path / "build")
    assert list((tmp_path / "build").iterdir()) == []

# SPDX-License-Identifier: GPL-2.0-or-later
"""fio/bundled.py: job files by name."""

from pathlib import Path

import pytest

from pyfio_virtio.errors import UsageError
from pyfio_virtio.fio import bundled
from tests.conftest import ROOT

JOBS = sorted(path.stem for path in (ROOT / "jobs").glob("*.fio"))


def test_the_names_are_those_of_the_files() -> None:
    assert bundled.names() == JOBS


@pytest.mark.parametrize("written", ["{}", "{}.fio", "jobs/{}.fio"])
@pytest.mark.parametrize("name", JOBS)
def test_a_job_is_found_in_any_folder(
    name: str, written: str, private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(private)
    assert bundled.find(Path(written.format(name))).samefile(ROOT / "jobs" / f"{name}.fio")


def test_a_file_of_the_user_takes_precedence(
    private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(private)
    Path("latency").write_text("[mine]\n")
    assert bundled.find(Path("latency")) == Path("latency")


def test_a_folder_is_no_job(private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(private)
    Path("verify").mkdir()
    assert bundled.find(Path("verify")).samefile(ROOT / "jobs" / "verify.fio")


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("latncy", "did you mean latency? the jobs"),
        ("jobs/virtoi.fio", "did you mean virtio? the jobs"),
        ("zzz", "there is no such file; the jobs that come with pyfio-virtio are latency, mixed"),
        ("/dev/null/x", "there is no such file"),
    ],
)
def test_a_wrong_name_is_answered_with_the_names(written: str, words: str) -> None:
    with pytest.raises(UsageError, match="cannot read the job file") as refused:
        bundled.find(Path(written))
    assert words in str(refused.value)

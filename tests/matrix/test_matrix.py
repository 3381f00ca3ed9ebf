# SPDX-License-Identifier: GPL-2.0-or-later
"""matrix: `make matrix` judges a fio and an engine rightly, and writes what it saw."""

import hashlib
import shutil
import subprocess
import sys
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


@pytest.mark.parametrize(
    ("message", "bad"),
    [
        ("build: fio-3.16 in /x is too old for the engine, which needs fio 3.28 or later", False),
        ("build: gcc failed", True),
    ],
)
def test_an_engine_that_does_not_compile_is_a_failure(
    message: str, bad: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(tree: Path, origin: str) -> matrix.Engine:
        raise HeadersError(message)

    monkeypatch.setattr(matrix, "build", build)
    (tmp_path / "ioengines.h").touch()
    engines, missing = matrix.build_all([matrix.Candidate("own", "tree", str(tmp_path))])
    assert engines == []
    assert matrix.is_bad([matrix.Shown("Title", ("sources", "reason"), missing)]) is bad


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What make matrix may write anew."""
    page = tmp_path / "page.md"
    page.write_text(f"{matrix.BEGIN}as it was\n{matrix.END}")
    monkeypatch.setattr(matrix, "PAGE", page)
    monkeypatch.setattr(matrix, "BUILD", tmp_path / "build")
    monkeypatch.setattr(sys, "argv", ["matrix"])
    return page


def test_without_one_engine_it_fails_and_the_page_stays(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(matrix, "build_all", lambda wanted: ([], [("Debian sid", "no network")]))
    assert matrix.main() == 1
    assert "as it was" in page.read_text()
    assert capsys.readouterr().err == "matrix: no engine was built (Debian sid: no network)\n"


@pytest.mark.parametrize(("cell", "status"), [("runs", 0), ("FAILED to build: no gcc", 1)])
def test_the_page_is_written_only_if_nothing_failed(
    cell: str, status: int, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = [matrix.Shown("Title", ("a",), [(cell,)])]
    monkeypatch.setattr(matrix, "tables", lambda suites, trees: shown)
    assert matrix.main() == status
    assert ("as it was" in page.read_text()) == bool(status)


OF_LAST_TIME = (
    matrix.Shown("Each fio", ("fio", "sources from"), [("fio-3.41", "Debian forky, Debian sid")]),
    matrix.Shown(matrix.MISSING, ("sources", "reason"), [("Debian trixie", "404")]),
    matrix.Shown("Packages", ("package of", "fio", "result", "engine"),
                 [("Debian sid", "fio-3.41", "all 9 passed", "of Debian sid"),
                  ("Ubuntu 25.10", "", matrix.NOT_HAD, "404")]),
)  # fmt: skip


@pytest.mark.parametrize(
    ("missing", "package", "gone"),
    [
        (("Debian sid", "no network"), (), "Debian sid"),
        ((), ("Debian sid", "", matrix.NOT_HAD, "no network"), "Debian sid"),
        (("Debian trixie", "404"), ("Ubuntu 25.10", "", matrix.NOT_HAD, "404"), ""),
    ],
)
def test_no_result_is_lost_because_something_cannot_be_fetched(
    missing: matrix.Row,
    package: matrix.Row,
    gone: str,
    page: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    matrix.keep(OF_LAST_TIME)
    before = page.read_text()
    shown = [
        matrix.Shown(matrix.MISSING, ("sources", "reason"), list(filter(None, [missing]))),
        matrix.Shown("Packages", ("package of",), list(filter(None, [package]))),
    ]
    monkeypatch.setattr(matrix, "tables", lambda suites, trees: shown)
    assert matrix.main() == bool(gone)
    assert (page.read_text() == before) is bool(gone)
    assert bool(gone) is (f"it has results of {gone}, which" in capsys.readouterr().err)


def test_a_program_starts_from_a_folder_with_spaces(tmp_path: Path) -> None:
    root = tmp_path / "two words, $one 'quote'"
    root.mkdir()
    for name, text in (("ld-1.so.2", "printf '%s\\n' \"$@\""), ("fio", "exit 1")):
        (root / name).write_text(f"#!/bin/sh\n{text}\n")
        (root / name).chmod(0o755)
    script = sources._runnable(root / "fio", root, root / "started")
    done = subprocess.run([script, "a b"], capture_output=True, text=True, check=True)
    begin, path, program, argument = done.stdout.splitlines()
    assert (begin, program, argument) == ("--library-path", str(root / "fio"), "a b")
    assert path.endswith(str(root))


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
    with pytest.raises(HeadersError, match="another checksum"):
        sources.upstream_sources(wanted, tmp_path / "build")
    assert list((tmp_path / "build").iterdir()) == []

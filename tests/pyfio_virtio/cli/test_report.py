# SPDX-License-Identifier: GPL-2.0-or-later
"""cli/report.py: from results to a page, a picture and a gate."""

import json
import shutil
from pathlib import Path

import pytest

from pyfio_virtio.results.results import RUNS
from tests.analysis.synthetic import write_sweep
from tests.conftest import RunCommand


@pytest.fixture(scope="module")
def invented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six runs of each of two points: enough for a verdict."""
    folder = tmp_path_factory.mktemp("invented")
    write_sweep(folder, polls=(0, 20), waits=(), depths=(32,), repeats=6, noise=0.01)
    return folder


def _slower(folder: Path, to: Path) -> Path:
    """The same runs with half the IOPS."""
    shutil.copytree(folder, to)
    rows = [json.loads(line) for line in (to / RUNS).read_text().splitlines()]
    lines = (json.dumps({**row, "iops": row["iops"] / 2}) for row in rows)
    (to / RUNS).write_text("".join(f"{line}\n" for line in lines))
    return to


def test_a_real_sweep_becomes_a_page_in_its_folder(
    command: RunCommand, swept: Path, private: Path
) -> None:
    folder = private / "out"
    shutil.copytree(swept, folder)
    plan = folder / "plan.toml"
    plan.write_text(plan.read_text().replace('title = ""', 'title = "Is it faster?"'))
    ended = command("report", str(folder))
    assert (ended.status, ended.stdout) == (0, f"{folder}/report.html\n"), ended.stderr
    text = (folder / "report.html").read_text()
    for words in ("Is it faster?", "sleepy 100 µs", "<svg", "was measured twice in each round"):
        assert words in text


def test_a_page_that_cannot_be_written_is_named(main_here: RunCommand, invented: Path) -> None:
    ended = main_here("report", str(invented), "-o", "/none/report.html")
    assert ended.status == 2
    assert "cannot write /none/report.html: its folder does not exist" in ended.stderr


def test_markdown_is_printed(main_here: RunCommand, invented: Path) -> None:
    ended = main_here("report", "--markdown", str(invented))
    assert ended.status == 0
    assert "| way" in ended.stdout
    assert not (invented / "report.html").exists()


@pytest.mark.parametrize(
    "arguments", [(), ("--picture", "counters"), ("--x", "way", "--y", "cpu_us")]
)
def test_a_picture_is_drawn(
    main_here: RunCommand, invented: Path, private: Path, arguments: tuple[str, ...]
) -> None:
    picture = private / "picture.svg"
    ended = main_here("plot", str(invented), *arguments, "-o", str(picture))
    assert (ended.status, ended.stdout) == (0, f"{picture}\n"), ended.stderr
    assert "<svg" in picture.read_text()


def test_a_picture_of_fio_s_own_files(main_here: RunCommand, swept: Path, private: Path) -> None:
    files = [str(path) for path in swept.glob("points/*/*/fio.json")]
    picture = private / "picture.png"
    ended = main_here("plot", *files, "--x", "engine", "--y", "iops", "-o", str(picture))
    assert ended.status == 0, ended.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_file_of_fio_becomes_a_page_here(
    main_here: RunCommand, swept: Path, private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(private)
    ended = main_here("report", str(next(swept.glob("points/*/*/fio.json"))))
    assert (ended.status, ended.stdout.strip()) == (0, "report.html")
    assert (private / "report.html").read_text().startswith("<!doctype html>")


def test_a_picture_without_data_ends_with_a_sentence(
    main_here: RunCommand, swept: Path, private: Path
) -> None:
    picture = private / "picture.png"
    file = next(swept.glob("points/*/*/fio.json"))
    ended = main_here("plot", str(file), "--picture", "counters", "-o", str(picture))
    assert ended.status == 1
    assert "there are no counters to draw" in ended.stderr
    assert not picture.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("-o", "picture.jpeg"), "name a .png or .svg file"),
        (("--picture", "pie"), "no picture pie"),
        (("--where", "colour=red"), "no column colour"),
        (("--x", "colour"), "no column colour"),
        (("--x", "way", "--where", "rw=typo"), "no run is left where rw=typo"),
    ],
)
def test_a_picture_that_cannot_be_is_refused(
    main_here: RunCommand, invented: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    ended = main_here("plot", str(invented), *arguments)
    assert ended.status in (1, 2)
    assert sentence in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_gate_lets_equal_results_pass(main_here: RunCommand, invented: Path) -> None:
    ended = main_here("compare", str(invented), str(invented), "--max-regression", "40%")
    assert ended.status == 0, ended.stderr
    assert ended.stdout.count("no difference shown") == 2
    assert "2 of 2 points are surely not worse by more than 40%: passed" in ended.stdout


def test_a_gate_that_cannot_judge_fails_with_five(main_here: RunCommand, invented: Path) -> None:
    asked = ("compare", str(invented), str(invented), "--max-regression", "0.1%")
    ended = main_here(*asked)
    assert ended.status == 5
    assert "2 of 2 points are not settled: they may be worse by more than 0.1%" in ended.stderr
    allowed = main_here(*asked, "--allow-unsettled")
    assert (allowed.status, "2 not settled: passed" in allowed.stdout) == (0, True)


def test_a_point_whose_runs_all_failed_fails_the_gate_with_five(
    main_here: RunCommand, invented: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(invented, broken)
    rows = [json.loads(line) for line in (broken / RUNS).read_text().splitlines()]
    for row in rows:
        if row.get("sleepy_poll") == 20:
            row["error"] = "fio said no"
    (broken / RUNS).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    asked = ("compare", str(invented), str(broken), "--max-regression", "40%")
    ended = main_here(*asked)
    assert ended.status == 5
    assert "every run of OTHER failed" in ended.stdout
    assert "1 of 2 points is missing (use --allow-missing): sleepy 20 µs" in ended.stderr
    allowed = main_here(*asked, "--allow-missing")
    assert (allowed.status, "1 missing: passed" in allowed.stdout) == (0, True)


def test_a_report_without_a_run_that_succeeded_fails(
    main_here: RunCommand, invented: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(invented, broken)
    rows = [json.loads(line) for line in (broken / RUNS).read_text().splitlines()]
    lines = (json.dumps({**row, "error": "fio said no"}) for row in rows)
    (broken / RUNS).write_text("".join(f"{line}\n" for line in lines))
    for arguments in ((str(broken),), (str(broken), "--markdown")):
        ended = main_here("report", *arguments)
        assert ended.status == 1
        assert ended.stderr == (
            f"pyfio-virtio: no run of {broken} succeeded; the report says why\n"
        )
    assert "<svg" not in (broken / "report.html").read_text()


def test_a_gate_without_any_point_does_not_pass(
    main_here: RunCommand, invented: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(invented, broken)
    rows = [json.loads(line) for line in (broken / RUNS).read_text().splitlines()]
    lines = (json.dumps({**row, "iops": 0.0, "error": "fio said no"}) for row in rows)
    (broken / RUNS).write_text("".join(f"{line}\n" for line in lines))
    asked = ("compare", str(invented), str(broken), "--max-regression", "40%")
    ended = main_here(*asked, "--allow-missing", "--allow-unsettled")
    assert ended.status != 0
    assert len(ended.stderr.splitlines()) == 1


def test_a_history_is_a_page(main_here: RunCommand, invented: Path, private: Path) -> None:
    page = private / "history.html"
    ended = main_here("report", "--history", str(invented), "-o", str(page))
    assert (ended.status, ended.stdout) == (0, f"{page}\n"), ended.stderr
    assert "How did iops change over 1 sweep?" in page.read_text()
    assert main_here("report", str(invented), "--metric", "p99_ns").status == 2
    assert main_here("report", str(invented), str(invented)).status == 2


def test_a_gate_with_nothing_to_judge_fails_whatever_is_allowed(
    main_here: RunCommand, invented: Path, tmp_path: Path
) -> None:
    hung = tmp_path / "hung"
    shutil.copytree(invented, hung)
    rows = [json.loads(line) for line in (hung / RUNS).read_text().splitlines()]
    (hung / RUNS).write_text("".join(f"{json.dumps({**row, 'iops': 0.0})}\n" for row in rows))
    allowed = ("--allow-missing", "--allow-unsettled")
    ended = main_here("compare", str(invented), str(hung), "--max-regression", "40%", *allowed)
    assert ended.status == 5
    assert "no ratio: iops is 0 in" in ended.stdout
    assert "every point is missing, so none was judged" in ended.stderr


def test_a_metric_without_a_direction_is_not_judged(main_here: RunCommand, invented: Path) -> None:
    asked = ("compare", str(invented), str(invented), "--metric", "looks_per_io")
    assert main_here(*asked).status == 0
    ended = main_here(*asked, "--max-regression", "5%")
    assert ended.status == 2
    assert "neither more nor less of it is better" in ended.stderr


def test_a_regression_fails_the_gate_with_four(
    main_here: RunCommand, invented: Path, tmp_path: Path
) -> None:
    slower = _slower(invented, tmp_path / "slower")
    ended = main_here("compare", str(invented), str(slower), "--max-regression", "5%")
    assert ended.status == 4
    assert ended.stdout.count("lower (worse)") == 2
    assert "2 of 2 points are surely worse by more than 5%" in ended.stderr


def test_without_a_gate_a_regression_is_only_told(
    main_here: RunCommand, invented: Path, tmp_path: Path
) -> None:
    slower = _slower(invented, tmp_path / "slower")
    assert main_here("compare", str(invented), str(slower)).status == 0


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--max-regression", "5"), 2, "unusable --max-regression 5"),
        (("--metric", "nope"), 1, "nope is no column of numbers"),
        (("--metric", "engine"), 1, "engine is no column of numbers"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_words(
    main_here: RunCommand, invented: Path, arguments: tuple[str, ...], status: int, words: str
) -> None:
    ended = main_here("compare", str(invented), str(invented), *arguments)
    assert ended.status == status
    assert words in ended.stderr


def test_unlike_machines_are_not_compared_unless_told(
    main_here: RunCommand, invented: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(invented, other)
    text = (other / RUNS).read_text().replace("6.1.0-18-amd64", "6.12.0")
    (other / RUNS).write_text(text)
    refused = main_here("compare", str(invented), str(other))
    assert refused.status == 1
    assert "kernel was 6.1.0-18-amd64 and 6.12.0" in refused.stderr
    assert main_here("compare", str(invented), str(other), "--allow-unlike").status == 0

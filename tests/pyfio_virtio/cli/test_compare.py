# SPDX-License-Identifier: GPL-2.0-or-later
"""cli/compare.py: two results beside each other, and a gate."""

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
    folder = tmp_path_factory.mktemp("invented") / "base"
    write_sweep(folder, polls=(0, 20), waits=(), depths=(32,), repeats=6, noise=0.01)
    return folder


@pytest.fixture(scope="module")
def equal(invented: Path) -> Path:
    """The same results in another folder."""
    return Path(shutil.copytree(invented, invented.with_name("equal")))


def _slower(folder: Path, to: Path) -> Path:
    """The same runs with half the IOPS."""
    shutil.copytree(folder, to)
    rows = [json.loads(line) for line in (to / RUNS).read_text().splitlines()]
    lines = (json.dumps({**row, "iops": row["iops"] / 2}) for row in rows)
    (to / RUNS).write_text("".join(f"{line}\n" for line in lines))
    return to


def test_a_gate_lets_equal_results_pass(main_here: RunCommand, invented: Path, equal: Path) -> None:
    ended = main_here("compare", str(invented), str(equal), "--max-regression", "40%")
    assert ended.status == 0, ended.stderr
    assert ended.stdout.count("no difference shown") == 2
    assert "2 of 2 points are surely not worse by more than 40%: passed" in ended.stdout


@pytest.mark.parametrize("form", ["", "--markdown", "--json"])
def test_a_sweep_that_is_not_finished_is_told(
    main_here: RunCommand, equal: Path, tmp_path: Path, form: str
) -> None:
    started = tmp_path / "started"
    shutil.copytree(equal, started)
    (started / "plan.toml").write_text("[planned]\nruns = 40\n")
    ended = main_here("compare", str(equal), str(started), *filter(None, [form]))
    assert ended.status == 0, ended.stderr
    made = len((started / RUNS).read_text().splitlines())
    assert f"not finished: {made} of 40 runs" in " ".join(ended.stdout.split())


def test_a_gate_that_cannot_judge_fails_with_five(
    main_here: RunCommand, invented: Path, equal: Path
) -> None:
    asked = ("compare", str(invented), str(equal), "--max-regression", "0.1%")
    ended = main_here(*asked)
    assert ended.status == 5
    assert "2 of 2 points are not settled: inconclusive" in ended.stdout
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
    assert "every run of broken failed" in ended.stdout
    assert ended.stderr == (
        "pyfio-virtio: Missing: sleepy 20 µs (--allow-missing judges the others)\n"
    )
    allowed = main_here(*asked, "--allow-missing")
    assert (allowed.status, "1 missing: passed" in allowed.stdout) == (0, True)


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
    assert "Every point is missing, so none was judged" in ended.stderr


def test_a_metric_without_a_direction_is_not_judged(
    main_here: RunCommand, invented: Path, equal: Path
) -> None:
    asked = ("compare", str(invented), str(equal), "--metric", "looks_per_io")
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
    assert ended.stdout.endswith("2 of 2 points are surely worse by more than 5%: failed\n")
    assert ended.stderr.startswith("pyfio-virtio: Surely worse by more than 5%: event")


def test_without_a_gate_a_regression_is_only_told(
    main_here: RunCommand, invented: Path, tmp_path: Path
) -> None:
    slower = _slower(invented, tmp_path / "slower")
    assert main_here("compare", str(invented), str(slower)).status == 0


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--max-regression", "5"), 2, "unusable --max-regression 5"),
        (("--metric", "nope"), 2, "nope is no column of numbers"),
        (("--metric", "engine"), 2, "engine is no column of numbers"),
        (("--max-regression", "10"), 2, "write it as 10%"),
        (("--max-regression", "ten"), 2, "unusable --max-regression ten: it is not a share"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_words(
    main_here: RunCommand,
    invented: Path,
    equal: Path,
    arguments: tuple[str, ...],
    status: int,
    words: str,
) -> None:
    ended = main_here("compare", str(invented), str(equal), *arguments)
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


def test_the_last_line_is_a_summary(main_here: RunCommand, invented: Path, equal: Path) -> None:
    ended = main_here("compare", str(invented), str(equal))
    assert ended.status == 0
    *_, caution, summary = ended.stdout.splitlines()
    assert caution.startswith("base and equal were not measured in turns")
    assert summary.startswith("2 points: no difference shown at 2; surely none is worse by more")


def test_the_names_of_folders_are_the_headings(
    main_here: RunCommand, invented: Path, tmp_path: Path
) -> None:
    for name in ("old", "new"):
        shutil.copytree(invented, tmp_path / name / "out")
    ended = main_here("compare", str(tmp_path / "old/out"), f"{tmp_path}/new/out/")
    assert ended.stdout.splitlines()[1].split()[:3] == ["point", "old/out", "new/out"]


@pytest.mark.parametrize("flag", ["--json", "--markdown"])
def test_the_exit_status_does_not_depend_on_the_format(
    main_here: RunCommand, invented: Path, equal: Path, tmp_path: Path, flag: str
) -> None:
    slower = _slower(invented, tmp_path / "slower")
    limit = ("--max-regression", "5%", flag)
    assert main_here("compare", str(invented), str(slower), *limit).status == 4
    assert main_here("compare", str(invented), str(equal), "--max-regression", "40%").status == 0


def test_json_has_the_points_and_the_verdict(
    main_here: RunCommand, invented: Path, tmp_path: Path
) -> None:
    slower = _slower(invented, tmp_path / "slower")
    ended = main_here("compare", str(invented), str(slower), "--max-regression", "5%", "--json")
    found = json.loads(ended.stdout)
    assert (found["base"], found["other"], found["verdict"]) == ("base", "slower", "failed")
    assert [point["verdict"] for point in found["points"]] == ["worse", "worse"]
    assert [round(point["ratio"], 3) for point in found["points"]] == [0.5, 0.5]


def test_markdown_is_a_table(main_here: RunCommand, invented: Path, equal: Path) -> None:
    ended = main_here("compare", str(invented), str(equal), "--markdown")
    assert ended.stdout.startswith("### equal compared with base\n\n**2 points: ")
    assert "| point | base | equal | ratio | 95% interval | result |" in ended.stdout


def test_two_formats_at_once_are_refused(
    main_here: RunCommand, invented: Path, equal: Path
) -> None:
    ended = main_here("compare", str(invented), str(equal), "--markdown", "--json")
    assert ended.status == 2
    assert "--markdown and --json exclude each other" in ended.stderr


def test_a_folder_is_not_compared_with_itself(main_here: RunCommand, invented: Path) -> None:
    """A gate that compares a result with itself would always pass."""
    ended = main_here("compare", str(invented), f"{invented}/../base", "--max-regression", "5%")
    assert ended.status == 2
    assert "was given twice: it is the same as" in ended.stderr


def test_files_of_fio_are_compared(main_here: RunCommand, swept: Path, tmp_path: Path) -> None:
    file = next(swept.glob("points/*/*/fio.json"))
    for name in ("one.json", "two.json"):
        shutil.copy(file, tmp_path / name)
    ended = main_here("compare", str(tmp_path / "one.json"), str(tmp_path / "two.json"))
    assert ended.status == 0, ended.stderr
    assert ended.stdout.splitlines()[1].split()[1:3] == ["one.json", "two.json"]
    assert "1 point: too few runs at 1 (5 of each are needed)" in ended.stdout

# SPDX-License-Identifier: GPL-2.0-or-later
"""cli/report.py: from results to a page and a picture."""

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
        (("--where", "rw"), "cannot read --where rw; write --where COLUMN=VALUE"),
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


def test_a_history_is_a_page(main_here: RunCommand, invented: Path, private: Path) -> None:
    page = private / "history.html"
    ended = main_here("report", "--history", str(invented), "-o", str(page))
    assert (ended.status, ended.stdout) == (0, f"{page}\n"), ended.stderr
    assert "How did iops change over 1 sweep?" in page.read_text()
    assert main_here("report", str(invented), "--metric", "p99_ns").status == 2
    assert main_here("report", "--history", str(invented), str(invented)).status == 2


@pytest.fixture(scope="module")
def slower(invented: Path) -> Path:
    """The same sweep in another folder, with half the IOPS."""
    folder = Path(shutil.copytree(invented, invented.with_name("slower")))
    rows = [json.loads(line) for line in (folder / RUNS).read_text().splitlines()]
    lines = (json.dumps({**row, "iops": row["iops"] / 2}) for row in rows)
    (folder / RUNS).write_text("".join(f"{line}\n" for line in lines))
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        *(("--picture", name) for name in ("p99", "latency", "percentiles", "cost", "counters")),
        ("--x", "iodepth", "--y", "p99_ns"),
        ("--x", "iodepth", "--y", "p99_ns", "--by", "way"),
        ("--x", "folder", "--y", "iops", "--by", "way"),
        ("--picture", "iops", "--facet", "folder"),
    ],
)
def test_folders_are_drawn_beside_each_other(
    main_here: RunCommand, invented: Path, slower: Path, private: Path, arguments: tuple[str, ...]
) -> None:
    picture = private / "picture.svg"
    ended = main_here("plot", str(invented), str(slower), *arguments, "-o", str(picture))
    assert (ended.status, ended.stdout) == (0, f"{picture}\n"), ended.stderr
    for folder in (invented, slower):
        assert f"<!-- {folder.name}" in picture.read_text()


def test_a_picture_of_too_many_columns_is_refused(
    main_here: RunCommand, invented: Path, slower: Path
) -> None:
    axes = ("--x", "iodepth", "--by", "way", "--facet", "bs")
    ended = main_here("plot", str(invented), str(slower), *axes)
    assert ended.status == 1
    assert "use folder for one of them, or name one folder" in ended.stderr


@pytest.mark.parametrize("command", ["plot", "report"])
def test_a_folder_that_was_given_twice_is_refused(
    main_here: RunCommand, invented: Path, command: str
) -> None:
    ended = main_here(command, str(invented), f"{invented}/")
    assert ended.status == 2
    assert "was given twice" in ended.stderr


def test_several_folders_become_one_page_here(
    main_here: RunCommand,
    invented: Path,
    slower: Path,
    private: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(private)
    ended = main_here("report", str(invented), str(slower))
    assert (ended.status, ended.stdout) == (0, "report.html\n"), ended.stderr
    text = (private / "report.html").read_text()
    assert "The folders were not measured in turns" in text
    for folder in (invented, slower):
        assert f"The sweep {folder.name}, plan.toml" in text
    assert not (invented / "report.html").exists()


def test_a_report_is_printed_as_json(main_here: RunCommand, invented: Path, slower: Path) -> None:
    ended = main_here("report", "--json", str(invented), str(slower))
    found = json.loads(ended.stdout)
    assert [(each["way"], each["folder"]) for each in found["points"]] == [
        ("event", invented.name),
        ("event", "slower"),
        ("sleepy 20 µs", invented.name),
        ("sleepy 20 µs", "slower"),
    ]
    assert all(each["iops_low"] <= each["iops"] <= each["iops_high"] for each in found["points"])
    assert found["headline"].startswith("Event has the most IOPS at all 2 folders measured.")
    assert main_here("report", "--json", "--markdown", str(invented)).status == 2


def test_the_front_is_printed_in_at_most_two_lines(
    main_here: RunCommand, invented: Path, private: Path
) -> None:
    ended = main_here("report", str(invented), "-o", str(private / "page.html"))
    lines = json.loads(main_here("report", "--json", str(invented)).stdout)["fronts"]
    assert [line.partition(":")[0] for line in lines] == ["Latency against CPU time"]
    assert ended.stderr == f"{lines[0]}\n"
    assert "Latency against CPU time: " in main_here("report", "--markdown", str(invented)).stdout


def test_a_text_is_written_to_the_file_that_was_named(
    main_here: RunCommand, invented: Path, private: Path
) -> None:
    for flag, beginning in (("--json", "{"), ("--markdown", "### ")):
        file = private / "report.txt"
        ended = main_here("report", flag, str(invented), "-o", str(file))
        assert ended.stdout == f"{file}\n"
        assert file.read_text().startswith(beginning)


def test_a_history_is_printed_as_json(main_here: RunCommand, invented: Path, slower: Path) -> None:
    ended = main_here("report", "--history", "--json", str(invented), str(slower))
    found = json.loads(ended.stdout)
    assert sorted(each["name"] for each in found["sweeps"]) == sorted([invented.name, "slower"])
    assert [each["point"] for each in found["points"]] == ["event", "sleepy 20 µs"]


def test_a_sweep_that_was_not_finished_says_so_first_and_how_to_go_on(
    main_here: RunCommand, swept: Path, private: Path
) -> None:
    folder = private / "out"
    shutil.copytree(swept, folder)
    plan = folder / "plan.toml"
    assert "[planned]\nruns = 8\n" in plan.read_text()
    finished = json.loads(main_here("report", str(folder), "--json").stdout)
    assert "not finished" not in " ".join(finished["warnings"])
    lines = (folder / RUNS).read_text().splitlines(keepends=True)
    (folder / RUNS).write_text("".join(lines[:7]))
    told = json.loads(main_here("report", str(folder), "--json").stdout)
    assert told["warnings"][0] == (
        "The sweep was not finished: 7 of 8 runs were made. "
        f"Continue with: pyfio-virtio sweep {plan} -o {folder}"
    )
    plan.write_text(plan.read_text().replace("[planned]\nruns = 8\n", ""))
    older = json.loads(main_here("report", str(folder), "--json").stdout)
    assert "not finished" not in " ".join(older["warnings"])

# SPDX-License-Identifier: GPL-2.0-or-later
"""fio_files.py: a row for each load, none a repeat of another, and no picture without data."""

import json
import random
import resource
import shutil
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyfio_virtio.analysis import frame, picture_names, report
from pyfio_virtio.analysis.compare import compare
from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.results.results import ResultsError
from tests.pyfio_virtio.fio import shapes

Write = Callable[..., Path]


def job(name: str = "a", **changed: object) -> dict[str, Any]:
    idle = {"total_ios": 0, "iops": 0.0, "bw_bytes": 0, "runtime": 0}
    lat: dict[str, Any] = {"min": 1, "max": 900, "mean": 500.0, "stddev": 1.0, "N": 2000}
    lat["bins"] = {"400": 1000, "900": 1000}
    read: dict[str, Any] = {"total_ios": 2000, "iops": 1000.0, "bw_bytes": 4096000}
    read |= {"runtime": 2000, "lat_ns": lat}
    whole: dict[str, Any] = {
        "jobname": name,
        "groupid": 0,
        "error": 0,
        "job options": {"rw": "randread"},
    }
    whole |= {"read": read, "write": idle, "trim": idle}
    return whole | {"job_runtime": 2000, "usr_cpu": 25.0, "sys_cpu": 25.0} | changed


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_jobs(*jobs: dict[str, Any], name: str = "fio.json", key: str = "jobs") -> Path:
        path = tmp_path / name
        path.write_text(json.dumps({"fio version": "fio-3.33", key: jobs}))
        return path

    return write_jobs


def test_the_jobs_of_a_section_are_one_run(write: Write) -> None:
    options = {"rw": "randread", "numjobs": "4"}
    runs = frame.load(write(*[job() | {"job options": options}] * 4))
    assert runs["iops"].tolist() == [4000.0]
    assert frame.points(runs)["n"].tolist() == [1]


def test_the_files_of_a_folder_are_repeats(write: Write, tmp_path: Path) -> None:
    for number in (1, 2, 10):
        write(job(), job("b"), name=f"run-{number}.json")
    (tmp_path / "notes.txt").write_text("not fio's")
    runs = frame.load(tmp_path)
    assert runs["source"].unique().tolist() == [str(tmp_path)]
    assert [Path(path).name for path in runs["fio_json"]][::2] == [
        "run-1.json",
        "run-2.json",
        "run-10.json",
    ]
    assert runs["repeat"].tolist() == [1, 1, 2, 2, 3, 3]
    assert runs["order"].tolist() == [0, 1, 2, 3, 4, 5]


def test_a_file_that_is_not_fio_s_is_named_in_its_folder(write: Write, tmp_path: Path) -> None:
    write(job())
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(PyfioVirtioError, match=r"other\.json is not fio's JSON"):
        frame.load(tmp_path)


def test_a_folder_without_any_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="holds no sweep"):
        frame.load(tmp_path)


@pytest.mark.parametrize("option", ["bsrange", "bssplit"])
def test_a_job_has_no_size_that_fio_did_not_use(write: Write, option: str) -> None:
    other = job("b") | {"job options": {"rw": "randread"}}
    runs = frame.load(write(job() | {"job options": {"rw": "randread", option: "4k-8k"}}, other))
    assert runs["bs"].isna().tolist() == [True, False]


def test_a_file_of_single_jobs_is_like_one_with_group_reporting(write: Write) -> None:
    options = {"rw": "randread", "numjobs": "2"}
    single = job() | {"job options": options}
    group = job(job_runtime=4000) | {"job options": options}
    group["read"] = {**group["read"], "total_ios": 4000, "iops": 2000.0, "bw_bytes": 8192000}
    group["read"]["lat_ns"] = {**group["read"]["lat_ns"], "N": 4000, "bins": {"400": 4000}}
    runs = frame.load(write(single, single), write(group, name="group.json"))
    columns = ["iops", "ios", "bw_bytes", "fio_cpu_us", "elapsed_s"]
    assert runs[columns].iloc[0].tolist() == runs[columns].iloc[1].tolist()


@pytest.mark.parametrize(
    ("jobs", "key", "axes"),
    [
        ((job("a"), job("b")), "jobs", ["jobname"]),
        ((job("a", hostname="x"), job("a", hostname="y")), "client_stats", ["hostname"]),
        ((job("a", groupid=0), job("b", groupid=1)), "jobs", ["jobname"]),
        (tuple(job(n) | {"job options": {"name": n}} for n in "ab"), "jobs", ["jobname"]),
    ],
)
def test_loads_with_equal_options_are_points_of_their_own(
    write: Write, jobs: tuple[dict[str, Any], ...], key: str, axes: list[str]
) -> None:
    runs = frame.load(write(*jobs, key=key))
    assert frame.axes(runs) == axes
    assert frame.points(runs)["n"].tolist() == [1, 1]


@pytest.mark.parametrize(
    "options",
    [
        {"rate_iops": "10k", "iodepth": "0x10", "numjobs": "0x1"},
        {"rate_iops": "700,300", "rw": "randread", "iodepth": "4"},
        {"numjobs": "$ncpus"},
    ],
)
def test_options_in_any_spelling_are_reported(write: Write, options: dict[str, str]) -> None:
    runs = frame.load(write(job() | {"job options": options}))
    assert "1k" in report.markdown(runs)


def test_a_group_of_unlike_sections_has_no_options_of_its_own(tmp_path: Path) -> None:
    """fio tells the options of the last section, and the name of the first."""
    fio = shutil.which("fio")
    if not fio:
        pytest.skip("fio is not installed")
    jobs, path = tmp_path / "jobs", tmp_path / "fio.json"
    shared = "[global]\nioengine=null\nsize=4m\ngroup_reporting\n"
    jobs.write_text(f"{shared}[a]\nrw=read\n[b]\nrw=write\nbs=8k\n")
    command = [fio, "--output-format=json+", f"--output={path}", str(jobs)]
    subprocess.run(command, check=True, timeout=60)
    [error] = frame.load(path)["error"]
    assert error.startswith("it has reads, although rw=write")


def test_jobs_of_other_names_are_compared(write: Write) -> None:
    before, after = (
        frame.load(write(job(n) | {"job options": {"name": n, "bs": bs}}, name=n))
        for n, bs in (("before", "4k"), ("after", "4096"))
    )
    [change] = compare(before, after)
    assert change.base == change.other


def test_a_section_that_stonewall_repeats_is_repeated(write: Write) -> None:
    runs = frame.load(write(job(groupid=0), job(groupid=1)))
    assert runs["repeat"].tolist() == [1, 2]
    assert frame.points(runs)["n"].tolist() == [2]


def test_options_that_old_fio_does_not_tell_are_not_made_up(write: Write) -> None:
    jobs = [job("a"), job("b")]
    for each in jobs:
        del each["job options"]
    runs = frame.load(write(*jobs))
    assert runs["iodepth"].isna().all()
    assert frame.axes(runs) == ["jobname"]


def test_a_job_that_failed_is_no_result(write: Write) -> None:
    runs = frame.load(write(job("a", error=5), job("b")))
    assert runs["error"].fillna("").tolist() == ["fio's error 5", ""]
    assert frame.measured(runs)["jobname"].tolist() == ["b"]


def test_cpu_time_that_fio_does_not_tell_is_missing(write: Write) -> None:
    one = job()
    del one["job_runtime"]
    assert frame.load(write(one))["fio_cpu_us"].isna().all()


def test_fio_alone_is_not_taken_for_both_sides(write: Write) -> None:
    runs = frame.load(write(job()))
    assert runs["fio_iops_per_core"].notna().all()
    assert runs[["iops_per_core", "cpu_us"]].isna().all(axis=None)


@pytest.mark.parametrize("thread", [(), ("--thread",)])
@pytest.mark.parametrize("grouped", [(), ("--group_reporting",)])
def test_the_jobs_took_no_more_cpu_time_than_the_process(
    tmp_path: Path, grouped: tuple[str, ...], thread: tuple[str, ...]
) -> None:
    fio = shutil.which("fio")
    if not fio:
        pytest.skip("fio is not installed")
    load = ["--name=a", "--ioengine=null", "--size=1g", "--rw=randread", "--io_size=400m"]
    form = ["--output-format=json+", f"--output={tmp_path / 'fio.json'}"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([fio, *load, *form, "--numjobs=4", *grouped, *thread], check=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    run = frame.load(tmp_path / "fio.json").iloc[0]
    assert 0 < run["fio_user_s"] <= used
    assert run["fio_cpu_us"] <= 1e6 * used / run["ios"]


def test_runs_of_lat_and_of_clat_are_different_points(write: Write) -> None:
    other = job()
    other["read"] = {**other["read"], "clat_ns": other["read"]["lat_ns"]}
    other["read"]["lat_ns"] = {**other["read"]["clat_ns"]}
    del other["read"]["lat_ns"]["bins"]
    runs = frame.load(write(job(name="a")), write(other, name="other.json"))
    assert runs["percentiles_of"].tolist() == ["lat", "clat"]
    assert frame.axes(runs) == ["percentiles_of"]


# ---- pictures of any shape -----------------------------------------------------------------


def check_pictures(path: Path, chance: random.Random) -> None:
    """Each picture and the report are drawn, or refused in a sentence; nothing is warned about."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            runs = frame.load(path)
            report.markdown(runs)
            picture_names.draw(runs, chance.choice(list(picture_names.PICTURES)))
            sentence = ""
        except PyfioVirtioError as refusal:
            sentence = str(refusal)
    assert "\n" not in sentence


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 1 << 40))
def test_every_picture_of_every_shape_is_drawn_or_refused(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    made = shapes.make(chance)
    path = tmp_path / "fio.json"
    path.write_text(json.dumps(made.document))
    check_pictures(path, chance)


@pytest.mark.parametrize("name", picture_names.PICTURES)
def test_no_picture_is_drawn_of_runs_that_failed(write: Write, name: str) -> None:
    runs = frame.load(write(job(error=5)))
    with pytest.raises(ResultsError, match="no run succeeded: fio's error 5"):
        picture_names.draw(runs, name)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("p99", "there is no p99 latency to draw: fio measured no latency"),
        ("latency", "there is no p99 latency to draw: fio measured no latency"),
        ("percentiles", "there is no latency by percentile to draw"),
        ("cost", "there is no mean latency to draw"),
        ("counters", "there are no counters to draw"),
        ("time", "these runs have no samples"),
        ("heatmap", "this run has no latency by time"),
    ],
)
def test_a_picture_without_data_is_refused_with_the_reason(
    write: Write, name: str, sentence: str
) -> None:
    one = job()
    del one["read"]["lat_ns"]
    with pytest.raises(ResultsError, match=sentence):
        picture_names.draw(frame.load(write(one)), name)


def test_a_panel_without_data_says_why(write: Write) -> None:
    few = job("few")
    del few["read"]["lat_ns"]
    runs = frame.load(write(few, job("many")))
    drawing = picture_names.draw(runs, "p99", "jobname")
    titles = [axes.get_title("left") for axes in drawing.axes]
    assert titles[0].startswith("Jobname few: no data")
    assert len(titles) == 2

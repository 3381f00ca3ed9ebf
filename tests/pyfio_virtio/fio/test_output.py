# SPDX-License-Identifier: GPL-2.0-or-later
"""fio/output.py: real fio's documents, and what else a file may hold."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from pyfio_virtio.fio.output import (
    FioJsonError,
    merge_bins,
    parse_fio_json,
    percentile_of_bins,
    read_fio_json,
    summarise,
)

DOCUMENT = '{\n  "fio version": "fio-3.33",\n  "jobs": [{"jobname": "%s"}]\n}\n'


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A json+ file of fio's null engine, reads and writes."""
    fio = shutil.which("fio")
    if not fio:
        pytest.skip("fio is not installed")
    path = tmp_path_factory.mktemp("fio") / "fio.json"
    job = ["--name=mixed", "--ioengine=null", "--size=64m", "--rw=randrw", "--iodepth=4"]
    run = [fio, "--output-format=json+", f"--output={path}", "--thread", *job]
    subprocess.run(run, check=True, timeout=60)
    return path


def test_a_real_file_says_what_ran(real: Path) -> None:
    run = read_fio_json(real)
    job = run.jobs[0]
    assert run.version.startswith("fio-")
    assert (job.name, job.error, job.options["ioengine"]) == ("mixed", 0, "null")
    assert sum(each.ios for each in job.directions.values()) == 64 * 256


def test_our_percentiles_of_bins_are_fio_s_own(real: Path) -> None:
    read = read_fio_json(real).jobs[0].directions["read"]
    ours = summarise([read])
    assert ours.p50_ns == read.percentiles[50.0]
    assert ours.p90_ns == read.percentiles[90.0]
    assert ours.p99_ns == read.percentiles[99.0]


@pytest.mark.parametrize(("percent", "expected"), [(50.0, 500), (99.9, 999), (99.99, 1000)])
def test_a_percentile_is_the_value_that_so_many_did_not_exceed(
    percent: float, expected: float
) -> None:
    values = range(1, 1001)
    assert percentile_of_bins(values, [1000] * 1000, percent) == expected


def test_no_bins_have_no_percentile() -> None:
    assert percentile_of_bins([], [], 50.0) is None


def test_bins_hold_every_io(real: Path) -> None:
    directions = read_fio_json(real).jobs[0].directions
    assert sum(merge_bins(directions.values()).values()) == 64 * 256


def test_directions_together_are_weighted_by_their_ios(real: Path) -> None:
    directions = read_fio_json(real).jobs[0].directions
    together = summarise(directions.values())
    reads, writes = directions["read"], directions["write"]
    assert together.iops == pytest.approx(reads.iops + writes.iops)
    total_ns = reads.mean_ns * reads.samples + writes.mean_ns * writes.samples
    assert together.lat_mean_ns == pytest.approx(total_ns / (reads.samples + writes.samples))


def test_plain_json_has_percentiles_of_one_direction_only(real: Path) -> None:
    document = json.loads(real.read_text())
    for direction in ("read", "write"):
        del document["jobs"][0][direction]["clat_ns"]["bins"]
    job = parse_fio_json(json.dumps(document)).jobs[0]
    assert summarise([job.directions["read"]]).p99_ns is not None
    assert summarise(job.directions.values()).p99_ns is None


@pytest.mark.parametrize("before", ["", "fio: a note\n", 'note with {braces} in it\nand "more"\n'])
def test_notes_may_come_first(before: str) -> None:
    assert parse_fio_json(before + DOCUMENT % "a").jobs[0].name == "a"


def test_of_several_documents_the_last_whole_one_counts() -> None:
    torn = (DOCUMENT % "c")[:-20]
    text = DOCUMENT % "a" + "a note\n" + DOCUMENT % "b" + torn
    assert parse_fio_json(text).jobs[0].name == "b"


def test_clients_are_told_apart_and_their_sum_left_out() -> None:
    stats = [
        {"jobname": "a", "hostname": "one"},
        {"jobname": "a", "hostname": "two"},
        {"jobname": "All clients", "hostname": "two"},
    ]
    run = parse_fio_json(json.dumps({"fio version": "fio-3.33", "client_stats": stats}))
    assert [job.hostname for job in run.jobs] == ["one", "two"]


@pytest.mark.parametrize(
    "text", ["", "nothing", "[1]", "{}", '{"jobs": 3}', '{"jobs": [1]}', (DOCUMENT % "a")[:-9]]
)
def test_what_is_not_fio_s_is_refused_in_words(text: str) -> None:
    with pytest.raises(FioJsonError, match=r"bad.json is not fio's JSON"):
        parse_fio_json(text, "bad.json")


def test_odd_values_count_as_nothing() -> None:
    text = '{"jobs": [{"error": "x", "read": {"iops": null, "clat_ns": {"bins": {"a": 1}}}}]}'
    assert parse_fio_json(text).jobs[0].directions["read"].iops == 0


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FioJsonError, match=r"none\.json: No such file"):
        read_fio_json(tmp_path / "none.json")


def test_no_percentile_beyond_what_the_sample_carries() -> None:
    bins = {str(value): 1 for value in range(1, 1000)}
    read = {"total_ios": 999, "clat_ns": {"N": 999, "bins": bins}}
    summary = summarise(
        [parse_fio_json(json.dumps({"jobs": [{"read": read}]})).jobs[0].directions["read"]]
    )
    assert summary.p90_ns == 900
    assert summary.p99_ns is None

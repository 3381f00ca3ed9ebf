# SPDX-License-Identifier: GPL-2.0-or-later
"""fio/output.py: real fio's documents, and what else a file may hold."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pyfio_virtio.fio.directions import merge_bins, no_percentiles, summarise
from pyfio_virtio.fio.output import FioJsonError, FioRun, parse_fio_json, read_fio_json

IDLE = '{"total_ios": 0, "iops": 0, "bw": 0, "runtime": 0}'
DOCUMENT = (
    '{\n  "fio version": "fio-3.33",\n  "jobs": [{"jobname": "%s", "groupid": 0, "error": 0, '
    f'"read": {IDLE}, "write": {IDLE}, "trim": {IDLE}}}]\n}}\n'
)


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
    assert (job.name, job.error) == ("mixed", 0)
    assert job.options is not None
    assert job.options["ioengine"] == "null"
    assert sum(each.ios for each in job.directions.values()) == 64 * 256


def test_our_percentiles_of_bins_are_fio_s_own(real: Path) -> None:
    read = read_fio_json(real).jobs[0].directions["read"]
    ours = summarise([read])
    assert ours.p50_ns == read.percentiles[50.0]
    assert ours.p90_ns == read.percentiles[90.0]
    assert ours.p99_ns == read.percentiles[99.0]


def test_percentiles_do_not_depend_on_the_order_of_the_bins(real: Path) -> None:
    """A program that sorts keys, such as `jq -S`, sorts the bins as texts."""
    document = json.loads(real.read_text())
    shuffled = parse_fio_json(json.dumps(document, sort_keys=True), "sorted")
    assert summarise([shuffled.jobs[0].directions["read"]]) == summarise(
        [read_fio_json(real).jobs[0].directions["read"]]
    )


def test_bins_hold_every_io(real: Path) -> None:
    directions = read_fio_json(real).jobs[0].directions
    assert sum(merge_bins(directions.values()).values()) == 64 * 256


def test_directions_together_are_weighted_by_their_ios(real: Path) -> None:
    directions = read_fio_json(real).jobs[0].directions
    together = summarise(directions.values())
    reads, writes = directions["read"], directions["write"]
    assert together.iops == pytest.approx(reads.iops + writes.iops)
    assert reads.whole
    assert writes.whole
    total_ns = sum(each.mean_ns * each.samples for each in (reads.whole, writes.whole))
    assert together.lat_mean_ns == pytest.approx(total_ns / together.ios)
    assert together.mean_of == "lat"


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


def test_a_document_that_is_cut_off_is_refused() -> None:
    torn = (DOCUMENT % "a")[:-20]
    with pytest.raises(FioJsonError, match="cut off"):
        parse_fio_json(DOCUMENT % "a" + "a note\n" + torn)


@pytest.mark.parametrize("text", ["", "nothing", "[1]", "{}", '{"jobs": 3}', '{"jobs": []}'])
def test_what_is_not_fio_s_is_refused_in_words(text: str) -> None:
    with pytest.raises(FioJsonError, match=r"bad.json is not fio's JSON"):
        parse_fio_json(text, "bad.json")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FioJsonError, match=r"none\.json: No such file"):
        read_fio_json(tmp_path / "none.json")


# ---- shapes as they are found ------------------------------------------------------------------


def run_fio(folder: Path, *options: str, form: str = "json+") -> FioRun:
    """A real fio's output for its null engine."""
    fio = shutil.which("fio")
    if not fio:
        pytest.skip("fio is not installed")
    path = folder / "fio.json"
    job = ["--name=a", "--ioengine=null", "--size=16m", "--rw=randrw", *options]
    run = [fio, f"--output-format={form}", f"--output={path}", "--thread", *job]
    subprocess.run(run, check=True, timeout=60, capture_output=True)
    return read_fio_json(path)


@pytest.mark.parametrize("how", ["none", "1", "mixed", "both"])
def test_unified_reporting_counts_each_io_once(tmp_path: Path, how: str) -> None:
    [load] = run_fio(tmp_path, f"--unified_rw_reporting={how}").loads()
    total = summarise(load.directions.values())
    assert total.ios == 16 * 256
    assert total.p99_ns is not None


@pytest.mark.parametrize("grouped", [(), ("--group_reporting",)])
def test_the_jobs_of_numjobs_are_one_load(tmp_path: Path, grouped: tuple[str, ...]) -> None:
    [load] = run_fio(tmp_path, "--numjobs=4", *grouped).loads()
    total = summarise(load.directions.values())
    assert total.ios == 4 * 16 * 256
    assert total.p99_ns is not None


def test_stonewalled_sections_are_loads_of_their_own(tmp_path: Path) -> None:
    run = run_fio(tmp_path, "--name=b", "--ioengine=null", "--size=4m", "--stonewall", "--rw=write")
    assert [(load.name, load.group) for load in run.loads()] == [("a", 0), ("b", 1)]


@pytest.mark.parametrize(
    ("options", "mean_of", "percentiles_of"),
    [
        ((), "lat", "clat"),
        (("--lat_percentiles=1",), "lat", "lat"),
        (("--lat_percentiles=1", "--clat_percentiles=0"), "lat", "lat"),
        (("--disable_lat=1",), "clat", "clat"),
        (("--disable_clat=1",), "lat", None),
        (("--disable_clat=1", "--lat_percentiles=1"), "lat", "lat"),
        (("--gtod_reduce=1",), None, None),
    ],
)
def test_each_latency_is_called_what_it_is(
    tmp_path: Path, options: tuple[str, ...], mean_of: str | None, percentiles_of: str | None
) -> None:
    [load] = run_fio(tmp_path, *options).loads()
    total = summarise(load.directions.values())
    assert (total.mean_of, total.percentiles_of) == (mean_of, percentiles_of)
    assert (total.p99_ns is None) == (percentiles_of is None)


@pytest.mark.parametrize(
    ("options", "form", "reason"),
    [
        ((), "json", "need fio's latency bins; run fio with --output-format=json+"),
        (("--disable_clat=1",), "json+", "lat_percentiles=1"),
        (("--gtod_reduce=1",), "json+", "without disable_lat=1"),
        (("--io_size=16k",), "json+", "too few I/Os; run longer"),
    ],
)
def test_a_lack_of_percentiles_is_explained_with_the_option_that_helps(
    tmp_path: Path, options: tuple[str, ...], form: str, reason: str
) -> None:
    [load] = run_fio(tmp_path, *options, form=form).loads()
    assert reason in no_percentiles(load.directions.values())


def document(**changed: object) -> dict[str, Any]:
    """A document of fio 3.33 with one job that reads."""
    idle = {"total_ios": 0, "iops": 0.0, "bw_bytes": 0, "runtime": 0}
    latency = {"min": 1, "max": 900, "mean": 500.0, "stddev": 1.0}
    read: dict[str, Any] = {"total_ios": 2000, "iops": 1000.0, "bw_bytes": 4096000}
    read["runtime"] = 2000
    read |= {"clat_ns": {**latency, "percentile": {"50.000000": 450, "99.000000": 800}}}
    job = {"jobname": "a", "groupid": 0, "error": 0, "read": read, "write": idle, "trim": idle}
    return {"fio version": "fio-3.33", "jobs": [{**job, **changed}]}


def test_fio_3_1_has_percentiles_without_a_number_of_samples() -> None:
    [job] = parse_fio_json(json.dumps(document())).jobs
    total = summarise(job.directions.values())
    assert (total.p50_ns, total.p99_ns, total.percentiles_of) == (450, 800, "clat")


def test_fio_2_counts_in_microseconds() -> None:
    old = document()
    read = old["jobs"][0]["read"]
    read["clat"] = read.pop("clat_ns")
    [job] = parse_fio_json(json.dumps(old)).jobs
    total = summarise(job.directions.values())
    assert (total.p99_ns, total.lat_mean_ns) == (800_000, 500_000)


def test_fio_2_1_tells_no_number_of_ios() -> None:
    old = document()
    read = old["jobs"][0]["read"]
    del read["total_ios"], read["bw_bytes"]
    read["bw"] = 4000
    [job] = parse_fio_json(json.dumps(old)).jobs
    assert (job.directions["read"].ios, job.directions["read"].bw_bytes) == (2000, 4096000)


def test_bins_by_their_number_become_latencies() -> None:
    old = document()
    bins = {"FIO_IO_U_PLAT_BITS": 6, "FIO_IO_U_PLAT_VAL": 64, "FIO_IO_U_PLAT_NR": 1856}
    old["jobs"][0]["read"]["clat_ns"]["bins"] = {**bins, "10": 1000, "129": 999, "200": 1, "3": 0}
    [job] = parse_fio_json(json.dumps(old)).jobs
    assert job.directions["read"].bins == {10: 1000, 131: 999, 290: 1}


@pytest.mark.parametrize("mark", ["\ufeff", "fio: warning {x}\n\n", ""])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_the_text_around_and_the_encoding_do_no_harm(
    tmp_path: Path, mark: str, encoding: str
) -> None:
    path = tmp_path / "fio.json"
    path.write_text(mark + json.dumps(document(), indent=1) + "\nfio: done\n", encoding=encoding)
    assert read_fio_json(path).jobs[0].name == "a"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"error": "x"}, 'job 1 (a): error is "x", which is not a number'),
        ({"read": None}, "read is missing"),
        ({"trim": None}, "trim is missing"),
        ({"read": 3}, "read is 3 and not an object"),
        ({"groupid": -1}, "groupid is -1, which is negative"),
        ({"read": {"total_ios": 5, "iops": True, "bw": 1}}, "iops is true"),
        ({"read": {"total_ios": 5, "iops": 10**400, "bw": 1}}, "is not a number that fio writes"),
        ({"read": {"total_ios": 5, "iops": float("nan"), "bw": 1}}, "iops is nan"),
        (
            {"read": {"iops": 0, "runtime": 0, "bw": 0, "io_bytes": 9}},
            "the number of I/Os is missing",
        ),
        ({"jobname": 7}, "jobname is not a text"),
    ],
)
def test_what_is_odd_is_refused_with_its_place(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(FioJsonError, match=re.escape(sentence)):
        parse_fio_json(json.dumps(document(**change)))


def test_a_float_that_c_writes_does_no_harm_elsewhere() -> None:
    text = json.dumps(document(slat={"mean": 1})).replace('"mean": 1}', '"mean": -nan}')
    assert parse_fio_json(text).jobs[0].name == "a"


def test_a_number_that_is_given_twice_is_refused() -> None:
    text = json.dumps(document()).replace('"iops": 1000.0', '"iops": 1000.0, "iops": 5')
    with pytest.raises(FioJsonError, match="iops is given twice"):
        parse_fio_json(text)


def test_a_section_lacks_none_of_its_jobs() -> None:
    some = document()
    some["jobs"] = [{**some["jobs"][0], "job options": {"numjobs": "4"}}] * 3
    with pytest.raises(FioJsonError, match="a has 3 jobs, and numjobs is 4"):
        parse_fio_json(json.dumps(some))


def test_of_the_states_of_one_run_the_last_counts() -> None:
    early, late = document(elapsed=2), document(elapsed=4)
    early["timestamp"], late["timestamp"] = 100, 102
    late["jobs"][0]["read"]["iops"] = 7.0
    text = f"{json.dumps(early)}\nfio: a note\n{json.dumps(late)}\n"
    assert parse_fio_json(text).jobs[0].directions["read"].iops == 7.0


def test_two_runs_in_one_file_are_refused() -> None:
    first, second = document(elapsed=4), document(elapsed=4)
    first["timestamp"], second["timestamp"] = 100, 900
    with pytest.raises(FioJsonError, match="has the results of several runs"):
        parse_fio_json(f"{json.dumps(first)}\n{json.dumps(second)}\n")


def test_a_run_that_took_no_time_has_no_rate() -> None:
    some = document()
    some["jobs"][0]["read"] |= {"iops": 0.0, "runtime": 0, "bw_bytes": 0}
    [job] = parse_fio_json(json.dumps(some)).jobs
    assert job.problem == "the I/O took less than 1 ms, so fio tells no rate"


def test_clients_are_told_apart_and_their_sum_left_out() -> None:
    [one] = document()["jobs"]
    jobs = [{**one, "hostname": host} for host in ("one", "two")]
    jobs.append({**jobs[1], "jobname": "All clients"})
    run = parse_fio_json(f"<one> a: (g=0)\n{json.dumps({'client_stats': jobs}, indent=1)}")
    assert [job.hostname for job in run.loads()] == ["one", "two"]


def test_the_sum_of_clients_counts_if_it_is_all_there_is() -> None:
    one = {**document()["jobs"][0], "jobname": "All clients", "hostname": "one"}
    run = parse_fio_json(json.dumps({"client_stats": [one]}))
    assert [job.name for job in run.jobs] == ["All clients"]


def test_each_client_has_its_own_global_options() -> None:
    [one] = document()["jobs"]
    jobs = [{**one, "hostname": host, "job options": {}} for host in ("one", "two")]
    options = [{"hostname": "two", "port": "1", "bs": "8k"}, {"hostname": "one", "bs": "4k"}]
    run = parse_fio_json(json.dumps({"client_stats": jobs, "global options": options}))
    assert [job.options for job in run.jobs] == [{"bs": "4k"}, {"bs": "8k"}]

# SPDX-License-Identifier: GPL-2.0-or-later
"""sweep/job.py: the job of a choice, where it runs, and what has to be served for it."""

from dataclasses import replace
from pathlib import Path

import pytest

from pyfio_virtio.errors import UsageError
from pyfio_virtio.fio import job
from pyfio_virtio.sweep.candidates import Candidate
from pyfio_virtio.sweep.job import Placement, at, columns, job_text, placement, wanted
from pyfio_virtio.sweep.plan import Choice
from pyfio_virtio.sweep.settings import Settings

CHOICE = Choice("virtio", (("wait", "busy"), ("rw", "randread"), ("iodepth", "8")))
NULL = Settings(storage="null")
ANYWHERE = Placement()


def section(choice: Choice, settings: Settings = NULL, rate: int | None = None) -> job.Section:
    text = job_text(choice, settings, Placement("0", "1"), rate)
    [only] = job.parse(text).sections()
    return only


def test_a_job_says_all_that_makes_its_point() -> None:
    options = section(CHOICE, replace(NULL, runtime=0.25, ramp_time=2.0)).options
    assert options["ioengine"] == "fio_virtio"
    assert (options["wait"], options["rw"], options["iodepth"]) == ("busy", "randread", "8")
    assert (options["runtime"], options["ramp_time"], options["cpus_allowed"]) == (
        "250ms",
        "2",
        "0",
    )
    assert {"thread", "time_based", "stats_file"} <= set(options)


@pytest.mark.parametrize("clock", ["cpu", None])
def test_runs_that_are_compared_have_one_clock(clock: str | None) -> None:
    text = job_text(CHOICE, NULL, ANYWHERE, None, clock)
    assert ("clocksource=cpu\n" in text) == (clock == "cpu")


def test_no_path_of_the_moment_is_in_a_job() -> None:
    assert "filename=${DISK}\n" in job_text(CHOICE, NULL, ANYWHERE, None)


@pytest.mark.parametrize(
    ("engine", "line"),
    [("nbd", "uri=${DISK}"), ("io_uring", "filename=${DISK}"), ("null", "size=1g")],
)
def test_other_engines_get_their_disk_in_their_own_way(engine: str, line: str) -> None:
    text = job_text(replace(CHOICE, engine=engine), NULL, ANYWHERE, None)
    assert f"ioengine={engine}\n{line}\n" in text
    assert "stats_file" not in text


def test_a_scsi_disk_is_served_where_one_is_asked_for() -> None:
    choice = replace(CHOICE, options=(*CHOICE.options, ("device", "scsi")))
    spec = wanted(choice, NULL, ANYWHERE).spec
    assert spec is not None
    assert "device=scsi" in spec.options


def test_a_rate_is_that_of_each_job() -> None:
    choice = replace(CHOICE, options=(*CHOICE.options, ("numjobs", "4")))
    assert section(choice, rate=1000).options["rate_iops"] == "250"
    assert columns(choice, NULL, 1000)["rate_iops"] == 250


def test_a_mixed_rate_is_parted_by_direction() -> None:
    choice = replace(CHOICE, options=(("rw", "randrw"), ("rwmixread", "70")))
    assert section(choice, rate=1000).options["rate_iops"] == "700,300"


def test_columns_are_typed_so_that_they_sort() -> None:
    values = columns(replace(CHOICE, cpus="shared", serve="poll"), NULL, None)
    assert (values["iodepth"], values["wait"]) == (8, "busy")
    assert (values["cpus"], values["serve"]) == ("shared", "poll")


# ---- CPUs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cpus", "cores", "expected"),
    [
        ("any", [[0]], Placement()),
        ("shared", [[0], [1]], Placement("1", "1")),
        ("separate", [[0], [1]], Placement("0", "1")),
        ("separate", [[0, 4], [1, 5], [2, 6], [3, 7]], Placement("0,4,1,5", "2,6,3,7")),
        ("separate", [[0, 1]], Placement("0", "1")),
        ("2-3:0,1", [[0]], Placement("2-3", "0,1")),
        ("0:", [[0]], Placement("0", None)),
        (":1", [[0]], Placement(None, "1")),
        ("1", [[0]], Placement(None, "1")),
    ],
)
def test_cpus_are_named_or_found(cpus: str, cores: list[list[int]], expected: Placement) -> None:
    assert placement(cpus, cores) == expected


@pytest.mark.parametrize("cpus", ["", ":", "0:1:2", "together", "0:x"])
def test_cpus_that_say_no_place_are_refused(cpus: str) -> None:
    with pytest.raises(UsageError, match="unknown cpus"):
        placement(cpus, [[0], [1]])


def test_one_cpu_cannot_be_parted() -> None:
    with pytest.raises(UsageError, match="there is only one"):
        placement("separate", [[0]])


# ---- what is served --------------------------------------------------------------------------


def test_a_back_end_has_a_queue_a_job_and_its_cpus() -> None:
    slow = Candidate("", "builtin", options=("latency=20us",))
    choice = replace(CHOICE, options=(("numjobs", "3"),), serve="poll", backend=slow)
    spec = wanted(choice, NULL, Placement("0", "1")).spec
    assert spec is not None
    assert (spec.queues, spec.cpus, spec.kind) == (3, "1", "builtin")
    assert spec.options == ("serve=poll", "latency=20us")


def test_all_that_makes_a_back_end_is_in_its_description() -> None:
    settings = replace(NULL, block_size="4k", disk_size="2G")
    slow = Candidate("slow", "builtin", options=("latency=20us",))
    text = wanted(replace(CHOICE, backend=slow), settings, Placement("0", "1")).describe()
    for part in ("slow: ", "null", "2 GiB", "1 queue", "4096-byte", "CPUs 1", "latency=20us"):
        assert part in text


def test_a_read_only_disk_and_the_polling_of_qsd_are_in_its_description() -> None:
    settings = replace(NULL, read_only=True, poll_max_ns=0)
    needed = wanted(replace(CHOICE, backend=Candidate("", "qsd")), settings, Placement())
    assert needed.spec is not None
    assert (needed.spec.read_only, needed.spec.poll_max_ns) == (True, 0)
    assert "read-only, poll-max-ns 0" in needed.describe()


def test_the_null_engine_needs_nothing() -> None:
    assert wanted(replace(CHOICE, engine="null"), NULL, ANYWHERE).describe() == "none"


def test_a_socket_of_somebody_s_is_taken_as_it_is() -> None:
    choice = replace(CHOICE, backend=Candidate("", socket="/run/disk.sock"))
    needed = wanted(choice, NULL, ANYWHERE)
    assert (needed.spec, needed.socket) == (None, "/run/disk.sock")


def test_an_engine_that_needs_a_file_says_so() -> None:
    with pytest.raises(UsageError, match="libaio needs a file, and storage is null"):
        wanted(replace(CHOICE, engine="libaio"), NULL, ANYWHERE)


def test_kept_memory_is_a_file_for_engines_of_fio() -> None:
    settings = replace(NULL, storage="memory:/run/disk")
    ours = wanted(CHOICE, settings, ANYWHERE).spec
    theirs = wanted(replace(CHOICE, engine="libaio"), settings, ANYWHERE)
    assert ours is not None
    assert (ours.storage, theirs.file) == ("memory:/run/disk", "/run/disk")


def test_a_scratch_file_is_one_for_all_and_has_no_path_in_a_point() -> None:
    settings = replace(NULL, storage="file")
    here = Path("/run/scratch.img")
    ours = wanted(CHOICE, settings, ANYWHERE)
    theirs = wanted(replace(CHOICE, engine="io_uring"), settings, ANYWHERE)
    placed = at(ours, here).spec
    assert placed is not None
    assert placed.file == here
    assert at(theirs, here).file == str(here)
    assert "scratch file, 1 GiB" in ours.describe()
    assert theirs.describe() == "scratch file, 1 GiB"

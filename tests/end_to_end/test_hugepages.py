# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the shared memory comes from."""

import json
from pathlib import Path

import pytest

from tests.conftest import Fio, FioRun, StartBackend
from tests.end_to_end.refusal import refusal

PAGE_FOLDER = Path("/sys/kernel/mm/hugepages")
# kB of each page, as sysfs names them
KIB_OF = {"2m": 2048, "1g": 1048576}
SHORT = "ordinary pages: not enough free"


def free_pages(size: str) -> int:
    counter = PAGE_FOLDER / f"hugepages-{KIB_OF[size]}kB" / "free_hugepages"
    return int(counter.read_text()) if counter.exists() else 0


def needs_none_free(size: str) -> None:
    if free_pages(size):
        pytest.skip(f"this machine has free huge pages of {size}")


def page_bytes(fio: Fio, socket: str, hugepages: str) -> int:
    stats = fio.folder / "stats.json"
    run = fio(socket, rw="randread", number_ios=10, hugepages=hugepages, stats_file=str(stats))
    assert run.status == 0, run.stderr
    return int(json.loads(stats.read_text())["queues"][0]["page_bytes"])


def test_off_takes_ordinary_pages(disk: StartBackend, fio: Fio) -> None:
    assert page_bytes(fio, disk().socket, "off") == 4096


def test_auto_takes_what_there_is(disk: StartBackend, fio: Fio) -> None:
    expected = 2 << 20 if free_pages("2m") >= 4 else 4096
    assert page_bytes(fio, disk().socket, "auto") == expected


def test_auto_says_once_that_huge_pages_are_short(qsd: StartBackend, fio: Fio) -> None:
    needs_none_free("2m")
    run = fio(qsd(queues=2).socket, rw="randread", number_ios=10, numjobs=2)
    assert (run.status, run.stdout.count(SHORT)) == (0, 1), run.stderr


def test_off_says_nothing_of_huge_pages(qsd: StartBackend, fio: Fio) -> None:
    run = fio(qsd().socket, rw="randread", number_ios=10, hugepages="off")
    assert SHORT not in run.stdout + run.stderr


@pytest.mark.parametrize("size", ["2m", "1g"])
def test_huge_pages_that_are_short_are_refused_with_the_remedy(
    qsd: StartBackend, fio: Fio, size: str
) -> None:
    needs_none_free(size)
    said = refusal(fio(qsd().socket, rw="randread", number_ios=10, hugepages=size))
    assert f"hugepages-{KIB_OF[size]}kB/nr_hugepages" in said
    assert "0 are free" in said


@pytest.mark.parametrize("size", ["2m", "1g"])
def test_huge_pages_are_used(disk: StartBackend, fio: Fio, size: str) -> None:
    if free_pages(size) < 4:
        pytest.skip(f"this machine has {free_pages(size)} free huge pages of {size}; 4 are needed")
    assert page_bytes(fio, disk().socket, size) == KIB_OF[size] << 10


# ---- several back-ends in one run ----------------------------------------------------------------


def run_on_two(fio: Fio, sockets: list[str], pages: list[str], more: str = "") -> FioRun:
    jobs = "".join(
        f"[{size}]\nfilename={socket}\nhugepages={size}\nstats_file={fio.folder / size}.json\n"
        for socket, size in zip(sockets, pages, strict=True)
    )
    return fio.job(f"""
[global]
ioengine=fio_virtio
rw=randread
bs=4k
number_ios=10
thread=1
{more}
{jobs}
""")


every_order = pytest.mark.parametrize("order", [1, -1])
every_setup = pytest.mark.parametrize("more", ["", "create_serialize=0"])


@every_order
@every_setup
@pytest.mark.parametrize("other", ["auto", "off"])
def test_the_pages_of_one_back_end_are_not_those_of_another(
    builtin: StartBackend, fio: Fio, other: str, order: int, more: str
) -> None:
    needs_none_free("2m")
    run = run_on_two(fio, [builtin().socket, builtin().socket], ["2m", other][::order], more)
    assert "hugepages-2048kB/nr_hugepages" in refusal(run)
    reads = {job["jobname"]: job["read"]["total_ios"] for job in run.jobs}
    assert reads["2m"] == 0


@every_order
@every_setup
def test_each_back_end_gets_the_pages_that_its_jobs_want(
    builtin: StartBackend, fio: Fio, order: int, more: str
) -> None:
    if free_pages("2m") < 4:
        pytest.skip(f"this machine has {free_pages('2m')} free huge pages of 2m; 4 are needed")
    run = run_on_two(fio, [builtin().socket, builtin().socket], ["2m", "off"][::order], more)
    assert run.status == 0, run.stderr
    for size, expected in (("2m", 2 << 20), ("off", 4096)):
        stats = json.loads((fio.folder / f"{size}.json").read_text())
        assert stats["queues"][0]["page_bytes"] == expected


@every_order
@every_setup
def test_back_ends_with_different_pages_run_together(
    builtin: StartBackend, fio: Fio, order: int, more: str
) -> None:
    sockets = [builtin().socket, builtin(options=("profile=spdk",)).socket]
    run = run_on_two(fio, sockets, ["auto", "off"][::order], more)
    assert run.status == 0, run.stderr
    assert [job["read"]["total_ios"] for job in run.jobs] == [10, 10]

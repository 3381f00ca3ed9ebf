# SPDX-License-Identifier: GPL-2.0-or-later
"""explain=N: the times of single requests, which both sides take."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Fio, Option, StartBackend
from tests.end_to_end.refusal import refusal

# Members of a sample in stats_file.
POSITION, SUBMITTED, FIO_NS, PUBLISHED, SEEN, TAKEN, USED = 1, 2, 3, 4, 6, 7, 9
MOST = 16384


def sampled(fio: Fio, socket: str, **options: Option) -> list[list[int]]:
    stats = fio.folder / "stats.json"
    run = fio(socket, rw="randread", stats_file=str(stats), **options)
    assert run.status == 0, run.stderr
    samples: list[list[int]] = json.loads(stats.read_text())["explain"]["samples"]
    return samples


def of_back_end(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(("iodepth", "wait"), [(1, "event"), (32, "adaptive")])
def test_both_sides_time_the_same_requests(
    builtin: StartBackend, fio: Fio, iodepth: int, wait: str
) -> None:
    theirs = fio.folder / "requests.json"
    disk = builtin(options=(f"explain-file={theirs}", "explain=8"))
    ours = sampled(fio, disk.socket, explain=8, number_ios=4000, iodepth=iodepth, wait=wait)
    disk.stop()
    (ring,) = of_back_end(theirs)
    ours.sort(key=lambda each: each[POSITION])
    samples = sorted(ring["samples"])
    assert [position for position, *_ in samples] == [each[POSITION] for each in ours]
    assert 400 < len(ours) < 600
    for sample, (_, taken, completed) in zip(ours, samples, strict=True):
        assert sample[SUBMITTED] < taken <= completed < sample[SUBMITTED] + sample[TAKEN]


def test_times_of_a_request_are_in_their_order(disk: StartBackend, fio: Fio) -> None:
    ours = sampled(fio, disk().socket, explain=1, number_ios=1000, iodepth=16)
    assert len(ours) == 1000
    assert all(0 <= each[PUBLISHED] <= each[SEEN] <= each[TAKEN] for each in ours)


def test_fio_measures_the_same_for_each_request(builtin: StartBackend, fio: Fio) -> None:
    """fio reads its clock a little later than the engine does, and both can be interrupted."""
    log = fio.folder / "each"
    disk = builtin(options=("latency=50us",))
    ours = sampled(
        fio, disk.socket, explain=8, number_ios=2000, write_lat_log=str(log), clocksource="cpu"
    )
    lines = Path(f"{log}_lat.1.log").read_text().splitlines()
    theirs = [int(line.split(",")[1]) for line in lines]
    shares = sorted(each[FIO_NS] / theirs[each[POSITION]] for each in ours)
    assert len(ours) > 200
    assert 0.95 < shares[len(shares) // 2] <= 1
    assert all(each[FIO_NS] > 50000 for each in ours)


def test_a_watcher_sees_when_requests_are_in_the_used_ring(builtin: StartBackend, fio: Fio) -> None:
    """It may miss some, because it shares its CPU."""
    theirs = fio.folder / "requests.json"
    disk = builtin(options=(f"explain-file={theirs}", "explain=1", "latency=100us"))
    cpu = max(os.sched_getaffinity(0))
    ours = sampled(
        fio, disk.socket, explain=1, explain_watch=cpu, number_ios=300, wait="event", iodepth=4
    )
    disk.stop()
    (ring,) = of_back_end(theirs)
    taken = {position: when for position, when, _ in ring["samples"]}
    seen = [each for each in ours if each[USED]]
    assert all(len(each) == USED + 1 for each in ours)
    assert all(each[PUBLISHED] <= each[USED] <= each[SEEN] for each in seen)
    assert all(taken[each[POSITION]] < each[SUBMITTED] + each[USED] for each in seen)


def test_a_watcher_needs_a_cpu(builtin: StartBackend, fio: Fio) -> None:
    run = fio(builtin().socket, explain=1, explain_watch=9999, stats_file="stats")
    assert "cannot start a thread on CPU 9999" in refusal(run)


def test_a_long_run_keeps_samples_from_its_beginning_to_its_end(
    builtin: StartBackend, fio: Fio
) -> None:
    count = 4 * MOST
    theirs = fio.folder / "requests.json"
    disk = builtin(options=(f"explain-file={theirs}", "explain=1"))
    ours = sampled(fio, disk.socket, explain=1, bs=512, number_ios=count, iodepth=4)
    disk.stop()
    (ring,) = of_back_end(theirs)
    for positions in ([each[POSITION] for each in ours], [each[0] for each in ring["samples"]]):
        assert MOST / 4 < len(positions) <= MOST
        assert min(positions) < count / 100
        assert max(positions) > count * 0.99


def test_each_job_has_its_samples(builtin: StartBackend, fio: Fio) -> None:
    theirs = fio.folder / "requests.json"
    disk = builtin(queues=2, options=(f"explain-file={theirs}", "explain=1"))
    stats = fio.folder / "stats.json"
    both: dict[str, Option] = {"numjobs": 2, "thread": 1, "stats_file": str(stats), "explain": 1}
    assert fio(disk.socket, rw="randread", number_ios=100, **both).status == 0
    disk.stop()
    jobs = [json.loads(line) for line in stats.read_text().splitlines()]
    assert [len(job["explain"]["samples"]) for job in jobs] == [100, 100]
    # Each has its own ring, or the second job goes on with that of the first.
    assert sum(len(ring["samples"]) for ring in of_back_end(theirs)) == 200


def test_without_the_option_there_are_no_times(disk: StartBackend, fio: Fio) -> None:
    stats = fio.folder / "stats.json"
    assert fio(disk().socket, rw="randread", number_ios=10, stats_file=str(stats)).status == 0
    assert "explain" not in json.loads(stats.read_text())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"explain": 3, "stats_file": "s"}, "explain=3: it must be a power of two"),
        ({"explain": 8}, "explain=8 needs stats_file="),
    ],
)
def test_an_unusable_number_is_refused(
    disk: StartBackend, fio: Fio, options: dict[str, Option], said: str
) -> None:
    assert said in refusal(fio(disk().socket, rw="randread", number_ios=1, **options))

# SPDX-License-Identifier: GPL-2.0-or-later
"""Replays of binary logs: what fio changes once it has read one (iodepth, sizes, files) is done."""

import json
import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.conftest import Fio, FioRun, Option, StartBackend
from tests.end_to_end.blktrace import (
    DISCARD,
    FLUSH,
    READ,
    WRITE,
    Action,
    at_once,
    completed,
    queued,
    trace,
)
from tests.end_to_end.refusal import refusal

KIB, MIB = 1 << 10, 1 << 20
THREADS = pytest.mark.parametrize("thread", [None, 1])
CHUNKED = pytest.mark.parametrize("chunked", [0, 1])


def replay(fio: Fio, socket: str, actions: Iterable[Action], **options: Option) -> FioRun:
    log = fio.folder / "log.blk"
    log.write_bytes(trace(actions))
    return fio(socket, read_iolog=str(log), replay_redirect=socket, **options)


def counts(run: FioRun) -> tuple[int, int, int]:
    """Reads, writes, trims."""
    assert run.status == 0, run.stderr
    reads, writes, trims = (run.first[way]["total_ios"] for way in ("read", "write", "trim"))
    return reads, writes, trims


# ---- depth -----------------------------------------------------------------------------------


@THREADS
@pytest.mark.parametrize("create_serialize", [None, 0])
def test_a_log_brings_its_depth(
    disk: StartBackend, fio: Fio, thread: int | None, create_serialize: int | None
) -> None:
    actions = [*at_once(WRITE, 4096, 64), *at_once(READ, 4096, 64)]
    run = replay(fio, disk().socket, actions, thread=thread, create_serialize=create_serialize)
    assert counts(run) == (64, 64, 0)
    assert run.first["iodepth_level"][">=64"] > 0


@THREADS
def test_a_log_may_be_deeper_than_a_queue(
    builtin: StartBackend, fio: Fio, thread: int | None
) -> None:
    socket = builtin(options=("latency=1ms",)).socket
    run = replay(fio, socket, at_once(READ, 512, 2000), thread=thread, queue_size=16)
    assert counts(run) == (2000, 0, 0)


@THREADS
def test_iodepth_is_kept_where_it_is_given(qsd: StartBackend, fio: Fio, thread: int | None) -> None:
    run = replay(fio, qsd().socket, at_once(READ, 4096, 64), thread=thread, iodepth=4)
    assert counts(run) == (64, 0, 0)
    assert run.first["iodepth_level"]["8"] == 0


def test_a_deep_log_shares_a_device_with_a_shallow_job(
    builtin: StartBackend, fio: Fio, private: Path
) -> None:
    socket = builtin(queues=2).socket
    (private / "log.blk").write_bytes(trace(at_once(READ, 4096, 500)))
    text = f"""
[global]
ioengine=fio_virtio
thread=1
filename={socket}
num_queues=2
[shallow]
rw=randread
time_based
runtime=2
[replay]
startdelay=1
read_iolog={private}/log.blk
replay_redirect={socket}
"""
    run = fio.job(text)
    assert run.status == 0, run.stderr
    assert run.jobs[1]["read"]["total_ios"] == 500


# ---- sizes -----------------------------------------------------------------------------------


@THREADS
@CHUNKED
def test_a_log_brings_its_sizes(
    disk: StartBackend, fio: Fio, private: Path, thread: int | None, chunked: int
) -> None:
    image = private / "image"
    socket = disk(storage=f"file:{image}").socket
    actions = [*at_once(WRITE, 8 * MIB, 6), *at_once(WRITE, 512, 7, first=48 * MIB)]
    run = replay(
        fio,
        socket,
        actions,
        thread=thread,
        bs="4k",
        iodepth=16,
        read_iolog_chunked=chunked,
        buffer_pattern="0x77",
    )
    assert counts(run) == (0, 13, 0)
    written = 48 * MIB + 7 * 512
    assert image.read_bytes()[: written + 512] == b"\x77" * written + bytes(512)


@THREADS
def test_a_log_may_move_more_than_the_disk_holds(
    disk: StartBackend, fio: Fio, thread: int | None
) -> None:
    actions = [action for _ in range(3) for action in at_once(READ, MIB, 64)]
    assert counts(replay(fio, disk().socket, actions, thread=thread)) == (192, 0, 0)


@THREADS
def test_size_and_bs_mean_nothing_to_a_replay(
    qsd: StartBackend, fio: Fio, thread: int | None
) -> None:
    socket = qsd(block_size=4096, size_bytes=64 * MIB).socket
    run = replay(fio, socket, at_once(READ, 4096, 8), thread=thread, bs="512", size="1g")
    assert counts(run) == (8, 0, 0)


@THREADS
def test_a_request_beyond_the_disk_fails(disk: StartBackend, fio: Fio, thread: int | None) -> None:
    run = replay(fio, disk().socket, at_once(READ, 4096, 1, first=64 * MIB), thread=thread)
    assert run.status == 1
    assert "beyond the device's" in run.stderr


@THREADS
@CHUNKED
@pytest.mark.parametrize("profile", ["minimal", "spdk"])
def test_memory_is_planned_for_the_largest_request(
    builtin: StartBackend, fio: Fio, thread: int | None, chunked: int, profile: str
) -> None:
    # fio learns of the large requests only after it has done the small ones.
    socket = builtin(options=(f"profile={profile}",)).socket
    actions = [*at_once(WRITE, 4096, 40), *at_once(WRITE, 1 * MIB, 40)]
    run = replay(fio, socket, actions, thread=thread, read_iolog_chunked=chunked, iodepth=8)
    assert counts(run) == (0, 80, 0)


def test_memory_is_planned_for_the_depth_of_the_log(builtin: StartBackend, fio: Fio) -> None:
    socket = builtin(queues=2, options=("profile=spdk",)).socket
    actions = [*at_once(WRITE, 256 * KIB, 64), *at_once(READ, 4096, 64)]
    run = replay(fio, socket, actions, numjobs=2)
    assert run.status == 0, run.stderr


# ---- kinds of requests -----------------------------------------------------------------------


@THREADS
def test_what_is_trimmed_at_the_end_of_a_replay_is_carried_out(
    builtin: StartBackend, fio: Fio, private: Path, thread: int | None
) -> None:
    # fio ends a replay without waiting for what it submitted last, and gives these no buffers.
    socket, stats = builtin(options=("latency=20ms",)).socket, private / "stats.json"
    actions = at_once(DISCARD, MIB, 16)
    run = replay(fio, socket, actions, thread=thread, stats_file=str(stats))
    assert counts(run) == (0, 0, 16)
    assert json.loads(stats.read_text())["ios"] == 16


@THREADS
def test_trims_in_chunks_are_refused(qsd: StartBackend, fio: Fio, thread: int | None) -> None:
    # fio would say that the job does not trim, and abort.
    run = replay(fio, qsd().socket, at_once(DISCARD, MIB, 4), thread=thread, read_iolog_chunked=1)
    assert "read_iolog_chunked=" in refusal(run)


@THREADS
def test_flushes_alone_need_a_depth(qsd: StartBackend, fio: Fio, thread: int | None) -> None:
    actions = [queued(FLUSH), completed(FLUSH)] * 3
    assert "iodepth=1" in refusal(replay(fio, qsd().socket, actions, thread=thread))


@THREADS
def test_flushes_alone_are_carried_out(
    qsd: StartBackend, fio: Fio, private: Path, thread: int | None
) -> None:
    stats = private / "stats.json"
    actions = [queued(FLUSH), completed(FLUSH)] * 3
    run = replay(fio, qsd().socket, actions, thread=thread, iodepth=1, stats_file=str(stats))
    assert run.status == 0, run.stderr
    assert json.loads(stats.read_text())["ios"] == 3


# ---- files -----------------------------------------------------------------------------------


@THREADS
def test_a_log_of_a_device_that_is_not_here_is_refused(
    qsd: StartBackend, fio: Fio, private: Path, thread: int | None
) -> None:
    log = private / "log.blk"
    log.write_bytes(trace(at_once(READ, 4096, 8)))
    run = fio(qsd().socket, thread=thread, read_iolog=str(log))
    assert run.status == 1
    assert "did not find replay device" in run.stderr


# ---- any log ---------------------------------------------------------------------------------


def any_log(numbers: random.Random, ways: list[int]) -> tuple[list[Action], dict[int, int]]:
    """Actions on blocks of 4 KiB, none twice; how many bytes are written at which offset."""
    actions: list[Action] = []
    writes: dict[int, int] = {}
    offset = 0
    for _ in range(numbers.randrange(1, 20)):
        way = numbers.choice(ways)
        for _ in range(numbers.randrange(1, 60)):
            size = 0 if way == FLUSH else 4096 * numbers.choice([1, 1, 2, 5, 16, 40])
            actions.append(queued(way, offset, size))
            if way == WRITE:
                writes[offset] = size
            offset += size
        actions += [completed(way)] * numbers.randrange(3)
    return [queued(READ, 0, 4096), *actions], writes


@pytest.mark.parametrize("seed", range(12))
def test_any_log_is_replayed(builtin: StartBackend, fio: Fio, private: Path, seed: int) -> None:
    numbers = random.Random(seed)
    chunked = numbers.choice([0, 1])
    actions, writes = any_log(numbers, [READ, WRITE, WRITE, FLUSH] + [DISCARD] * (not chunked))
    image = private / "image"
    run = replay(
        fio,
        builtin(storage=f"file:{image}", size_bytes=512 * MIB).socket,
        actions,
        thread=numbers.choice([None, 1]),
        create_serialize=numbers.choice([0, 1]),
        read_iolog_chunked=chunked,
        iodepth=numbers.choice([None, 1, 7]),
        bs=numbers.choice([None, "512", "64k"]),
        indirect=numbers.choice(["on", "off"]),
        buffer_pattern="0x77",
    )
    assert run.status == 0, run.stderr
    content = image.read_bytes()
    assert [at for at, size in writes.items() if content[at : at + size] != b"\x77" * size] == []
    assert content.count(b"\x77") == sum(writes.values())

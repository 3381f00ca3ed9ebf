# SPDX-License-Identifier: GPL-2.0-or-later
"""Threads and processes in one run: fio forks while its threads use devices.

A process uses nothing that a thread made before the fork: no memory, no connection, no lock.
"""

import random
import socket as sockets
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import Fio, FioRun, StartBackend
from tests.end_to_end.refusal import sentences
from tests.end_to_end.running_fio import RunningFio

KIB, MIB = 1 << 10, 1 << 20
PATIENCE_S = 20.0
GLOBAL = "[global]\nioengine=fio_virtio\nbs=4k\n"
# What runs while others begin.
THREAD = "thread=1\nrw=randread\niodepth=16\ntime_based\n"
# For a job that only has to be there.
LEISURELY = "thinktime=1ms\n"
VERIFIED = "rw=randwrite\niodepth=16\nverify=crc32c\nsize=8m\n"


def ended_well(run: FioRun) -> FioRun:
    assert run.status == 0, run.stderr
    return run


def done(run: FioRun) -> dict[str, int]:
    """Bytes read or verified, by job."""
    return {job["jobname"]: job["read"]["io_bytes"] for job in ended_well(run).jobs}


# ---- data do not mix -------------------------------------------------------------------------


@pytest.mark.parametrize("hugepages", ["auto", "off"])
def test_processes_that_begin_beside_a_thread_have_rings_of_their_own(
    builtin: StartBackend, fio: Fio, hugepages: str
) -> None:
    text = f"""{GLOBAL}
hugepages={hugepages}
[thread]
filename={builtin().socket}
{THREAD}
runtime=4
[one]
startdelay=1
filename={builtin().socket}
{VERIFIED}
[two]
startdelay=1
filename={builtin().socket}
{VERIFIED}
"""
    found = done(fio.job(text))
    assert (found["one"], found["two"]) == (8 * MIB, 8 * MIB)
    assert found["thread"] > 0


@pytest.mark.parametrize("seed", range(8))
def test_any_mixture_writes_what_it_is_told(
    builtin: StartBackend, fio: Fio, private: Path, seed: int
) -> None:
    numbers = random.Random(seed)
    images = [private / f"image{number}" for number in range(2)]
    names = [
        builtin(storage=f"file:{image}", size_bytes=64 * MIB, queues=6).socket for image in images
    ]
    wanted = [bytearray(64 * MIB) for _ in images]
    # The first thread makes the queues for all that come unplanned: num_queues and iodepth.
    text = f"{GLOBAL}num_queues=6\niodepth={numbers.choice([1, 8, 64])}\n"
    for number in range(6):
        disk, place, byte = numbers.randrange(2), 8 * MIB * number, number + 1
        wanted[disk][place : place + 8 * MIB] = bytes([byte]) * (8 * MIB)
        text += f"""
[job{number}]
filename={names[disk]}
{numbers.choice(["", "thread=1"])}
create_serialize={numbers.choice([0, 1])}
startdelay={numbers.choice([0, 0, 300, 600])}ms
rw=randwrite
buffer_pattern={byte:#x}
bs={numbers.choice(["4k", "64k"])}
offset={place}
size=8m
loops={numbers.randrange(1, 8)}
"""
    ended_well(fio.job(text))
    assert [image.read_bytes() for image in images] == wanted


# ---- nothing is inherited --------------------------------------------------------------------


@pytest.fixture
def start_job(fio: Fio) -> Iterator[Callable[[str], RunningFio]]:
    """Starts fio on a job file."""
    running: list[RunningFio] = []

    def start(text: str) -> RunningFio:
        path = fio.folder / "running.fio"
        path.write_text(text)
        running.append(RunningFio(fio, str(path)))
        return running[-1]

    yield start
    for each in running:
        each.kill()


def only_child(running: RunningFio) -> psutil.Process:
    """The process of the only job that is one. It does I/O, so what setup had forked is gone."""
    [child] = psutil.Process(running.child.pid).children()
    return child


def mapped_regions(pid: int) -> set[str]:
    """The inodes of the shared memory that a process has mapped."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {line.split()[4] for line in lines if "memfd:pyfio-virtio" in line}


def open_descriptors(pid: int) -> set[int]:
    """The inodes of the shared memory and the connections that a process has open."""
    entries = list(Path(f"/proc/{pid}/fd").iterdir())
    shared = [entry for entry in entries if str(entry.readlink()).startswith(("/memfd", "socket:"))]
    return {entry.stat().st_ino for entry in shared}


def test_a_process_keeps_nothing_of_a_threads_device(
    builtin: StartBackend, start_job: Callable[[str], RunningFio]
) -> None:
    second = builtin()
    running = start_job(f"""{GLOBAL}
[thread]
filename={builtin().socket}
{THREAD}{LEISURELY}
runtime=10
[process]
startdelay=1
filename={second.socket}
rw=randread
time_based
{LEISURELY}
runtime=10
""")
    running.wait_until_served(second.process.pid)
    child = only_child(running)
    assert len(mapped_regions(child.pid)) == 1
    assert mapped_regions(child.pid) & mapped_regions(running.child.pid) == set()
    assert open_descriptors(child.pid) & open_descriptors(running.child.pid) == set()


@pytest.mark.parametrize("engine", ["fio_virtio", "null"])
def test_a_device_is_closed_although_a_process_was_forked_meanwhile(
    qsd: StartBackend, builtin: StartBackend, fio: Fio, engine: str
) -> None:
    # The daemon takes its next client only once the last one has hung up.
    socket = qsd(queues=2).socket
    text = f"""{GLOBAL}
[thread]
filename={socket}
{THREAD}{LEISURELY}
runtime=2
[process]
startdelay=1
ioengine={engine}
filename={builtin().socket}
size=1m
rw=randread
time_based
{LEISURELY}
runtime=9
[later]
connect_timeout=3
startdelay=3500ms
filename={socket}
thread=1
rw=randread
number_ios=100
"""
    assert done(fio.job(text))["later"] == 100 * 4 * KIB


def test_a_process_is_forked_while_a_thread_waits_for_a_backend(
    builtin: StartBackend, fio: Fio, private: Path
) -> None:
    # A thread that opens a device holds what the other threads wait for.
    silent = private / "silent.sock"
    text = f"""{GLOBAL}
[thread]
filename={silent}
thread=1
create_serialize=0
connect_timeout=4
rw=randread
[process]
startdelay=1
filename={builtin().socket}
{VERIFIED}
"""
    with sockets.socket(sockets.AF_UNIX) as listener:
        listener.bind(str(silent))
        listener.listen()
        run = fio.job(text)
    assert run.status == 1
    assert ["did not answer" in said for said in sentences(run)] == [True]
    assert run.jobs[1]["read"]["io_bytes"] == 8 * MIB

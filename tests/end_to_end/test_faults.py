# SPDX-License-Identifier: GPL-2.0-or-later
"""Each fault of the built-in back-end, as a run of fio meets it.

A fault that hurts ends the run soon, with one sentence that names the socket; one that does not
is not noticed: what was written is what is read.
"""

import json
import re
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pyfio_virtio.backends.builtin_engine import BuiltinBackend, Settings
from tests.conftest import Fio, FioRun, Option, StartBackend
from tests.end_to_end.conftest import DISK_BYTES, WAITS, StartFio
from tests.end_to_end.refusal import refusal, sentences
from tests.waiting import wait_until

EIO, ENOSPC, ETIMEDOUT, ECANCELED = 5, 28, 110, 125
BLOCKS = 512
LOAD: Mapping[str, Option] = {"bs": "4k", "size": "2m", "iodepth": 16}
WRITES: Mapping[str, Option] = {**LOAD, "rw": "randwrite"}
VERIFIED: Mapping[str, Option] = {**WRITES, "verify": "crc32c", "verify_fatal": 1}

StartFaulty = Callable[..., BuiltinBackend]

every_device = pytest.mark.parametrize("device", ["blk", "scsi"])
every_wait = pytest.mark.parametrize("wait", WAITS)
# Ways of waiting do not know which device it is: scsi is shown with one of them.
every_wait_and_device = pytest.mark.parametrize(
    ("device", "wait"), [*(("blk", wait) for wait in WAITS), ("scsi", "event")]
)


@pytest.fixture
def faulty(private: Path) -> Iterator[StartFaulty]:
    """Starts a back-end with faults, in threads of this process."""
    with ExitStack() as stack:

        def start(fault: str, device: str = "blk", **settings: str | int) -> BuiltinBackend:
            chosen: dict[str, Any] = {"size_bytes": DISK_BYTES, "queue_count": 2, **settings}
            path = str(private / "disk.sock")
            wanted = Settings(path, device=device, fault=fault, **chosen)
            return stack.enter_context(BuiltinBackend(wanted))

        yield start


def run(fio: Fio, backend: BuiltinBackend, **options: Option) -> FioRun:
    return fio(backend.settings.socket_path, **options)


def wait_until_lost(backend: BuiltinBackend, count: int) -> None:
    wait_until(lambda: int(backend.statistics().get("fault_lose", 0)) >= count)


def assert_verified(done: FioRun) -> None:
    assert done.status == 0, done.stderr
    assert sentences(done) == []
    assert (done.first["error"], done.first["read"]["total_ios"]) == (0, BLOCKS)


def told(done: FioRun, backend: BuiltinBackend, error: int = EIO) -> str:
    """The sentence, where the run failed with `error` for each job."""
    said = refusal(done)
    assert said.startswith(f"{backend.settings.socket_path}: ")
    assert {job["error"] for job in done.jobs} == {error}
    return said


# ---- what does no harm -----------------------------------------------------------------------


@every_wait_and_device
@pytest.mark.parametrize("fault", ["delay:for=1ms", "reorder:for=1ms", "spurious-call"])
def test_late_mixed_and_needless_completions_do_no_harm(
    faulty: StartFaulty, fio: Fio, fault: str, device: str, wait: str
) -> None:
    backend = faulty(fault, device)
    assert_verified(run(fio, backend, wait=wait, **VERIFIED))
    name = fault.partition(":")[0]
    assert int(backend.statistics()[f"fault_{name}"]) >= 2 * BLOCKS


@every_device
@every_wait
@pytest.mark.parametrize("fault", ["lost-call:every=5", "lost-call"])
def test_lost_calls_only_cost_time(
    faulty: StartFaulty, fio: Fio, fault: str, device: str, wait: str
) -> None:
    assert_verified(run(fio, faulty(fault, device), wait=wait, **VERIFIED))


@every_device
def test_lengths_in_the_used_ring_are_not_relied_on(
    faulty: StartFaulty, fio: Fio, device: str
) -> None:
    assert_verified(run(fio, faulty("bad-length", device), **VERIFIED))


@pytest.mark.parametrize("serving", ["poll", "event"])
def test_all_that_does_no_harm_at_once(faulty: StartFaulty, fio: Fio, serving: str) -> None:
    backend = faulty("reorder:for=1ms spurious-call bad-length lost-call:every=9", serve=serving)
    assert_verified(run(fio, backend, **VERIFIED))


# ---- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("blk", "the back-end reports an I/O error for a write of 4096 bytes at"),
        ("scsi", "the disk refused a write of 4096 bytes at"),
    ],
)
def test_every_nth_write_fails(faulty: StartFaulty, fio: Fio, device: str, words: str) -> None:
    done = run(fio, faulty("error:type=write,every=100", device), **WRITES)
    assert (done.status, done.first["error"]) == (1, EIO)
    assert words in done.stderr


@every_device
def test_every_nth_error_is_counted(faulty: StartFaulty, fio: Fio, device: str) -> None:
    backend = faulty("error:type=write,every=100", device)
    done = run(fio, backend, continue_on_error="io", **WRITES)
    assert (done.first["total_err"], done.first["first_error"]) == (BLOCKS // 100, EIO)


@every_device
def test_a_bad_range_of_sectors_fails_where_it_lies(
    faulty: StartFaulty, fio: Fio, device: str
) -> None:
    backend = faulty("error:type=read,sectors=800-815", device)
    assert f"a read of 4096 bytes at {800 * 512}" in run(fio, backend, rw="read", **LOAD).stderr
    done = run(fio, backend, rw="read", continue_on_error="io", **LOAD)
    assert done.first["total_err"] == 2


def test_sense_data_is_told_by_name(faulty: StartFaulty, fio: Fio) -> None:
    done = run(fio, faulty("error:type=read", "scsi"), rw="read", number_ios=1)
    assert "MEDIUM ERROR, ASC 11h, ASCQ 00h (unrecovered read error)" in done.stderr


@every_device
def test_an_error_of_a_flush_ends_the_run(faulty: StartFaulty, fio: Fio, device: str) -> None:
    backend = faulty("error:type=flush", device)
    done = run(fio, backend, rw="write", fsync=8, **LOAD)
    assert (done.status, done.first["error"]) == (1, EIO)
    assert "flush" in done.stderr


# ---- requests that never complete -------------------------------------------------------------


@every_wait
def test_a_lost_request_of_blk_ends_the_run(faulty: StartFaulty, fio: Fio, wait: str) -> None:
    backend = faulty("lose:type=write,after=100")
    done = run(fio, backend, wait=wait, request_timeout=1, **WRITES)
    assert "completed nothing for 1 s (request_timeout)" in told(done, backend, ETIMEDOUT)


@every_wait
def test_lost_requests_of_scsi_come_back_with_a_reset_of_the_unit(
    faulty: StartFaulty, fio: Fio, wait: str
) -> None:
    backend = faulty("lose:type=write,after=100,count=4", "scsi")
    done = run(fio, backend, wait=wait, request_timeout=1, device="scsi", **WRITES)
    assert (done.status, done.first["error"]) == (1, EIO)
    assert "the bus or device was reset" in done.stderr
    assert backend.statistics()["tasks"] == 1


@pytest.mark.parametrize("in_thread", [0, 1])
def test_the_reset_of_one_job_does_not_fail_its_neighbours(
    faulty: StartFaulty, fio: Fio, in_thread: int
) -> None:
    """The neighbour's requests are with the back-end nearly all the time, 50 ms each."""
    first, last = 2048, 4095  # sectors of the job whose requests are lost
    backend = faulty(
        f"lose:type=write,sectors={first}-{last} delay:type=write,for=50ms", "scsi", queue_count=2
    )
    text = f"""[global]
ioengine=fio_virtio
device=scsi
filename={backend.settings.socket_path}
thread={in_thread}
bs=4k
iodepth=8
rw=write
continue_on_error=none
[lost]
request_timeout=1
offset=1m
size=1m
[neighbour]
size=512k
rw=write
loops=3
"""
    done = fio.job(text)
    lost, neighbour = done.jobs
    assert (lost["error"], neighbour["error"]) == (EIO, 0), done.stderr
    assert neighbour["write"]["total_ios"] == 3 * 128
    assert "the bus or device was reset" in done.stderr
    assert backend.statistics()["tasks"] == 1


def test_a_unit_that_hangs_again_is_given_up(faulty: StartFaulty, fio: Fio) -> None:
    backend = faulty("lose:type=write,after=100", "scsi")
    done = run(fio, backend, device="scsi", request_timeout=1, continue_on_error="io", **WRITES)
    assert "completed nothing for 1 s (request_timeout)" in " ".join(sentences(done))
    assert backend.statistics()["tasks"] == 1


def test_a_reset_that_does_not_complete_either_ends_the_run(faulty: StartFaulty, fio: Fio) -> None:
    backend = faulty("lose:type=write,after=100 lose:type=task", "scsi")
    done = run(fio, backend, request_timeout=1, **WRITES)
    assert "request_timeout" in told(done, backend, ETIMEDOUT)


@every_device
def test_runtime_ends_a_run_with_lost_requests(faulty: StartFaulty, fio: Fio, device: str) -> None:
    backend = faulty("lose:type=write,after=100", device)
    done = run(fio, backend, time_based=True, runtime=1, **WRITES)
    assert "the run is over and the back-end completed nothing" in told(done, backend, ETIMEDOUT)


# ---- a used ring that cannot be ----------------------------------------------------------------


@every_wait_and_device
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("twice", "used ring"),
        ("bad-id", "used ring names a descriptor that is not in flight"),
        ("used-jump", "used ring holds more elements than were submitted"),
    ],
)
def test_a_used_ring_that_cannot_be_ends_the_run(
    faulty: StartFaulty, fio: Fio, fault: str, words: str, device: str, wait: str
) -> None:
    backend = faulty(f"{fault}:type=write,after=100,count=1", device)
    ended = run(fio, backend, wait=wait, **WRITES)
    if fault == "twice" and "it could not read the request" in ended.stderr:
        # The chain was in flight again by then: its untouched status gives the lie away.
        assert ended.status == 1
        return
    said = told(ended, backend)
    assert words in said
    assert "must not be trusted further" in said


@pytest.mark.parametrize("fault", ["twice", "bad-id", "used-jump"])
def test_a_used_ring_that_cannot_be_while_a_disk_is_looked_for(
    faulty: StartFaulty, fio: Fio, fault: str
) -> None:
    backend = faulty(f"{fault}:type=command", "scsi")
    assert "used ring" in told(run(fio, backend, rw="read"), backend)


# ---- the socket ------------------------------------------------------------------------------


@every_device
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("wrong-reply", "the back-end answered GET_FEATURES with request number 2"),
        ("short-reply", "the back-end answered GET_FEATURES with 4 bytes instead of 8"),
        ("lose-reply", "the back-end did not answer GET_FEATURES in time"),
        ("hang-up", "the back-end hung up at GET_FEATURES"),
    ],
)
def test_a_first_message_that_goes_wrong(
    faulty: StartFaulty, fio: Fio, fault: str, words: str, device: str
) -> None:
    backend = faulty(f"{fault}:message=1", device)
    said = refusal(run(fio, backend, rw="read", connect_timeout=1))
    assert said.startswith(f"{backend.settings.socket_path}: {words}")


@pytest.mark.parametrize("fault", ["wrong-reply", "short-reply", "hang-up"])
def test_any_message_that_goes_wrong_ends_the_run(
    faulty: StartFaulty, fio: Fio, fault: str
) -> None:
    backend = faulty("")
    met = []
    for number in range(2, 30, 3):
        backend.command("fault clear")
        backend.command(f"fault {fault}:message={number}")
        done = run(fio, backend, rw="read", number_ios=8, connect_timeout=1)
        if f"fault_{fault}" not in backend.statistics() or done.status == 0:
            break
        met.append(refusal(done))
    assert len(met) > 3
    assert all(said.startswith(f"{backend.settings.socket_path}: ") for said in met)


# ---- the end of a run ------------------------------------------------------------------------


def test_a_slow_disk_may_finish_what_it_holds_when_the_run_is_over(
    builtin: StartBackend, fio: Fio, private: Path
) -> None:
    # All are submitted at once, and come back one by one: a second after the end, and later.
    times = private / "times"
    times.write_text("".join(f"{300_000_000 * number}\n" for number in range(1, 9)))
    backend = builtin(size_bytes=DISK_BYTES, options=(f"latency=trace:{times}",))
    done = fio(backend.socket, rw="randread", iodepth=8, time_based=True, runtime="200ms")
    assert done.status == 0, done.stderr
    assert done.first["read"]["total_ios"] >= 8


@pytest.mark.parametrize("thread", [None, 1])
@pytest.mark.parametrize("after", [0, 3, 100])
def test_requests_may_take_longer_than_the_run(
    faulty: StartFaulty, fio: Fio, thread: int | None, after: int
) -> None:
    # With after=0 the run shows only that they take longer than it lasted.
    backend = faulty(f"delay:for=2500ms,after={after}")
    timing: Mapping[str, Option] = {"time_based": True, "runtime": 1, "thread": thread}
    done = run(fio, backend, rw="randread", iodepth=4, **timing)
    assert done.status == 0, done.stderr
    assert done.first["read"]["total_ios"] == after + 4


def test_the_end_lasts_no_longer_than_request_timeout(faulty: StartFaulty, fio: Fio) -> None:
    backend = faulty("lose")
    timing: Mapping[str, Option] = {"time_based": True, "runtime": "200ms", "request_timeout": 1}
    done = run(fio, backend, rw="randread", **timing)
    assert "(request_timeout)" in told(done, backend, ETIMEDOUT)


@pytest.mark.parametrize("jobs", [{"thread": 1}, {"thread": None}, {"thread": None, "numjobs": 2}])
@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("to_all", [False, True])
def test_a_second_signal_ends_the_run_at_once(
    faulty: StartFaulty, start_fio: StartFio, jobs: dict[str, Option], ends: bool, to_all: bool
) -> None:
    # Our command sends a signal to fio's first process; a terminal sends it to all of them.
    backend = faulty("lose")
    timing: Mapping[str, Option] = {"time_based": True, "runtime": 1 if ends else 60}
    running = start_fio(
        backend.settings.socket_path, rw="randread", request_timeout=0, **timing, **jobs
    )
    wait_until_lost(backend, int(jobs.get("numjobs") or 1))
    time.sleep(1.5 if ends else 0)
    done = running.signal_until_it_ends(signal.SIGINT, to_all)
    assert {job["error"] for job in done.jobs} == {ECANCELED}
    assert all("a second signal ended the run" in said for said in sentences(done))


def test_threads_that_run_at_once_have_a_queue_each(
    faulty: StartFaulty, start_fio: StartFio, private: Path
) -> None:
    # Each job loses its first request, so that none of them ends before all have begun.
    backend, stats = faulty("lose", queue_count=4), private / "stats.json"
    running = start_fio(
        backend.settings.socket_path, rw="randread", numjobs=4, stats_file=str(stats)
    )
    wait_until_lost(backend, 4)
    backend.stop()
    assert all("hung up" in said for said in sentences(running.finish()))
    lines = [json.loads(line) for line in stats.read_text().splitlines()]
    assert sorted(line["queues"][0]["queue"] for line in lines) == [0, 1, 2, 3]


def test_one_signal_lets_the_disk_finish(faulty: StartFaulty, start_fio: StartFio) -> None:
    backend = faulty("delay:for=2500ms")
    running = start_fio(backend.settings.socket_path, rw="randread", time_based=True, runtime=60)
    wait_until(lambda: bool(backend.statistics().get("fault_delay")))
    running.signal(signal.SIGINT)
    done = running.finish()
    assert (done.status, sentences(done)) == (128, [])
    assert done.first["read"]["total_ios"] == 1


def test_the_last_flush_may_take_longer_than_a_second(faulty: StartFaulty, fio: Fio) -> None:
    backend = faulty("delay:type=flush,for=1500ms")
    timing: Mapping[str, Option] = {"time_based": True, "runtime": "200ms", "end_fsync": 1}
    done = run(fio, backend, rw="write", iodepth=4, size="1m", **timing)
    assert done.status == 0, done.stderr
    assert backend.statistics()["fault_delay"] == 1


# ---- deaths and changes ----------------------------------------------------------------------


@every_wait_and_device
def test_a_death_with_requests_in_flight(
    builtin: StartBackend, fio: Fio, device: str, wait: str
) -> None:
    backend = builtin(
        size_bytes=DISK_BYTES, options=(f"device={device}", "fault=die:type=write,after=100")
    )
    said = refusal(fio(backend.socket, wait=wait, **WRITES))
    assert said == f"{backend.socket}: the back-end hung up, so its requests in flight fail"


def test_a_death_while_a_disk_is_looked_for(faulty: StartFaulty, fio: Fio) -> None:
    backend = faulty("die:type=command", "scsi")
    said = told(run(fio, backend, rw="read", device="scsi"), backend)
    assert "the back-end hung up during a command" in said


def test_a_death_while_the_type_is_asked(faulty: StartFaulty, fio: Fio) -> None:
    """Without a configuration space, a back-end is asked what it is."""
    backend = faulty("die:type=command", "scsi")
    said = told(run(fio, backend, rw="read", device="auto"), backend)
    assert "the back-end hung up" in said
    assert "GET_VRING_BASE" not in said


@pytest.mark.parametrize("answered", range(5))
def test_a_disk_that_falls_silent_while_it_is_described(
    faulty: StartFaulty, fio: Fio, answered: int
) -> None:
    # With one chain, the one that does not come back was the last.
    backend = faulty(f"lose:type=command,after={answered}", "scsi")
    options: dict[str, Option] = {"device": "scsi", "scsi_target": 0, "scsi_lun": 0, "iodepth": 1}
    done = run(fio, backend, rw="read", number_ios=8, connect_timeout=1, **options)
    assert "did not complete a command in time" in told(done, backend, ETIMEDOUT)


def test_a_scan_of_slow_targets_has_an_end(faulty: StartFaulty, fio: Fio) -> None:
    # Each target that is not there answers in time; all of them together do not.
    backend = faulty("delay:type=command,for=20ms", "scsi")
    said = told(run(fio, backend, rw="read", connect_timeout=1), backend, ETIMEDOUT)
    assert "the back-end did not complete a command in time" in said


def test_a_target_that_is_named_needs_no_scan(faulty: StartFaulty, fio: Fio) -> None:
    backend = faulty("delay:type=command,for=20ms", "scsi")
    address: Mapping[str, Option] = {"scsi_target": 0, "scsi_lun": 0}
    done = run(fio, backend, rw="read", number_ios=8, connect_timeout=1, **address)
    assert done.status == 0, done.stderr


@pytest.mark.parametrize(("device", "error"), [("blk", EIO), ("scsi", ENOSPC)])
def test_a_disk_that_shrinks_fails_what_lies_beyond_its_end(
    faulty: StartFaulty, fio: Fio, device: str, error: int
) -> None:
    backend = faulty("shrink:type=write,after=100,count=1,to=1MiB", device)
    # The disk shrinks a moment after that request, so the job goes on until it meets the end.
    done = run(fio, backend, rw="write", **{**LOAD, "time_based": True, "runtime": 60})
    assert (done.status, done.first["error"]) == (1, error)
    offset = re.search(r"a write of 4096 bytes at (\d+)", done.stderr)
    assert offset
    assert int(offset[1]) >= 1 << 20


def test_a_disk_that_shrinks_before_the_run_begins_is_told(faulty: StartFaulty, fio: Fio) -> None:
    # While it is looked for the first time: fio learns the old size, the run finds the new one.
    backend = faulty("shrink:type=command,after=5,count=1,to=1MiB", "scsi")
    said = told(run(fio, backend, rw="write", **LOAD), backend, ENOSPC)
    assert "a write of 4096 bytes at 1048576 lies beyond the device's 1048576 bytes" in said


@every_device
def test_the_next_run_is_served_after_a_broken_one(
    faulty: StartFaulty, fio: Fio, device: str
) -> None:
    backend = faulty("bad-id:type=write,after=100,count=1", device)
    told(run(fio, backend, **WRITES), backend)
    backend.command("fault clear")
    assert_verified(run(fio, backend, **VERIFIED))

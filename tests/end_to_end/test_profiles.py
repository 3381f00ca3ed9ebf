# SPDX-License-Identifier: GPL-2.0-or-later
"""The core jobs on each profile of the built-in back-end: other back-ends' ways, without them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pyfio_virtio.backends.builtin_engine import BuiltinBackend, Settings
from tests.conftest import Fio, FioRun, Option
from tests.end_to_end.conftest import DISK_BYTES, WAITS
from tests.end_to_end.refusal import refusal

PROFILES = ("spdk", "qemu", "rust-vmm", "minimal")
VERIFIED: Mapping[str, Option] = {
    "rw": "randwrite",
    "bs": "4k",
    "size": "4m",
    "iodepth": 32,
    "verify": "crc32c",
    "verify_fatal": 1,
}
BLOCKS = 1024  # of VERIFIED

PlayProfile = Callable[..., BuiltinBackend]

every_profile = pytest.mark.parametrize("profile", PROFILES)
every_device = pytest.mark.parametrize("device", ["blk", "scsi"])
serves_by_polling_and_by_events = pytest.mark.parametrize("serving", ["poll", "event"])


@pytest.fixture
def play(private: Path) -> Iterator[PlayProfile]:
    """Starts a back-end that plays a profile, in threads of this process."""
    with ExitStack() as stack:

        def start(profile: str, device: str, **settings: str | int) -> BuiltinBackend:
            chosen: dict[str, Any] = {"size_bytes": DISK_BYTES, **settings}
            wanted = Settings(str(private / "disk.sock"), profile=profile, device=device, **chosen)
            return stack.enter_context(BuiltinBackend(wanted))

        yield start


def run(fio: Fio, backend: BuiltinBackend, **options: Option) -> FioRun:
    """Runs a job, with size= and device= in it: some back-ends have no way to say these."""
    settings = backend.settings
    needed: dict[str, Option] = {"size": "4m", "device": settings.device}
    if settings.profile in ("spdk", "qemu"):
        del needed["device"]
    return fio(settings.socket_path, **{**needed, **options})


def assert_done(done: FioRun, *, written: int = 0, read: int = 0) -> None:
    assert done.status == 0, done.stderr
    assert {job["error"] for job in done.jobs} == {0}
    assert sum(job["write"]["total_ios"] for job in done.jobs) == written
    assert sum(job["read"]["total_ios"] for job in done.jobs) == read


@every_profile
@every_device
@serves_by_polling_and_by_events
def test_random_writes_verify(
    play: PlayProfile, fio: Fio, profile: str, device: str, serving: str
) -> None:
    backend = play(profile, device, serve=serving)
    assert_done(run(fio, backend, **VERIFIED), written=BLOCKS, read=BLOCKS)


@every_profile
@pytest.mark.parametrize("wait", WAITS)
def test_random_writes_verify_with_each_wait(
    play: PlayProfile, fio: Fio, profile: str, wait: str
) -> None:
    backend = play(profile, "blk", serve="event")
    assert_done(run(fio, backend, wait=wait, **VERIFIED), written=BLOCKS, read=BLOCKS)


@every_profile
@every_device
def test_each_flush_arrives(play: PlayProfile, fio: Fio, profile: str, device: str) -> None:
    backend = play(profile, device)
    assert_done(run(fio, backend, rw="write", bs="4k", size="256k", fsync=8), written=64)
    # fio writes 64 blocks, and does not flush after the last.
    assert backend.statistics()["flushes"] == 7


@every_profile
@every_device
def test_trims_are_carried_out_or_refused(
    play: PlayProfile, fio: Fio, profile: str, device: str
) -> None:
    backend = play(profile, device)
    done = run(fio, backend, rw="randtrimwrite", bs="4k", size="1m", iodepth=8)
    if (profile, device) == ("minimal", "blk"):
        assert "offers neither discard nor write-zeroes" in refusal(done)
    else:
        assert done.status == 0, done.stderr
        assert done.first["trim"]["total_ios"] > 0


@every_profile
@every_device
def test_one_read_at_a_time(play: PlayProfile, fio: Fio, profile: str, device: str) -> None:
    backend = play(profile, device, serve="event")
    assert_done(run(fio, backend, rw="randread", iodepth=1, number_ios=100), read=100)


@every_profile
@every_device
def test_two_jobs_have_a_queue_each(play: PlayProfile, fio: Fio, profile: str, device: str) -> None:
    backend = play(profile, device, queue_count=2)
    done = run(fio, backend, numjobs=2, offset_increment="4m", **VERIFIED)
    if profile == "minimal":
        assert "2 jobs want a queue each and the back-end has 1" in refusal(done)
    else:
        assert_done(done, written=2 * BLOCKS, read=2 * BLOCKS)


@every_profile
@every_device
def test_more_requests_than_a_small_ring_holds(
    play: PlayProfile, fio: Fio, profile: str, device: str
) -> None:
    options = {**VERIFIED, "iodepth": 64, "queue_size": 8, "indirect": "off"}
    assert_done(run(fio, play(profile, device), **options), written=BLOCKS, read=BLOCKS)


@every_profile
def test_large_blocks_verify(play: PlayProfile, fio: Fio, profile: str) -> None:
    options = {**VERIFIED, "bs": "1m", "size": "16m"}
    assert_done(run(fio, play(profile, "blk"), **options), written=16, read=16)


@every_profile
def test_one_client_comes_after_another(play: PlayProfile, fio: Fio, profile: str) -> None:
    backend = play(profile, "blk")
    for _ in range(2):
        assert_done(run(fio, backend, rw="read", size="1m"), read=256)


def test_a_back_end_that_does_not_say_how_large_its_disk_is_needs_a_size(
    play: PlayProfile, fio: Fio
) -> None:
    said = refusal(fio(play("minimal", "blk").settings.socket_path, rw="read"))
    assert "does not say how large its disk is: give size=" in said


@every_profile
@serves_by_polling_and_by_events
def test_virtio_scsi_is_found_without_options(
    play: PlayProfile, fio: Fio, profile: str, serving: str
) -> None:
    backend = play(profile, "scsi", serve=serving)
    done = fio(backend.settings.socket_path, rw="read", bs="64k")
    assert_done(done, read=DISK_BYTES >> 16)


@every_profile
@every_device
def test_a_queue_size_that_is_too_large_is_named(
    play: PlayProfile, fio: Fio, profile: str, device: str
) -> None:
    done = run(fio, play(profile, device), rw="read", queue_size=2048)
    said = refusal(done)
    assert "does not seem to take queues of 2048 entries, because it" in said
    assert "choose a smaller queue_size (most back-ends take 1024 entries at most)" in said


@pytest.mark.parametrize("profile", ["spdk", "minimal"])
def test_event_idx_is_refused_where_it_is_not_offered(
    play: PlayProfile, fio: Fio, profile: str
) -> None:
    done = run(fio, play(profile, "blk"), rw="read", event_idx="on")
    assert "does not offer event_idx" in refusal(done)

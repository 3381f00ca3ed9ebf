# SPDX-License-Identifier: GPL-2.0-or-later
"""Jobs that do not fit their device, or each other, end before they begin, in one sentence."""

from pathlib import Path

import pytest

from tests.conftest import Fio, Option, StartBackend
from tests.end_to_end.conftest import StartRelay
from tests.end_to_end.refusal import refusal, sentences
from tests.end_to_end.relay import Message
from tests.vhost_numbers import Request

DISCARD, WRITE_ZEROES = 1 << 13, 1 << 14


# ---- alignment -------------------------------------------------------------------------------


@pytest.mark.parametrize("rw", ["read", "randwrite", "trim"])
@pytest.mark.parametrize(("block_size", "bs"), [(512, "700"), (4096, "512"), (4096, "6k")])
def test_a_bs_of_part_of_a_block_is_refused(
    qsd: StartBackend, fio: Fio, block_size: int, bs: str, rw: str
) -> None:
    said = refusal(fio(qsd(block_size=block_size).socket, rw=rw, bs=bs))
    assert f"blocks of {block_size} bytes" in said
    assert "bs=" in said


@pytest.mark.parametrize("options", [{"bssplit": "4k/50:512/50"}, {"bsrange": "1k-8k"}])
def test_one_unaligned_size_among_several_is_refused(
    disk: StartBackend, fio: Fio, options: dict[str, Option]
) -> None:
    said = refusal(fio(disk(block_size=4096).socket, rw="randread", **options))
    assert "blocks of 4096 bytes" in said


@pytest.mark.parametrize(("block_size", "offset"), [(512, "100"), (4096, "512")])
def test_an_unaligned_offset_is_refused(
    qsd: StartBackend, fio: Fio, block_size: int, offset: str
) -> None:
    said = refusal(fio(qsd(block_size=block_size).socket, rw="read", offset=offset))
    assert f"offset={offset}" in said


def test_an_unaligned_blockalign_is_refused(qsd: StartBackend, fio: Fio) -> None:
    said = refusal(fio(qsd().socket, rw="randread", bs="4k", blockalign="100"))
    assert "512" in said


def test_bs_unaligned_is_refused(qsd: StartBackend, fio: Fio) -> None:
    said = refusal(fio(qsd().socket, rw="randread", bsrange="512-8k", bs_unaligned=1))
    assert "512" in said


# ---- directions ------------------------------------------------------------------------------


@pytest.mark.parametrize("rw", ["write", "randrw", "trim", "randtrimwrite"])
def test_writes_to_a_read_only_device_are_refused(disk: StartBackend, fio: Fio, rw: str) -> None:
    assert "read-only" in refusal(fio(disk(read_only=True).socket, rw=rw))


def without_features(bits: int, message: Message) -> Message:
    if message.is_reply and message.request == Request.GET_FEATURES:
        return message.with_u64(message.u64 & ~bits)
    return message


def test_a_trim_on_a_device_without_discard_is_refused(
    qsd: StartBackend, fio: Fio, relay: StartRelay
) -> None:
    socket = relay(qsd().socket, lambda message: without_features(DISCARD | WRITE_ZEROES, message))
    assert "neither discard nor write-zeroes" in refusal(fio(socket, rw="randtrim"))


def test_a_trim_becomes_write_zeroes_where_there_is_no_discard(
    qsd: StartBackend, fio: Fio, relay: StartRelay, private: Path
) -> None:
    image = private / "image"
    image.write_bytes(b"\xff" * (1 << 20))
    socket = relay(
        qsd(storage=f"file:{image}").socket, lambda message: without_features(DISCARD, message)
    )
    run = fio(socket, rw="trim", bs="64k", size="512k")
    assert run.status == 0, run.stderr
    assert image.read_bytes() == bytes(512 << 10) + b"\xff" * (512 << 10)
    assert run.stdout.count("trims are sent as WRITE_ZEROES") == 1


OFFERS = {"both": 0, "no-discard": DISCARD, "no-write-zeroes": WRITE_ZEROES}
TRIMS = {
    ("both", "auto"): "",
    ("both", "discard"): "",
    ("both", "write_zeroes"): "",
    ("no-discard", "write_zeroes"): "",
    ("no-discard", "discard"): "the device does not offer discard: use trim=write_zeroes",
    ("no-write-zeroes", "auto"): "",
    ("no-write-zeroes", "discard"): "",
    ("no-write-zeroes", "write_zeroes"): "the device does not offer write-zeroes: use trim=discard",
}


@pytest.mark.parametrize(("offer", "trim"), TRIMS)
def test_trim_chooses_the_request(
    qsd: StartBackend, fio: Fio, relay: StartRelay, offer: str, trim: str
) -> None:
    socket = relay(qsd().socket, lambda message: without_features(OFFERS[offer], message))
    run = fio(socket, rw="trim", bs="64k", size="512k", trim=trim)
    if TRIMS[offer, trim]:
        assert refusal(run).endswith(TRIMS[offer, trim])
    else:
        assert (run.status, run.stdout.count("WRITE_ZEROES")) == (0, 0), run.stderr


def test_a_note_about_trims_is_left_out_if_nothing_is_trimmed(
    qsd: StartBackend, fio: Fio, relay: StartRelay
) -> None:
    socket = relay(qsd().socket, lambda message: without_features(DISCARD, message))
    assert "WRITE_ZEROES" not in fio(socket, rw="read", number_ios=1).stdout


# ---- queues and memory -----------------------------------------------------------------------


@pytest.mark.parametrize(("queues", "jobs"), [(1, 2), (2, 3), (4, 8)])
def test_more_jobs_than_queues_are_refused_with_both_numbers(
    disk: StartBackend, fio: Fio, queues: int, jobs: int
) -> None:
    run = fio(disk(queues=queues).socket, rw="randread", numjobs=jobs, number_ios=10)
    said = sentences(run)
    assert run.status > 0
    assert said
    assert "numjobs" in said[0]
    assert f"the back-end has {queues}" in said[0]


def test_more_jobs_than_queues_leave_no_half_result(disk: StartBackend, fio: Fio) -> None:
    run = fio(disk(queues=2).socket, rw="randread", numjobs=3, number_ios=10)
    assert sum(job["read"]["total_ios"] for job in run.jobs) == 0


def test_jobs_of_one_device_in_two_ways_are_refused(disk: StartBackend, fio: Fio) -> None:
    text = f"""
[global]
ioengine=fio_virtio
thread=1
filename={disk(queues=2).socket}
rw=randread
number_ios=10
[one]
event_idx=on
[two]
event_idx=off
"""
    run = fio.job(text)
    assert run.status == 1
    assert any("must agree on event_idx" in said for said in sentences(run))


@pytest.mark.parametrize("thread", [None, 1])
def test_more_memory_than_there_is_is_refused(
    qsd: StartBackend, fio: Fio, thread: int | None
) -> None:
    disk = qsd(storage="null", size_bytes=1 << 40)
    run = fio(disk.socket, thread=thread, rw="randread", bs="1g", iodepth=1024, number_ios=1)
    said = refusal(run)
    assert "memory" in said
    assert "iodepth or bs" in said


def test_a_job_of_two_devices_one_of_which_is_not_there_takes_no_queue(
    qsd: StartBackend, fio: Fio, private: Path
) -> None:
    socket = qsd().socket
    text = f"""
[global]
ioengine=fio_virtio
thread=1
rw=randread
number_ios=10
[broken]
filename={socket}:{private}/not-there
[whole]
filename={socket}
"""
    run = fio.job(text)
    assert "not-there" in refusal(run)
    assert run.jobs[1]["read"]["total_ios"] == 10


def test_offloaded_submission_is_refused(qsd: StartBackend, fio: Fio) -> None:
    run = fio(qsd().socket, rw="randread", io_submit_mode="offload", number_ios=1)
    assert "io_submit_mode=offload" in refusal(run)


# ---- ring features that are not offered ------------------------------------------------------


@pytest.mark.parametrize(("option", "bit"), [("indirect", 28), ("event_idx", 29)])
def test_a_ring_feature_that_is_not_offered_is_refused(
    qsd: StartBackend, fio: Fio, relay: StartRelay, option: str, bit: int
) -> None:
    socket = relay(qsd().socket, lambda message: without_features(1 << bit, message))
    said = refusal(fio(socket, rw="randread", number_ios=1, **{option: "on"}))
    assert f"leave out {option}=on" in said


@pytest.mark.parametrize("bit", [28, 29])
def test_a_ring_feature_that_is_not_offered_is_done_without(
    qsd: StartBackend, fio: Fio, relay: StartRelay, bit: int
) -> None:
    socket = relay(qsd().socket, lambda message: without_features(1 << bit, message))
    run = fio(socket, rw="randwrite", bs="4k", size="1m", iodepth=16, verify="crc32c")
    assert (run.status, run.first["read"]["total_ios"]) == (0, 256), run.stderr

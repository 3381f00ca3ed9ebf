# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio verify: what it writes, what it finds, and how it ends."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import pyfio_virtio
from pyfio_virtio.backends.backends import Backend
from pyfio_virtio.cli.interruptible import interruptible
from pyfio_virtio.disk import verify
from pyfio_virtio.errors import DiskError, UsageError
from tests.conftest import RunCommand
from tests.pyfio_virtio.disks import DISK_BYTES, Kind, every_kind, open_disk

Serve = Callable[..., Backend]
CONTENTS = (verify.Offsets(), verify.Pattern(b"abc"), verify.Random(7))


# ---- contents and plans ------------------------------------------------------------------------


@pytest.mark.parametrize("content", CONTENTS, ids=repr)
@pytest.mark.parametrize("offset", [0, 1, 7, 8, 4095, 4096, 10_001])
@pytest.mark.parametrize("size", [1, 9, 5000])
def test_content_depends_on_the_offset_alone(
    content: verify.Content, offset: int, size: int
) -> None:
    assert content.at(offset, size) == content.at(0, offset + size)[offset:]


def test_each_eight_bytes_hold_their_offset() -> None:
    word = int.from_bytes(verify.Offsets().at(4096, 8), "little")
    assert word ^ verify.Offsets.mark == 4096


def test_seeds_differ() -> None:
    assert verify.Random(1).at(0, 64) != verify.Random(2).at(0, 64)


def test_pieces_are_dealt_in_turn() -> None:
    plan = verify.Plan(100, 25, 10, verify.Offsets(), threads=2)
    assert list(plan.pieces(0)) == [verify.Piece(100, 10), verify.Piece(120, 5)]
    assert list(plan.pieces(1)) == [verify.Piece(110, 10)]


def test_a_plan_must_fit() -> None:
    with pytest.raises(UsageError, match="do not fit"):
        verify.Plan(1, 4096, 10, verify.Offsets()).check(4096)


# ---- runs --------------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("is_async", [False, True])
def test_threads_that_share_blocks_find_all_right(kind: Kind, is_async: bool, serve: Serve) -> None:
    plan = verify.Plan(0, 100_000, 1000, verify.Random(1), threads=8, is_async=is_async)
    with open_disk(kind.start(serve)) as disk:
        assert verify.run(disk, plan) is None


@pytest.mark.parametrize("threads", [1, 4])
def test_an_interrupt_comes_before_or_after_threads_are_started(
    threads: int, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between, it would break the locks with which Python starts a thread."""
    start, begun, started = threading.Thread.start, 0, 0

    def interrupted(thread: threading.Thread) -> None:
        nonlocal begun, started
        begun += 1
        signal.raise_signal(signal.SIGINT)
        start(thread)
        started += 1

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    plan = verify.Plan(0, 100_000, 1000, verify.Offsets(), threads=threads)
    with open_disk(Kind("builtin", 512).start(serve)) as disk, pytest.raises(KeyboardInterrupt):
        verify.run(disk, plan)
    # Fewer than the threads, if one was idle again before the last call.
    assert started == begun > 0


def test_an_interrupt_comes_before_or_after_a_call_is_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, ended = threading.Thread.start, threading.Event()

    def interrupted(thread: threading.Thread) -> None:
        signal.raise_signal(signal.SIGINT)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        interruptible(ended.set)
    assert ended.wait(60)


def test_progress_adds_up(serve: Serve) -> None:
    plan = verify.Plan(5, 10_000, 999, verify.Offsets(), threads=2)
    done: list[int] = []
    with open_disk(Kind("builtin", 512).start(serve)) as disk:
        assert verify.run(disk, plan, done.append) is None
    assert sum(done) == plan.work_bytes


@pytest.mark.parametrize("is_async", [False, True])
def test_the_first_wrong_byte_is_found(is_async: bool, serve: Serve) -> None:
    written = verify.Plan(0, 50_000, 1000, verify.Offsets(), is_async=is_async)
    looked_at = verify.Plan(0, 50_000, 1000, verify.Offsets(), is_async=is_async, only_reads=True)
    with open_disk(Kind("builtin", 512).start(serve)) as disk:
        assert verify.run(disk, written) is None
        right = disk.pread(1, 12_345)[0]
        disk.pwrite(bytes([right ^ 0xFF]), 12_345)
        found = verify.run(disk, looked_at)
    assert found is not None
    assert (found.offset, found.expected, found.found) == (12_345, right, right ^ 0xFF)
    assert [block.number for block in found.blocks] == [23, 24, 25]
    assert [block.wrong for block in found.blocks] == [[], [12_345 - 24 * 512], []]


def test_only_what_was_written_is_shown(serve: Serve) -> None:
    plan = verify.Plan(1000, 20, 20, verify.Offsets(), only_reads=True)
    with open_disk(Kind("builtin", 512).start(serve)) as disk:
        found = verify.run(disk, plan)
    assert found is not None
    assert [(block.offset, len(block.found)) for block in found.blocks] == [(1000, 20)]


# ---- the command -------------------------------------------------------------------------------


@pytest.fixture
def socket(serve: Serve) -> str:
    return Kind("builtin", 512).start(serve).socket


def test_the_readmes_command(socket: str, command: RunCommand) -> None:
    done = command("verify", "-s", socket, "-i", "100", "-a", "-S", "1000", "--yes")
    assert (done.status, done.stderr) == (0, "")
    assert "every byte is right" in done.stdout


def test_the_whole_disk(socket: str, command: RunCommand) -> None:
    done = command("verify", "-s", socket, "--full", "-t", "2", "--random", "3", "--yes")
    assert (done.status, done.stderr) == (0, "")
    with pyfio_virtio.open(socket) as disk:
        assert disk.pread(5000, DISK_BYTES - 5000) == verify.Random(3).at(DISK_BYTES - 5000, 5000)


def test_what_was_written_is_checked_later(socket: str, command: RunCommand) -> None:
    options = ("-s", socket, "-i", "10", "-S", "777", "--pattern", "cafe00")
    assert command("verify", *options, "--yes").status == 0
    done = command("verify", *options, "--read-only-check")
    assert (done.status, done.stderr) == (0, "")


def test_a_difference_is_shown_and_ends_in_failure(socket: str, command: RunCommand) -> None:
    options = ("-s", socket, "-i", "10", "-S", "777")
    assert command("verify", *options, "--pattern", "cafe00", "--yes").status == 0
    done = command("verify", *options, "--pattern", "cafe01", "--read-only-check")
    assert done.status == 1
    assert done.stderr == (
        f"pyfio-virtio: {socket}: byte 2 is 0x00 and should be 0x01 (block 0, byte 2 of 512)\n"
    )
    assert "expected  ca fe 01 ca fe 01" in done.stdout
    assert "found     ca fe 00 ca fe 00" in done.stdout
    assert "block 1 (512 bytes): 171 bytes are wrong, the first at 512" in done.stdout


def test_a_disk_of_somebody_elses_is_not_written(socket: str, command: RunCommand) -> None:
    done = command("verify", "-s", socket)
    assert done.status == 2
    assert "which was not made for it; use --yes" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--pattern", "xy"), "is not a row of bytes in hexadecimal"),
        (("--pattern", "00", "--random", "1"), "each says what to write"),
        (("-S", "0"), "a piece has at least one byte"),
        (("--offset", "8M"), "do not fit"),
        (("--wait", "often"), "is not one of 'event', 'busy', 'sleepy', 'adaptive'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    socket: str, command: RunCommand, options: tuple[str, ...], words: str
) -> None:
    done = command("verify", "-s", socket, "--yes", *options)
    assert done.status != 0
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_nobody_serves_the_socket(command: RunCommand, tmp_path: Path) -> None:
    done = command("verify", "-s", str(tmp_path / "nobody"), "--yes")
    assert done.status == 2
    assert "no such socket" in done.stderr


# ---- back-ends that take memory once -----------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        "--full -a",
        "--full -t 4",
        "--full -S 20M",
        "-i 200 -S 128k -a",
        "-i 2 -S 25M -a -t 2",
        "-i 3 -S 999 -a -t 4",
    ],
)
def test_memory_is_planned_before_the_disk_is_opened(
    serve: Serve, command: RunCommand, options: str
) -> None:
    backend = serve("builtin", options=("profile=spdk",))
    done = command("verify", "-s", backend.socket, "--yes", "--wait", "event", *options.split())
    assert (done.status, done.stderr) == (0, "")


@pytest.mark.parametrize("options", [("device=blk",), ("device=scsi",)])
def test_a_back_end_that_offers_nothing_is_verified(
    serve: Serve, command: RunCommand, options: tuple[str, ...]
) -> None:
    backend = serve("builtin", options=("profile=minimal", *options))
    done = command("verify", "-s", backend.socket, "--yes", "-a", "--device", "auto")
    if options == ("device=scsi",):
        assert (done.status, done.stderr) == (0, "")
    else:
        assert "the back-end does not say how large it is" in done.stderr


def test_buffers_are_planned_for_as_many_pieces_as_there_are() -> None:
    assert verify.plan_buffers(1000, 2, is_async=True, pieces=7) == verify.Buffers(4, 4 * 2 * 4096)
    assert verify.plan_buffers(1000, 2, is_async=False, pieces=7) == verify.Buffers(1, 2 * 4096)


def test_all_buffers_have_a_limit() -> None:
    most = verify.MOST_MEMORY_BYTES
    assert verify.plan_buffers(most // 8, 4, is_async=True) == verify.Buffers(2, most)
    assert verify.plan_buffers(most // 2, 3, is_async=True) == verify.Buffers(1, 0)


@pytest.mark.parametrize("is_async", [False, True])
def test_without_shared_memory_the_bounce_buffers_do(serve: Serve, *, is_async: bool) -> None:
    backend = serve("builtin", options=("profile=spdk",))
    plan = verify.Plan(100, 48 << 20, 4 << 20, verify.Offsets(), 1, is_async)
    with open_disk(backend) as disk:
        assert verify.run(disk, plan) is None


def test_a_back_end_that_takes_memory_once_names_what_to_set(serve: Serve) -> None:
    backend = serve("builtin", options=("profile=spdk",))
    with open_disk(backend) as disk, pytest.raises(DiskError, match="set memory_bytes to what all"):
        disk.alloc(64 << 20)
    with open_disk(backend, memory_bytes=64 << 20) as disk:
        assert len(disk.alloc(64 << 20)) == 64 << 20

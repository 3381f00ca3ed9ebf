# SPDX-License-Identifier: GPL-2.0-or-later
"""Flushes and the trims of trimwrite are carried out when fio's queue() returns: fio/at_once.c."""

import json
from pathlib import Path

import pytest

from tests.conftest import Fio, Options, StartBackend
from tests.end_to_end.refusal import sentences

KIB = 1 << 10


@pytest.mark.parametrize("option", ["fsync=8", "fdatasync=8", "sync_file_range=write:8"])
def test_a_flush_follows_each_eighth_write_at_any_depth(
    disk: StartBackend, fio: Fio, private: Path, option: str
) -> None:
    name, _, value = option.partition("=")
    stats = private / "stats.json"
    deep: Options = {"rw": "randwrite", "bs": "4k", "size": "4m", "iodepth": 28, name: value}
    run = fio(disk().socket, **deep, stats_file=str(stats))
    assert run.status == 0, run.stderr
    assert run.first["write"]["total_ios"] == 1024
    flushes = json.loads(stats.read_text())["ios"] - 1024
    # fio makes none after the last write, and may forget some at the end.
    assert 120 <= flushes < 128


def test_flushes_do_not_use_up_the_number_of_requests(disk: StartBackend, fio: Fio) -> None:
    run = fio(disk().socket, rw="write", bs="4k", number_ios=32, iodepth=16, fsync=1)
    assert run.status == 0, run.stderr
    # fio counts a flush that is in flight as one of the requests.
    assert run.first["write"]["total_ios"] == 32


def test_each_trimmed_block_is_written_if_the_size_is_uneven(disk: StartBackend, fio: Fio) -> None:
    run = fio(disk().socket, rw="trimwrite", bs="32k", size=45 * 32 * KIB + 16 * KIB)
    assert run.status == 0, run.stderr
    assert run.first["trim"]["total_ios"] == run.first["write"]["total_ios"] == 46


def test_a_failing_flush_fails_the_job_and_says_why(builtin: StartBackend, fio: Fio) -> None:
    socket = builtin(options=("fault=error:type=flush,after=2",)).socket
    run = fio(socket, rw="write", bs="4k", size="1m", iodepth=8, fsync=8)
    assert run.status == 1
    assert len(sentences(run)) == 1
    assert "flush" in sentences(run)[0]
    assert run.first["write"]["total_ios"] < 256


def test_a_job_continues_after_failing_flushes_if_it_is_told_to(
    builtin: StartBackend, fio: Fio
) -> None:
    socket = builtin(options=("fault=error:type=flush",)).socket
    run = fio(socket, rw="write", bs="4k", size="1m", fsync=8, continue_on_error="all")
    assert run.first["write"]["total_ios"] == 256
    assert run.first["total_err"] == 31
    assert len(sentences(run)) == 1

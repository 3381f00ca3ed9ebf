# SPDX-License-Identifier: GPL-2.0-or-later
"""Errors of the device reach fio as what they are: never as success, never as "busy".

qemu's blkdebug driver fails chosen requests of a healthy disk.
"""

from collections.abc import Callable

import pytest

from tests.conftest import Fio
from tests.end_to_end.refusal import sentences

EIO = 5
StartQsd = Callable[..., str]


@pytest.fixture
def failing(qsd_with: StartQsd) -> Callable[..., str]:
    """A disk of 64 MiB on which requests of one kind fail, all or once."""

    def start(kind: str, *, errno: int = EIO, once: bool = False) -> str:
        fault = f"inject-error.0.event=none,inject-error.0.iotype={kind}"
        fault += f",inject-error.0.errno={errno},inject-error.0.once={'on' if once else 'off'}"
        return qsd_with(
            "driver=null-co,node-name=base,size=67108864,read-zeroes=on",
            f"driver=blkdebug,node-name=disk,image=base,discard=unmap,{fault}",
        )

    return start


FailingDisk = Callable[..., str]


@pytest.mark.parametrize(
    ("kind", "rw"), [("read", "randread"), ("write", "randwrite"), ("discard", "randtrim")]
)
def test_an_error_ends_the_run(failing: FailingDisk, fio: Fio, kind: str, rw: str) -> None:
    run = fio(failing(kind), rw=rw, bs="4k", number_ios=100, iodepth=8)
    assert (run.status, run.first["error"]) == (1, EIO), run.stderr


def test_an_error_of_a_flush_ends_the_run(failing: FailingDisk, fio: Fio) -> None:
    run = fio(failing("flush"), rw="write", bs="4k", number_ios=100, fsync=10)
    assert (run.status, run.first["error"]) == (1, EIO), run.stderr


def test_an_error_is_told_with_its_place(failing: FailingDisk, fio: Fio) -> None:
    run = fio(failing("read"), rw="read", bs="4k", number_ios=1)
    assert "a read of 4096 bytes at 0" in run.stderr


def test_an_error_of_one_direction_leaves_the_others(failing: FailingDisk, fio: Fio) -> None:
    run = fio(failing("write"), rw="randread", bs="4k", number_ios=100, iodepth=8)
    assert (run.status, run.first["read"]["total_ios"]) == (0, 100), run.stderr


def test_one_failed_request_among_many_is_not_hidden(failing: FailingDisk, fio: Fio) -> None:
    run = fio(failing("read", once=True), rw="randread", bs="4k", number_ios=100, iodepth=32)
    assert (run.status, run.first["error"]) == (1, EIO), run.stderr


def test_continue_on_error_counts_each(failing: FailingDisk, fio: Fio) -> None:
    run = fio(
        failing("read"),
        rw="read",
        bs="4k",
        size="400k",
        iodepth=8,
        continue_on_error="io",
    )
    assert run.first["total_err"] == 100
    assert run.first["first_error"] == EIO


def test_continue_on_error_completes_the_rest(failing: FailingDisk, fio: Fio) -> None:
    run = fio(
        failing("read", once=True),
        rw="read",
        bs="4k",
        size="400k",
        iodepth=8,
        continue_on_error="io",
    )
    assert (run.first["read"]["total_ios"], run.first["total_err"]) == (100, 1)


def test_ignore_error_passes_over_what_it_names(failing: FailingDisk, fio: Fio) -> None:
    run = fio(failing("read"), rw="read", bs="4k", size="400k", iodepth=8, ignore_error="EIO")
    assert run.status == 0, run.stderr


def test_a_request_that_fails_at_depth_1_is_not_repeated(failing: FailingDisk, fio: Fio) -> None:
    run = fio(failing("read"), rw="read", bs="4k", iodepth=1, number_ios=10)
    assert run.first["read"]["total_ios"] <= 1


def test_flushes_that_fail_are_told_once(failing: FailingDisk, fio: Fio) -> None:
    run = fio(failing("flush"), rw="write", bs="4k", size="400k", fsync=1, continue_on_error="all")
    assert len(sentences(run)) == 1
    assert run.first["total_err"] >= 99

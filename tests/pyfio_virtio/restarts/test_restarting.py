# SPDX-License-Identifier: GPL-2.0-or-later
"""A back-end that is killed and started again, and the memory of its disk."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

import pyfio_virtio
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.backends.unix_sockets import listener
from pyfio_virtio.errors import PyfioVirtioError, UsageError
from pyfio_virtio.restarts.restarting import Command, own_backend
from pyfio_virtio.restarts.trial import Plan
from tests.waiting import kill

SPEC = BackendSpec(size_bytes=1 << 20)


def test_a_disk_in_memory_outlives_its_back_end(private: Path) -> None:
    with own_backend(SPEC, 0, print) as own:
        first = listener(own.socket)
        with pyfio_virtio.open(own.socket) as disk:
            disk.pwrite(b"kept", 1000)
        own.restart()
        assert listener(own.socket) != first
        with pyfio_virtio.open(own.socket) as disk:
            assert disk.pread(4, 1000) == b"kept"
    assert not list(private.glob("pyfio-virtio/*"))


def test_a_back_end_that_ended_by_itself_is_told(private: Path) -> None:
    with own_backend(SPEC, 0, print) as own:
        process = listener(own.socket)
        assert process
        kill(process)
        with pytest.raises(PyfioVirtioError, match="ended by itself"):
            own.restart()


def test_a_disk_that_turns_out_to_be_read_only_is_refused(private: Path) -> None:
    plan = Plan(1, (0, 0), 0, None, 4096, 1, 1, 50, 0, 1)
    spec = replace(SPEC, storage=f"memory:{private / 'disk'}")
    with own_backend(spec, 0, print):
        pass
    with (
        own_backend(replace(spec, read_only=True), 0, print) as own,
        pyfio_virtio.open(own.socket) as disk,
        pytest.raises(UsageError, match="read-only"),
    ):
        plan.blocks_on(disk)


def test_a_command_that_fails_without_a_word_is_told(private: Path) -> None:
    with pytest.raises(PyfioVirtioError, match="'exit 3' failed with status 3"):
        Command("disk.sock", "exit 3", 5.0).restart()


def test_a_command_that_prints_without_end_does_not_fill_the_disk(
    private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, cut = list[int](), os.ftruncate

    def noted(file: int, size: int) -> None:
        sizes.append(size)
        cut(file, size)

    monkeypatch.setattr(os, "ftruncate", noted)
    with pytest.raises(PyfioVirtioError, match=r"within 0.3 s \(--reconnect-timeout\)"):
        Command("disk.sock", "exec yes", 0.3).restart()
    assert sizes
    assert not list(private.glob("pyfio-virtio/*"))

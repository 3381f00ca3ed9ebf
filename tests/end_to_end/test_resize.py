# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks that grow or shrink while fio and the library use them."""

import json
import socket as sockets
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pyfio_virtio.disk.disk import open_disk
from pyfio_virtio.errors import PyfioVirtioError
from tests.conftest import Option
from tests.end_to_end.conftest import DISK_BYTES, StartFio
from tests.end_to_end.refusal import sentences
from tests.end_to_end.test_faults import EIO, StartFaulty, faulty
from tests.waiting import wait_until

__all__ = ["faulty"]  # a fixture

READS: dict[str, Option] = {"rw": "randread", "bs": "4k", "iodepth": 8, "time_based": True}
HALF = DISK_BYTES // 2
SHRANK = f"the disk shrank from {DISK_BYTES} to {HALF} bytes while it is in use"
LIES_BEYOND = f"lies beyond the end of the disk, which shrank from {DISK_BYTES} to {HALF} bytes"


@pytest.mark.parametrize("wait", ["event", "busy"])
def test_a_disk_that_shrinks_ends_the_run_with_both_sizes(
    faulty: StartFaulty, start_fio: StartFio, wait: str
) -> None:
    backend = faulty("delay:for=1us", serve="event")
    running = start_fio(backend.settings.socket_path, wait=wait, runtime=60, **READS)
    wait_until(lambda: int(backend.statistics()["reads"]) > 100)
    assert json.loads(backend.command(f"resize {HALF}"))["told"] >= 1
    run = running.finish()
    assert run.first["error"] == EIO
    assert LIES_BEYOND in run.stderr
    assert SHRANK in run.stdout


def test_a_disk_that_grows_is_used_up_to_its_former_end(
    faulty: StartFaulty, start_fio: StartFio
) -> None:
    backend = faulty("delay:for=20ms", serve="event")
    backend.command(f"resize {HALF}")
    running = start_fio(backend.settings.socket_path, runtime=1, **READS)
    wait_until(lambda: int(backend.statistics()["reads"]) > 10)
    backend.command(f"resize {DISK_BYTES}")
    run = running.finish()
    assert (run.first["error"], sentences(run)) == (0, [])
    assert f"the disk grew from {HALF} to {DISK_BYTES} bytes" in run.stdout


def test_the_library_fails_beyond_the_end_and_works_before_it(faulty: StartFaulty) -> None:
    backend = faulty("")
    with open_disk(backend.settings.socket_path) as disk:
        backend.command(f"resize {HALF}")
        with pytest.raises((OSError, PyfioVirtioError), match=LIES_BEYOND):
            disk.pread(4096, HALF)
        assert disk.pread(4096, HALF - 4096) == bytes(4096)
        assert disk.size == DISK_BYTES


def test_qemu_s_disk_may_be_resized(
    qsd_with: Callable[..., str], start_fio: StartFio, private: Path
) -> None:
    """Releases before 8.1 do not tell of a new size, so what lies beyond the end is an I/O
    error."""
    (private / "image").write_bytes(bytes(DISK_BYTES))
    monitor = f"socket,id=qmp,path={private}/qmp,server=on,wait=off"
    socket = qsd_with(
        f"driver=raw,node-name=disk,file.driver=file,file.filename={private}/image",
        options=("--chardev", monitor, "--monitor", "chardev=qmp"),
    )
    running = start_fio(socket, runtime=60, **READS)
    running.wait_until_served(_process_with(f"{private}/image"))
    with sockets.socket(sockets.AF_UNIX) as connected:
        connected.connect(f"{private}/qmp")
        stream = connected.makefile("rw")
        stream.readline()
        for command, arguments in (
            ("qmp_capabilities", {}),
            ("block_resize", {"node-name": "disk", "size": 2 * DISK_BYTES}),
            ("block_resize", {"node-name": "disk", "size": HALF}),
        ):
            stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
            stream.flush()
            assert "return" in json.loads(stream.readline())
    run = running.finish()
    assert run.first["error"] == EIO
    assert LIES_BEYOND in run.stderr or "the back-end reports an I/O error for a" in run.stderr


def _process_with(path: str) -> int:
    """The only one that names the path among its arguments."""
    processes = psutil.process_iter(["cmdline"])
    (pid,) = [each.pid for each in processes if path in " ".join(each.info["cmdline"] or [])]
    return pid

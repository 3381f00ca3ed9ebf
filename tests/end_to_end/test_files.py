# SPDX-License-Identifier: GPL-2.0-or-later
"""Jobs on a file without the page cache: data is right, by io_uring and by threads, and after a job
was killed.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from pyfio_virtio.backends import control
from pyfio_virtio.backends.backends import Backend
from pyfio_virtio.errors import PyfioVirtioError
from tests.conftest import Fio, Options, StartBackend, as_arguments, defaults
from tests.waiting import kill, wait_until

MIB = 1 << 20


@pytest.fixture(params=["io_uring", "threads"])
def served(request: pytest.FixtureRequest, builtin: StartBackend, private: Path) -> Backend:
    """A disk of 16 MiB, if this is possible here."""
    image = private / "image"
    image.write_bytes(bytes(16 * MIB))
    options = ("direct=on", f"aio={request.param}", f"control={private}/control")
    try:
        return builtin(storage=f"file:{image}", options=options)
    except PyfioVirtioError as error:
        pytest.skip(f"not possible here: {error}")


def postponed(served: Backend, private: Path) -> int:
    (answer,) = control.ask(str(private / "control"), served.process.pid, "it", ["stats"])
    return int(json.loads(answer)["postponed"])


def test_every_block_is_read_as_it_was_written(served: Backend, fio: Fio, private: Path) -> None:
    """Flushes are among the writes, and the back-end serves until a job that was killed is gone."""
    load: Options = {
        "rw": "randwrite",
        "bs": "4k",
        "iodepth": 32,
        "time_based": True,
        "runtime": 60,
    }
    line = as_arguments({**defaults(served.socket), **load})
    environment = {**os.environ, **fio.environment()}
    with subprocess.Popen(["fio", "--name=killed", *line], env=environment) as killed:
        try:
            wait_until(lambda: postponed(served, private) > 100, "writes in flight")
        finally:
            kill(killed.pid)
    run = fio(
        served.socket, rw="randwrite", bsrange="512-64k", iodepth=32, verify="crc32c", fsync=50
    )
    assert run.status == 0, run.stderr
    assert run.first["read"]["total_ios"] == run.first["write"]["total_ios"] > 100

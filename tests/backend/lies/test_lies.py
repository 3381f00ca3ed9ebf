# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever one client does, the back-end goes on, and serves others; see client.py.

All rows about virtio-blk meet one process, and those about virtio-scsi another one. After each of
them its neighbour is still served, and the process has no more files open than before.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.backend.conftest import wait_until_served
from tests.backend.file_kinds import end_lingering
from tests.backend.frontend import Frontend
from tests.backend.lies import messages, rings, scsi
from tests.backend.lies.client import Lie, Served, tell

TABLE = [*messages.LIES, *rings.LIES, *scsi.LIES]


@contextmanager
def serve(*options: str, queues: int) -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="backend-") as folder:
        path = str(Path(folder) / "disk.sock")
        command = [sys.executable, "-m", "pyfio_virtio.backends.builtin", "--socket", path]
        command += ["--size", "1M", "--serve", "event", *options]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            wait_until_served(path, process)
            with Frontend(path, queues=queues) as neighbour:
                yield Served(process, path, neighbour)
            process.terminate()
            _, said = process.communicate()
        assert process.returncode == 0, said


@pytest.fixture(scope="module")
def blk() -> Iterator[Served]:
    with serve(queues=1) as served:
        yield served


@pytest.fixture(scope="module")
def controller() -> Iterator[Served]:
    with serve("--device", "scsi", queues=3) as served:
        yield served


def test_every_row_has_a_name_of_its_own() -> None:
    names = [lie.name for lie in TABLE]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("lie", TABLE, ids=lambda lie: lie.name)
def test_a_lie(request: pytest.FixtureRequest, lie: Lie) -> None:
    served: Served = request.getfixturevalue("controller" if lie.scsi else "blk")
    fds = served.fds()
    then = tell(served, lie)
    try:
        served.check(fds)
    finally:
        end_lingering()
    assert then == lie.then

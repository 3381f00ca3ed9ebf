# SPDX-License-Identifier: GPL-2.0-or-later
"""bench/python_loop.py: each way reads, and what it measured is read as if fio had written it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench import python_loop
from pyfio_virtio.backends.backends import Backend
from pyfio_virtio.fio.directions import summarise
from pyfio_virtio.fio.output import read_fio_json


def test_each_way_reads(serve: Callable[..., Backend], tmp_path: Path) -> None:
    backend = serve("builtin", storage="null")
    for way in (*python_loop.WAYS, python_loop.TASKS):
        result = tmp_path / f"{way}.json"
        command = [sys.executable, python_loop.__file__, str(result), way, "32", str(1 << 20)]
        environment = {**os.environ, "DISK": backend.socket}
        subprocess.run([*command, "200", "event"], env=environment, check=True)
        [job] = read_fio_json(result).jobs
        total = summarise(job.directions.values())
        assert total.ios > 0
        assert total.iops > 0
        assert total.p50_ns is not None

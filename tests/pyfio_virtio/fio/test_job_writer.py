# SPDX-License-Identifier: GPL-2.0-or-later
"""fio/job_writer.py: job files from options."""

import os
import subprocess
from itertools import pairwise
from pathlib import Path

from pyfio_virtio.engine import engine
from pyfio_virtio.fio import fio, job
from pyfio_virtio.fio.job_writer import JobOptions, write_job

EVERYTHING = JobOptions(
    socket="/run/a:b",
    rw="randrw",
    numjobs=4,
    size="50%",
    wait="sleepy",
    sleepy_poll=20,
    name="all",
)


def test_the_job_says_what_was_asked_for() -> None:
    [section] = job.parse(write_job(EVERYTHING)).sections()
    expected = {"rw": "randrw", "numjobs": "4", "size": "50%", "wait": "sleepy", "runtime": "10"}
    assert section.name == "all"
    assert expected.items() <= section.options.items()


def test_what_was_not_asked_for_is_left_to_the_engine() -> None:
    [section] = job.parse(write_job(JobOptions())).sections()
    assert not {"wait", "sleepy_poll", "size", "numjobs"} & set(section.options)


def test_each_option_has_a_comment() -> None:
    lines = write_job(EVERYTHING).splitlines()
    for before, line in pairwise(lines):
        if "=" in line and not line.startswith(("#", "runtime")):
            assert before.startswith("#"), line


def test_fio_takes_every_line(tmp_path: Path) -> None:
    path = tmp_path / "job.fio"
    path.write_text(write_job(EVERYTHING))
    environment = {**os.environ, "LD_LIBRARY_PATH": fio.library_path(engine.folder())}
    parsed = subprocess.run(
        ["fio", "--parse-only", str(path)], capture_output=True, env=environment, check=False
    )
    assert (parsed.returncode, parsed.stderr) == (0, b"")

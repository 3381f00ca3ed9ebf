# SPDX-License-Identifier: GPL-2.0-or-later
"""The watcher of used rings, a back-end and a job, a thread each: watch_stress.c.

At full speed, with the thread sanitizer, which finds what is read without order, and with the
address sanitizer, which finds a watcher that outlives the rings.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.stress.test_ring_stress import BUILDS, ENGINE, compile_program, require_sanitizer

FLAGS = {**BUILDS, "asan": ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover")}
LIVES, STEPS = 10, {"fast": 200, "tsan": 30, "asan": 30}
SOURCES = [
    Path(__file__).parent / "watch_stress.c",
    ENGINE / "base" / "error.c",
    ENGINE / "fio" / "used_watcher.c",
    *sorted((ENGINE / "ring").glob("*.c")),
]


@pytest.fixture(scope="module", params=FLAGS)
def build(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    name: str = request.param
    if name != "fast":
        require_sanitizer(tmp_path_factory.mktemp("empty"), FLAGS[name])
    return name


@pytest.mark.timeout(600)
@pytest.mark.parametrize("indirect", ["", "indirect"], ids=["direct", "indirect"])
def test_a_watcher_sees_what_is_published_and_is_gone_before_the_rings(
    build: str, tmp_path: Path, indirect: str
) -> None:
    program = tmp_path / "watch_stress"
    complaint = compile_program(program, FLAGS[build], *SOURCES)
    assert not complaint, complaint
    cpu = max(os.sched_getaffinity(0))
    command = [str(program), str(LIVES), str(STEPS[build]), str(cpu), indirect]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")

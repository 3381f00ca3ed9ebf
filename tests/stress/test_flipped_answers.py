# SPDX-License-Identifier: GPL-2.0-or-later
"""A back-end that changes an answer while it is judged: flipped_answers.c.

Once without optimisation, where the program reads memory as often as the source does, and once with
the thread sanitizer, which finds plain accesses to shared memory.
"""

import subprocess
from pathlib import Path

import pytest

from tests.stress.test_ring_stress import ENGINE, compile_program, require_sanitizer

# Of each of the two values of a byte.
VERDICTS = {"plain": 20_000, "tsan": 2_000}
FLAGS = {"plain": ("-O0",), "tsan": ("-O1", "-fsanitize=thread")}
SOURCES = [
    Path(__file__).parent / "flipped_answers.c",
    ENGINE / "base" / "error.c",
    *(ENGINE / "disk" / name for name in ("request.c", "scsi_answer.c", "sense.c")),
    *sorted((ENGINE / "ring").glob("*.c")),
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("build", FLAGS)
def test_each_verdict_is_about_one_answer(tmp_path: Path, build: str) -> None:
    if build == "tsan":
        require_sanitizer(tmp_path, FLAGS[build])
    program = tmp_path / "flipped_answers"
    complaint = compile_program(program, FLAGS[build], *SOURCES)
    assert not complaint, complaint
    command = [str(program), str(VERDICTS[build])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

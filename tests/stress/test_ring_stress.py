# SPDX-License-Identifier: GPL-2.0-or-later
"""A driver and a device, a thread each, over one virtqueue: ring_stress.c.

With the thread sanitizer, which finds shared memory that is touched without order, and at full
speed, where a store may be overtaken by a load. A side that sleeps through a kick or a call says so
and fails the run.
"""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENGINE = ROOT / "engine"
# The 16-bit indices wrap fifteen times.
REQUESTS = 1_000_000
SOURCES = [
    Path(__file__).parent / "ring_stress.c",
    ENGINE / "base" / "error.c",
    *sorted((ENGINE / "ring").glob("*.c")),
]
BUILDS = {"fast": ("-O2",), "tsan": ("-O1", "-fsanitize=thread")}


def compile_program(target: Path, flags: tuple[str, ...], *sources: Path) -> str:
    """What the compiler has to say."""
    compiler = shlex.split(os.environ.get("CC", "gcc"))
    options = ("-std=gnu11", "-D_GNU_SOURCE", "-g", "-Wall", "-Wextra", "-pthread")
    command = [*compiler, *options, *flags, f"-I{ENGINE}", *map(str, sources), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else ""


def require_sanitizer(folder: Path, flags: tuple[str, ...]) -> None:
    source = folder / "empty.c"
    source.write_text("int main(void) { return 0; }\n")
    if complaint := compile_program(folder / "empty", flags, source):
        pytest.skip(f"no thread sanitizer here: {complaint.splitlines()[-1]}")
    done = subprocess.run([folder / "empty"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the thread sanitizer does not run here: {done.stderr.splitlines()[0]}")


@pytest.fixture(scope="module", params=BUILDS)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    flags = BUILDS[request.param]
    if request.param == "tsan":
        require_sanitizer(folder, flags)
    target = folder / "ring_stress"
    complaint = compile_program(target, flags, *SOURCES)
    assert not complaint, complaint
    return target


@pytest.mark.timeout(600)
@pytest.mark.parametrize("event_idx", ["", "event_idx"], ids=["flags", "event_idx"])
@pytest.mark.parametrize("indirect", ["", "indirect"], ids=["direct", "indirect"])
def test_no_kick_call_or_byte_is_lost_between_two_threads(
    program: Path, indirect: str, event_idx: str
) -> None:
    command = [str(program), str(REQUESTS), "7", indirect, event_idx]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = [int(number) for number in re.findall(r"\d+", done.stdout)]
    assert figures[0] == REQUESTS
    assert all(figures), f"something was never exercised: {done.stdout}"

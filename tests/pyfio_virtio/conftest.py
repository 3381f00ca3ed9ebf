# SPDX-License-Identifier: GPL-2.0-or-later
"""A sweep that ran undisturbed, once for all tests that look at one.

`swept` is its folder; SWEEP are the arguments that made it, but for -o. Nobody changes it.
`main_here(...)` runs a command in this process, where pandas is imported already: for commands
that start nothing.
`start(...)` starts the command, to be disturbed, and ends it with the test.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyfio_virtio.cli.main import main
from pyfio_virtio.engine import engine
from tests.conftest import ROOT, Finished, RunCommand, run_to_end

# Two points and their two controls, twice: as short as runs can be.
SWEEP = (
    *("sweep", "--sleepy-poll", "0,100", "--iodepth", "4", "--runtime", "0.2"),
    *("--ramp-time", "0", "--repeats", "2", "--seed", "1"),
)


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(private: Path) -> Iterator[Start]:
    """Starts the command, to be disturbed. Its state lies in `private`."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "pyfio_virtio", *arguments],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def swept() -> Iterator[Path]:
    private = Path(tempfile.mkdtemp(prefix="pv-"))
    folder = private / "out"
    ended = run_to_end(
        [sys.executable, "-m", "pyfio_virtio", *SWEEP, "-o", str(folder)],
        {
            "PYTHONPATH": str(ROOT),
            "XDG_RUNTIME_DIR": str(private),
            engine.FOLDER_VARIABLE: str(engine.folder()),
        },
        folder=private,
    )
    assert ended.status == 0, ended.stderr
    yield folder
    shutil.rmtree(private)


@pytest.fixture
def main_here(
    private: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> RunCommand:
    def run(*arguments: str) -> Finished:
        monkeypatch.setattr(sys, "argv", ["pyfio-virtio", *arguments])
        monkeypatch.chdir(private)
        with pytest.raises(SystemExit) as ending:
            main()
        stdout, stderr = capsys.readouterr()
        return Finished(int(ending.value.code or 0), stdout, stderr)

    return run

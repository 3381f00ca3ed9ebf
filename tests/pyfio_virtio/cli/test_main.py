# SPDX-License-Identifier: GPL-2.0-or-later
"""cli/main.py: the command as a whole, and how errors end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pyfio_virtio.engine import engine
from tests.conftest import ROOT, RunCommand

COMMANDS = ["backend", "completion", "doctor", "env", "job", "probe", "run"]
# They take a tenth of a second and more each; --help needs none of them.
HEAVY = ["_cffi_backend", "fio_virtio", "matplotlib", "numpy", "pandas", "rich"]


def test_help_lists_the_commands(command: RunCommand) -> None:
    shown = command("--help")
    assert shown.status == 0
    assert all(f"\n  {name} " in shown.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", [*COMMANDS, "backend start", "backend list", "backend stop"])
def test_each_command_has_help(command: RunCommand, name: str) -> None:
    assert command(*name.split(), "--help").status == 0


def test_help_loads_nothing_heavy() -> None:
    program = "import sys, pyfio_virtio.cli; print(*[m for m in sys.argv[1:] if m in sys.modules])"
    shown = subprocess.run(
        [sys.executable, "-c", program, *HEAVY],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert shown.stdout.strip() == ""


def test_an_interrupt_while_modules_are_loaded_ends_it_quietly(private: Path) -> None:
    """The module that is loaded is one of the test's, which interrupts the process."""
    (private / "click.py").write_text("import os\nos.kill(os.getpid(), 2)\nimport nothing\n")
    ended = subprocess.run(
        [sys.executable, "-m", "pyfio_virtio", "--help"],
        capture_output=True,
        text=True,
        cwd=private,
        env={**os.environ, "PYTHONPATH": f"{private}:{ROOT}"},
    )
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")


@pytest.mark.parametrize("name", ["analysis", "jobs", "engine_sources"])
@pytest.mark.parametrize("words", ["report sweep-results", "run", "sweep --dry-run"])
def test_a_checkout_in_which_a_link_became_a_text_file_is_named(
    name: str, words: str, private: Path
) -> None:
    package = private / "pyfio_virtio"
    package.mkdir()
    for entry in (ROOT / "pyfio_virtio").iterdir():
        (package / entry.name).symlink_to(entry)
    (package / name).unlink()
    (package / name).write_text(f"../{name}")
    ended = subprocess.run(
        [sys.executable, "-m", "pyfio_virtio", *words.split()],
        capture_output=True,
        text=True,
        cwd=private,
        env={**os.environ, "PYTHONPATH": str(private)},
    )
    assert ended.returncode == 3
    [line] = ended.stderr.splitlines()
    assert f"cannot use {package / name}: it must be a symbolic link" in line


def test_the_version_is_shown(command: RunCommand) -> None:
    assert command("--version").stdout.startswith("pyfio-virtio ")


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("nonsense", 2),
        ("run --nonsense", 2),
        ("run no-such-job.fio", 2),
        ("run --backend tape", 2),
        ("run --storage tape", 2),
        ("run --disk-size much", 2),
        ("run --fio no-such-fio", 3),
        ("run -- stray", 2),
        ("backend start --block-size 513", 2),
        ("backend start --cpus 1000", 2),
        ("backend start --name ../x", 2),
        ("backend stop", 2),
        ("backend stop nobody", 2),
        ("job --wait busy --sleepy-poll 5", 2),
        ("job -o /no/such/folder/a.fio", 2),
        ("probe /no/such/socket", 2),
        ("probe /etc/passwd", 2),
        ("completion tcsh", 2),
        ("run /", 2),
        ("run -- --name=a --description=a;b", 2),
        ("run --socket /tmp/a#b --yes", 2),
    ],
)
def test_what_goes_wrong_is_one_line_and_a_status(
    command: RunCommand, line: str, status: int
) -> None:
    ended = command(*line.split())
    assert (ended.status, ended.stdout) == (status, "")
    assert ended.stderr.startswith("pyfio-virtio: ")
    assert ended.stderr.count("\n") == 1


def test_a_reader_that_left_is_no_error(command: RunCommand) -> None:
    line = [sys.executable, "-m", "pyfio_virtio", "job"]
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as gone:
        ended = subprocess.run(
            line, stdout=gone, stderr=subprocess.PIPE, check=False, cwd=ROOT, text=True
        )
    assert "Traceback" not in ended.stderr


def test_env_is_the_line_that_lets_fio_find_the_engine(command: RunCommand) -> None:
    line = command("env", LD_LIBRARY_PATH="").stdout
    shell = subprocess.run(
        ["sh", "-c", f"{line} fio --enghelp={engine.NAME}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "sleepy_poll" in shell.stdout


def test_env_names_no_engine_that_fio_would_refuse(command: RunCommand, tmp_path: Path) -> None:
    fio = tmp_path / "fio"
    fio.write_text("#!/bin/sh\necho fio-3.99\n")
    fio.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    # No build of the engine is named, and none is in the cache.
    unset = {engine.FOLDER_VARIABLE: "", "XDG_CACHE_HOME": str(tmp_path)}
    done = command("env", PATH=path, **unset)
    assert (done.status, done.stdout) == (3, "")
    assert "build-engine" in done.stderr


def test_env_can_be_evaluated_twice(command: RunCommand) -> None:
    line = command("env", LD_LIBRARY_PATH="/a").stdout
    held = line.strip().removeprefix("export LD_LIBRARY_PATH=")
    assert command("env", LD_LIBRARY_PATH=held).stdout == line


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_code_for_the_shell(command: RunCommand, shell: str) -> None:
    shown = command("completion", shell)
    assert "_PYFIO_VIRTIO_COMPLETE" in shown.stdout


def test_bash_completes_commands(command: RunCommand) -> None:
    shown = command(
        _PYFIO_VIRTIO_COMPLETE="bash_complete", COMP_WORDS="pyfio-virtio ba", COMP_CWORD="1"
    )
    assert shown.stdout == "plain,backend\n"


def test_a_folder_that_cannot_be_made_is_one_line(command: RunCommand, tmp_path: Path) -> None:
    ended = command("run", XDG_RUNTIME_DIR=str(tmp_path / "no" / "folder"))
    assert ended.status == 3
    assert ended.stderr.splitlines()[-1].startswith("pyfio-virtio: cannot make the folder")
    assert "Traceback" not in ended.stderr

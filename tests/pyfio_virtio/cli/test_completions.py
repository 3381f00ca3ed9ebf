# SPDX-License-Identifier: GPL-2.0-or-later
"""What a shell offers: click's answers, and those of a real bash."""

import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, RunCommand

BIN = ROOT / "build" / "venv" / "bin"


def offered(command: RunCommand, line: str) -> list[str]:
    """What is offered for the last word of the line."""
    place = str(len(line.split(" ")) - 1)
    ended = command(
        _PYFIO_VIRTIO_COMPLETE="bash_complete", COMP_WORDS=line.replace(" ", "\n"), COMP_CWORD=place
    )
    assert ended.stderr == ""
    return ended.stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("pyfio-virtio restart-t", ["plain,restart-test"]),
        ("pyfio-virtio backend st", ["plain,start", "plain,stats", "plain,stop"]),
        ("pyfio-virtio run --cou", ["plain,--counters"]),
        ("pyfio-virtio verify --wait ad", ["plain,adaptive"]),
        ("pyfio-virtio sweep --wait busy,e", ["plain,busy,event"]),
        ("pyfio-virtio run lat", ["plain,latency"]),
        ("pyfio-virtio run --backend q", ["plain,qsd"]),
        ("pyfio-virtio run --backend n", ["plain,none"]),
        ("pyfio-virtio sweep --backend n", ["file,n"]),
        ("pyfio-virtio run --socket /tmp/v", ["file,/tmp/v"]),
        ("pyfio-virtio report ou", ["file,ou"]),
        ("pyfio-virtio results list ou", ["file,ou"]),
    ],
)
def test_the_word_is_completed(command: RunCommand, line: str, words: list[str]) -> None:
    assert offered(command, line) == words


def test_a_job_file_is_offered_beside_the_bundled_jobs(command: RunCommand, private: Path) -> None:
    (private / "late.fio").touch()
    assert offered(command, "pyfio-virtio run lat") == ["plain,latency", "plain,late.fio"]


def test_the_name_of_a_back_end_that_runs_is_completed(command: RunCommand) -> None:
    assert command("backend", "start", "--name", "completed").status == 0
    try:
        assert offered(command, "pyfio-virtio backend stop comp") == ["plain,completed"]
    finally:
        assert command("backend", "stop", "completed").status == 0


def test_bash_completes_a_command(command: RunCommand, private: Path) -> None:
    (private / "bash").write_text(command("completion", "bash").stdout)
    program = (
        "source ./bash; complete -p pyfio-virtio\n"
        "COMP_WORDS=(pyfio-virtio explain --wait b); COMP_CWORD=3\n"
        '_pyfio_virtio_completion pyfio-virtio; echo "${COMPREPLY[@]}"\n'
    )
    ended = subprocess.run(
        ["bash", "--norc", "-c", program],
        cwd=private,
        env={"PATH": f"{BIN}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.splitlines() == [
        "complete -o nosort -F _pyfio_virtio_completion pyfio-virtio",
        "busy",
    ]
    assert ended.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script(command: RunCommand, shell: str) -> None:
    ended = command("completion", shell)
    assert (ended.status, "_PYFIO_VIRTIO_COMPLETE" in ended.stdout) == (0, True)

# SPDX-License-Identifier: GPL-2.0-or-later
"""backends/control.py: what a process may do to us that listens where a back-end should."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyfio_virtio.backends import control
from pyfio_virtio.errors import PyfioVirtioError, UsageError

Serve = Callable[[str], tuple[str, int]]

# A process that listens, and does `answer` with each connection.
SERVER = """
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print(flush=True)
while True:
    connection, _ = listener.accept()
    try:
        {answer}
    except OSError:
        pass
"""


@pytest.fixture
def serve(private: Path) -> Iterator[Serve]:
    """Starts a process with these statements; returns its socket and its number."""
    started = []

    def run(answer: str) -> tuple[str, int]:
        path = str(private / "control")
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER.format(answer=answer), path], stdout=subprocess.PIPE
        )
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return path, process.pid

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(autouse=True)
def short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "LIMIT_S", 1.0)


def test_lines_are_answered_in_turn(serve: Serve) -> None:
    path, pid = serve(
        "for line in connection.makefile(): connection.sendall(line.upper().encode())"
    )
    assert control.ask(path, pid, "it", ("one", "two")) == ["ONE", "TWO"]


def test_a_refusal_is_an_error_with_the_reason(serve: Serve) -> None:
    path, pid = serve(r'connection.sendall(b"error: no such thing\n"); connection.recv(99)')
    with pytest.raises(control.RefusedError, match="does not accept 'x': no such thing"):
        control.ask(path, pid, "it", ("x",))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("keep = connection, connection.recv(99), connection.recv(99)", "does not answer"),
        ('while True: connection.sendall(b"x" * 65536)', "a longer answer than any"),
        (
            'import time\n        while True: connection.sendall(b"x"); time.sleep(0.1)',
            "does not answer",
        ),
        ("connection.close()", "gave no answer and hung up|Broken pipe|reset by peer"),
        ('connection.sendall(b"half"); connection.close()', "hung up|reset by peer|Broken pipe"),
    ],
)
def test_an_answer_has_limits(serve: Serve, answer: str, words: str) -> None:
    path, pid = serve(answer)
    with pytest.raises(PyfioVirtioError, match=words) as failure:
        control.ask(path, pid, "it", ("stats",))
    assert len(str(failure.value)) < 300


def test_characters_that_command_a_terminal_are_replaced(serve: Serve) -> None:
    path, pid = serve(r'connection.sendall(b"a\x1b[2J\xff\n"); connection.recv(99)')
    assert control.ask(path, pid, "it", ("stats",)) == ["a\ufffd[2J\ufffd"]


def test_another_process_gets_no_command(serve: Serve) -> None:
    path, pid = serve("connection.sendall(connection.recv(99))")
    with pytest.raises(PyfioVirtioError, match=f"served by process {pid} of user {os.geteuid()}"):
        control.ask(path, os.getpid(), "it", ("stats",))


def test_nobody_listens(private: Path) -> None:
    path = str(private / "control")
    with pytest.raises(PyfioVirtioError, match="No such file"):
        control.ask(path, 1, "it", ("stats",))
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path)
        with pytest.raises(PyfioVirtioError, match="Connection refused"):
            control.ask(path, 1, "it", ("stats",))


def test_a_process_that_accepts_nobody_is_not_waited_for(private: Path) -> None:
    path = str(private / "control")
    with socket.socket(socket.AF_UNIX) as full, socket.socket(socket.AF_UNIX) as first:
        full.bind(path)
        full.listen(0)
        first.connect(path)
        with pytest.raises(PyfioVirtioError, match="does not answer"):
            control.ask(path, os.getpid(), "it", ("stats",))


@pytest.mark.parametrize("line", ["fault lose\nfault die", "fault \x00", "x" * 512])
def test_a_line_is_one_line(private: Path, line: str) -> None:
    with pytest.raises(UsageError, match="cannot send"):
        control.ask(str(private / "control"), 1, "it", ("stats", line))

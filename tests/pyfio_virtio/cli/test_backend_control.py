# SPDX-License-Identifier: GPL-2.0-or-later
"""cli/backend_control.py: commands for back-ends that run, by the real command."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyfio_virtio.machine.process import Process
from tests.conftest import ROOT, Finished, Fio, RunCommand
from tests.waiting import go_on, kill, stop

PATIENCE_S = 20.0


@pytest.fixture
def backend(command: RunCommand) -> Iterator[RunCommand]:
    """pyfio-virtio backend ...; all that it leaves running ends with the test."""

    def run(*arguments: str) -> Finished:
        return command("backend", *arguments)

    yield run
    run("stop", "--all")


def _start(backend: RunCommand, *arguments: str) -> str:
    """The socket of a small disk."""
    ended = backend("start", *arguments, "--storage", "null", "--disk-size", "64M")
    assert ended.status == 0, ended.stderr
    return ended.stdout.strip()


def _record(backend: RunCommand, name: str) -> dict[str, object]:
    listed = json.loads(backend("list", "--json").stdout)
    [found] = [each for each in listed if each["name"] == name]
    assert isinstance(found, dict)
    return found


def _process(backend: RunCommand, name: str) -> Process:
    record = _record(backend, name)
    pid, ticks = record["pid"], record["start_ticks"]
    assert isinstance(pid, int)
    assert isinstance(ticks, int)
    return Process(pid, ticks)


def _is_refused(ended: Finished, status: int, words: str) -> None:
    assert (ended.status, ended.stdout, ended.stderr.count("\n")) == (status, "", 1), ended
    assert re.search(words, ended.stderr), ended.stderr


# ---- which back-end ------------------------------------------------------------------------------


def test_a_name_a_socket_or_nothing_mean_the_same(backend: RunCommand) -> None:
    socket = _start(backend)
    for words in ((), ("builtin-0",), (socket,)):
        assert json.loads(backend("stats", *words, "--json").stdout)["name"] == "builtin-0"
        assert backend("latency", *words, "5us").stderr == "builtin-0: latency 5us\n"
        assert backend("latency", *words).stdout == "5us\n"
        assert backend("resize", *words, "1M").stderr == "builtin-0: 1 MiB\n"
        assert backend("fault", *words, "error", "lose").status == 0
        assert backend("fault", *words).stdout.count("\n") == 3
        assert backend("fault", *words, "clear").stderr == "builtin-0: no faults\n"


EACH = ("logs", "stats", "fault list", "latency", "latency 1us", "resize 1M", "fault error")


@pytest.mark.parametrize("words", EACH)
def test_without_a_back_end_there_is_a_sentence(backend: RunCommand, words: str) -> None:
    _is_refused(backend(*words.split()), 2, "no back-end runs; start one")


@pytest.mark.parametrize("words", EACH)
def test_of_several_one_must_be_named(backend: RunCommand, words: str) -> None:
    _start(backend)
    _start(backend, "qsd")
    _is_refused(backend(*words.split()), 2, "2 back-ends: builtin-0, qsd-0; name one")


@pytest.mark.parametrize(
    "words", ["logs X", "stats X", "latency X 1us", "resize X 1M", "fault X error", "latency X"]
)
def test_an_unknown_name_is_told_with_the_known_ones(backend: RunCommand, words: str) -> None:
    _start(backend)
    _is_refused(backend(*words.split()), 2, "X.*(known names: |the known ones are )builtin-0")


def test_a_socket_of_nobody_is_told_too(backend: RunCommand) -> None:
    _start(backend)
    _is_refused(backend("stats", "/nowhere"), 2, "no back-end is named /nowhere: known names: bu")


@pytest.mark.parametrize("words", ["stats", "fault", "fault lose", "latency", "latency 1us"])
def test_only_the_built_in_back_end_has_them(backend: RunCommand, words: str) -> None:
    _start(backend, "qsd")
    command, *values = words.split()
    _is_refused(backend(command, "qsd-0", *values), 2, "qsd-0 is qemu.*only the built-in")


def test_one_that_died_is_told_so(backend: RunCommand) -> None:
    _start(backend)
    process = _process(backend, "builtin-0")
    kill(process.pid)
    _is_refused(backend("stats", "builtin-0"), 1, "builtin-0 does not run: died")


def test_one_that_a_signal_stopped_is_told_so(backend: RunCommand) -> None:
    _start(backend)
    process = _process(backend, "builtin-0")
    stop(process.pid)
    _is_refused(backend("stats"), 1, f"a signal stopped its process {process.pid}; .*-CONT")
    go_on(process.pid)


def test_one_without_a_control_socket_is_told_so(backend: RunCommand) -> None:
    _start(backend, "--backend-option", "control=")
    _is_refused(backend("stats"), 2, "started without a control socket; stop it and start it")


def test_a_control_socket_of_the_users_is_used(backend: RunCommand, private: Path) -> None:
    _start(backend, "--backend-option", "control=here")
    assert (private / "here").is_socket()
    assert backend("stats").status == 0


def test_a_path_that_is_too_long_for_it_does_not_hinder_the_start(
    command: RunCommand, private: Path
) -> None:
    deep = private / ("d" * 80)
    deep.mkdir()
    where = {"XDG_RUNTIME_DIR": str(deep)}
    start = ("start", "--storage", "null", "--socket", str(private / "s"))
    assert command("backend", *start, **where).status == 0
    _is_refused(command("backend", "stats", **where), 2, "without a control socket")
    command("backend", "stop", "--all", **where)


def test_stop_removes_the_control_socket(backend: RunCommand, private: Path) -> None:
    _start(backend)
    folder = private / "pyfio-virtio" / "backend-builtin-0"
    assert (folder / "control").is_socket()
    backend("stop", "builtin-0")
    assert not folder.exists()


def test_names_are_completed(backend: RunCommand, command: RunCommand) -> None:
    _start(backend, "--name", "fast")
    _start(backend, "--name", "slow")
    for each in ("logs", "stats", "fault", "latency", "resize", "stop"):
        shown = command(
            *(),
            _PYFIO_VIRTIO_COMPLETE="bash_complete",
            COMP_WORDS=f"pyfio-virtio backend {each} f",
            COMP_CWORD="3",
        ).stdout
        assert "fast" in shown
        assert "slow" not in shown


# ---- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("latency 3601s", "the limit is 3600s"),
        ("latency -- -1us", "'-1us' is not a number like 20us"),
        ("latency 1us 2us 3us", "no back-end is named 1us|too many values"),
        ("latency trace:missing", "No such file"),
        ("latency trace:/dev/zero", "it is not a regular file"),
        ("resize 0", "can have 512 to 67108864 bytes"),
        ("resize 65M", "can have 512 to 67108864 bytes"),
        ("resize much", "'much' is not a size"),
        ("resize", "name the new SIZE"),
        ("resize 1M --disk 1", "disk 1 does not exist"),
        ("fault eror", "'eror' is unknown: use one of error, delay"),
        ("fault busy", "blk has no such answer"),
        ("fault lose --json", "--json prints the list"),
    ],
)
def test_a_value_that_cannot_be_is_refused_in_one_line(
    backend: RunCommand, words: str, reason: str
) -> None:
    _start(backend)
    _is_refused(backend(*words.split()), 2, reason)


@pytest.mark.parametrize("words", [("fault", ""), ("latency", " "), ("fault", "builtin-0", "")])
def test_an_empty_word_is_refused(backend: RunCommand, words: tuple[str, ...]) -> None:
    _start(backend)
    _is_refused(backend(*words), 2, "is empty")


def test_a_line_cannot_carry_a_second_command(backend: RunCommand) -> None:
    _start(backend)
    _is_refused(backend("fault", "error\nfault die"), 2, "it cannot be printed")


def test_a_trace_is_found_from_the_folder_of_the_command(
    backend: RunCommand, private: Path
) -> None:
    _start(backend)
    (private / "trace").write_text("5us\n")
    assert backend("latency", "trace:trace").status == 0
    assert backend("latency").stdout == f"trace:{private / 'trace'}\n"


def test_the_help_names_every_action_and_key(backend: RunCommand) -> None:
    """The sentences of the back-end list them all."""
    _start(backend)
    helped = backend("fault", "--help").stdout
    for wrong in ("x", "error:type=x", "error:x=1"):
        sentence = backend("fault", wrong).stderr.rpartition(": use ")[2]
        known = re.findall(r"[a-z]+(?:-[a-z]+)*", sentence.partition(";")[0])
        words = [each for each in known if each not in ("one", "of", "or")]
        assert len(words) > 5
        assert [each for each in words if not re.search(rf"\b{each}\b", helped)] == []


# ---- what they do --------------------------------------------------------------------------------


def test_stats_count_what_fio_did(backend: RunCommand, fio: Fio) -> None:
    done = fio(_start(backend), rw="randwrite", bs="4k", number_ios=256)
    assert done.status == 0, done.stderr
    shown = json.loads(backend("stats", "--json").stdout)
    assert (shown["writes"], shown["bytes_written"]) == (256, 1 << 20)
    assert shown["disk_bytes"] == [64 << 20]
    table = backend("stats").stdout
    assert re.search(r"^writes +256 +1\.0 MiB", table, re.MULTILINE)
    assert "discards" not in table


def test_faults_strike_are_listed_and_end(backend: RunCommand, fio: Fio) -> None:
    socket = _start(backend)
    assert backend("fault", "error:type=read,count=1").status == 0
    assert fio(socket, rw="read", bs="4k", number_ios=8).status != 0
    [listed] = json.loads(backend("fault", "--json").stdout)
    assert (listed["fault"], listed["applied"]) == ("error:type=read,count=1", 1)
    assert backend("fault", "none").status == 0
    assert fio(socket, rw="read", bs="4k", number_ios=8).status == 0


def test_a_latency_is_set_and_ends(backend: RunCommand, fio: Fio) -> None:
    socket = _start(backend)
    backend("latency", "20ms")
    slow = fio(socket, rw="read", bs="4k", number_ios=4)
    assert slow.first["read"]["clat_ns"]["min"] >= 20_000_000
    backend("latency", "off")
    assert backend("latency").stdout == "none\n"


def test_a_new_size_is_seen_by_the_next_client(backend: RunCommand, command: RunCommand) -> None:
    socket = _start(backend)
    assert backend("resize", "32M").stderr == "builtin-0: 32 MiB\n"
    shown = json.loads(command("probe", "--json", socket).stdout)
    assert shown["device"]["capacity_bytes"] == 32 << 20


# ---- logs ----------------------------------------------------------------------------------------


def _write_log(backend: RunCommand, text: bytes) -> None:
    Path(str(_record(backend, "builtin-0")["log"])).write_bytes(text)


@pytest.mark.parametrize("kind", ["builtin", "qsd"])
def test_an_empty_log_is_told_so(backend: RunCommand, kind: str) -> None:
    _start(backend, kind)
    ended = backend("logs")
    assert (ended.status, ended.stdout) == (0, "")
    assert ended.stderr == f"{kind}-0 has written nothing\n"


def test_the_log_of_one_that_died_can_be_read(backend: RunCommand) -> None:
    _start(backend)
    _write_log(backend, b"its last words\n")
    process = _process(backend, "builtin-0")
    kill(process.pid)
    assert backend("logs").stdout == "its last words\n"


@pytest.mark.parametrize(
    ("lines", "shown"),
    [("0", ""), ("1", "c\n"), ("2", "bb\nc\n"), ("3", "a\nbb\nc\n"), ("9", "a\nbb\nc\n")],
)
def test_the_last_lines_of_a_log(backend: RunCommand, lines: str, shown: str) -> None:
    _start(backend)
    _write_log(backend, b"a\nbb\nc\n")
    assert backend("logs", "-n", lines).stdout == shown
    _write_log(backend, b"a\nbb\nc")
    assert backend("logs", "-n", lines).stdout == shown.rstrip("\n")


def test_the_last_lines_of_a_large_log(backend: RunCommand) -> None:
    _start(backend)
    _write_log(backend, b"y" * 200_000 + b"\n" + b"x" * 200_000 + b"\nend\n")
    assert backend("logs", "-n", "2").stdout == "x" * 200_000 + "\nend\n"


def test_a_log_cannot_command_a_terminal(backend: RunCommand) -> None:
    _start(backend)
    _write_log(backend, b"a\x1b[2J\xff\tb\n")
    assert backend("logs").stdout == "a\ufffd[2J\ufffd\tb\n"


def test_a_log_is_followed_until_the_back_end_ends(backend: RunCommand) -> None:
    _start(backend)
    _write_log(backend, b"first\n")
    follower = subprocess.Popen(
        [sys.executable, "-m", "pyfio_virtio", "backend", "logs", "-f"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "first\n"
        with Path(str(_record(backend, "builtin-0")["log"])).open("a") as log:
            log.write("second\n")
        assert follower.stdout.readline() == "second\n"
        kill(_process(backend, "builtin-0").pid)
        assert follower.wait(PATIENCE_S) == 0
    finally:
        follower.kill()
        follower.communicate()

# SPDX-License-Identifier: GPL-2.0-or-later
"""A job on several hosts at the same time: real ones that serve, and some that lie or fail."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.engine import engine
from pyfio_virtio.fio import fio
from pyfio_virtio.fio.output import read_fio_json
from pyfio_virtio.hosts import link, parts, wire
from pyfio_virtio.hosts.addresses import Address
from pyfio_virtio.hosts.barrier import Barrier
from pyfio_virtio.hosts.checks import Versions
from pyfio_virtio.hosts.combine import HostPart
from pyfio_virtio.hosts.hosts_file import Host
from pyfio_virtio.hosts.one_client import Task
from pyfio_virtio.hosts.together import Controller, HostsError, controller
from pyfio_virtio.hosts.wire import OPCODE_IOLOG, Message
from pyfio_virtio.machine import descendants, process
from tests.pyfio_virtio.hosts.conftest import JOB, Serve, Served
from tests.pyfio_virtio.hosts.liars import (
    Liar,
    Lie,
    Lies,
    but,
    closes,
    frame,
    is_gone,
    is_silent,
    once,
    says,
    sends,
)
from tests.waiting import stop, wait_until

DISK = BackendSpec(size_bytes=4 << 20)
LONG_JOB = JOB.replace("number_ios=1000", "time_based=1\nruntime=60")
OURS = Versions(engine.fio_release(), engine.version())

Control = Callable[..., Controller]


@pytest.fixture
def control(private: Path) -> Iterator[Control]:
    """Makes a controller of hosts, by their names and sockets."""
    with ExitStack() as stack:

        def make(**sockets: str) -> Controller:
            hosts = [Host(name, Address(path=path)) for name, path in sockets.items()]
            return stack.enter_context(controller(hosts, private, fio.find()))

        yield make
    commands = [process.command_line(each) for each in descendants.below(os.getpid())]
    assert not [each for each in commands if "--client=" in each]


def run(
    hosts: Controller, names: Sequence[str], folder: Path, text: str = JOB, limit_s: float = 60.0
) -> dict[str, HostPart]:
    """Connects, prepares, and runs the job. Returns the parts by the hosts' names."""
    hosts.connect(OURS)
    served = hosts.prepare(dict.fromkeys(names, DISK))
    return run_again(hosts, {name: served[name].disk for name in names}, folder, text, limit_s)


def run_again(
    hosts: Controller,
    disks: dict[str, str],
    folder: Path,
    text: str = JOB,
    limit_s: float = 60.0,
) -> dict[str, HostPart]:
    tasks = {}
    for name, disk in disks.items():
        place = folder / name
        place.mkdir(parents=True)
        tasks[name] = Task(text.encode(), place, disk, limit_s)
    results = hosts.run(tasks)
    return {each.host.name: parts.part(each, folder / each.host.name, 0) for each in results}


def acting(act: Callable[[], None], when: Callable[[], bool]) -> threading.Thread:
    """Does something as soon as something is so."""

    def wait() -> None:
        wait_until(when)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


# ---- real hosts ---------------------------------------------------------------------------------


def test_a_job_runs_on_all_hosts_and_their_numbers_come_back(
    served: Serve, control: Control, tmp_path: Path
) -> None:
    a = served("--listen", f"unix:{tmp_path}/a.sock")
    b = served("--listen", f"unix:{tmp_path}/b.sock")
    hosts = control(a=a.socket, b=b.socket)
    text = JOB + "write_iops_log=fio\nlog_avg_msec=100\nlog_unix_epoch=1\nrate_iops=3000\n"
    found = run(hosts, "ab", tmp_path, text)
    assert [each.problem for each in found.values()] == [None, None]
    assert [each.job.directions["read"].ios for each in found.values()] == [1000, 1000]
    for name, part in found.items():
        assert part.started_ns is not None
        assert part.iops_log
        assert '"ios":1000' in (tmp_path / name / "counters.jsonl").read_text()
        (job,) = read_fio_json(tmp_path / name / "fio.json").jobs
        assert job.hostname == f"{name}.sock"
    hosts.close()
    a.wait_until_idle()
    b.wait_until_idle()


def test_hosts_keep_their_disks_for_further_runs(
    served: Serve, control: Control, tmp_path: Path
) -> None:
    here = served()
    hosts = control(a=here.socket)
    hosts.connect(OURS)
    disk = hosts.prepare({"a": DISK})["a"]
    assert disk.pid in here.processes()
    for number in range(2):
        part = run_again(hosts, {"a": disk.disk}, tmp_path / str(number))["a"]
        assert part.problem is None
    hosts.release()
    assert disk.pid not in here.processes()


def test_a_host_whose_disk_cannot_be_made_is_named_with_its_reason(
    served: Serve, control: Control
) -> None:
    here = served()
    hosts = control(a=here.socket, b=here.socket)
    hosts.connect(OURS)
    file = BackendSpec(size_bytes=4 << 20, storage="file:/srv/none/disk")
    with pytest.raises(HostsError) as refused:
        hosts.prepare({"a": DISK, "b": file})
    (failure,) = refused.value.failures
    assert str(failure).startswith("host b (unix:")
    assert "--allow" in str(failure)


def test_a_job_that_fio_refuses_there_fails_with_fios_words(
    served: Serve, control: Control, tmp_path: Path
) -> None:
    found = run(control(a=served().socket), "a", tmp_path, f"{JOB}no_such=1\n")
    assert "Bad option <no_such=1>" in (found["a"].problem or "")


def test_a_host_whose_fio_hangs_is_ended_alone(
    served: Serve, control: Control, tmp_path: Path
) -> None:
    here, hung = (served("--listen", f"unix:{tmp_path}/{name}.sock") for name in ("a", "b"))
    thread = acting(lambda: stop(_fio_with_jobs(hung)), lambda: bool(_fio_with_jobs(hung)))
    text = JOB.replace("number_ios=1000", "time_based=1\nruntime=1")
    found = run(control(a=here.socket, b=hung.socket), "ab", tmp_path, text, limit_s=3.0)
    thread.join()
    assert found["a"].problem is None
    assert "it hung: fio had not ended 3 s after its start" in (found["b"].problem or "")


def _fio_with_jobs(host: Served) -> int:
    """The process of a host in which the jobs of fio run; 0 if there is none yet."""
    for pid in host.processes():
        name = Path(f"/proc/{pid}/comm")
        threads = Path(f"/proc/{pid}/task")
        try:
            if name.read_text().strip() == "fio" and len(list(threads.iterdir())) > 1:
                return pid
        except OSError:
            continue
    return 0


@pytest.mark.parametrize("victim", ["session", "back-end"])
def test_a_host_that_loses_a_process_fails_alone(
    victim: str, served: Serve, control: Control, tmp_path: Path
) -> None:
    here, lost = (served("--listen", f"unix:{tmp_path}/{name}.sock") for name in ("a", "b"))

    def kill() -> None:
        if victim == "session":
            (pid,) = [each.pid for each in psutil.Process(lost.pid).children()]
        else:
            every = lost.processes()
            (pid,) = [each for each in every if "--socket-fd" in process.command_line(each)]
        os.kill(pid, signal.SIGKILL)

    thread = acting(kill, lambda: bool(_fio_with_jobs(lost)))
    text = JOB.replace("number_ios=1000", "time_based=1\nruntime=1")
    found = run(control(a=here.socket, b=lost.socket), "ab", tmp_path, text)
    thread.join()
    assert found["a"].problem is None
    expected = {
        "session": "it closed the connection",
        "back-end": "its back-end ended during the run",
    }
    assert expected[victim] in (found["b"].problem or "")


def test_the_end_of_the_controller_ends_a_run_at_once(
    served: Serve, control: Control, tmp_path: Path
) -> None:
    here = served()
    thread = acting(lambda: signal.raise_signal(signal.SIGINT), lambda: bool(_fio_with_jobs(here)))
    hosts = control(a=here.socket)
    with pytest.raises(KeyboardInterrupt):
        run(hosts, "a", tmp_path, LONG_JOB)
    thread.join()
    hosts.close()
    here.wait_until_idle()


# ---- hosts that lie -----------------------------------------------------------------------------

BEFORE: dict[str, tuple[Lies, str]] = {
    "closes-at-hello": ({"hello": closes}, "it closed the connection"),
    "closes-at-clock": ({"clock": closes}, "it closed the connection"),
    "never-answers-hello": ({"hello": is_silent}, "it did not answer hello within"),
    "never-answers-clock": ({"clock": is_silent}, "it did not answer clock within"),
    "is-no-peer-of-ours": ({"hello": sends(b"HTTP/1.1 400 Bad Request\r\n\r\n")}, "it is not JSON"),
    "sends-an-endless-line": ({"hello": sends(b"x" * (3 << 20))}, "a message is too long"),
    "nests-deeply": ({"hello": sends(b'{"kind":' + b"[" * 9999 + b"\n")}, "brackets are too many"),
    "announces-too-much": ({"hello": sends(b'{"kind":"fio","bytes":9e9}\n')}, "announces"),
    "answers-something-else": ({"hello": says("released")}, "it answered hello with 'released'"),
    "sends-a-stream": ({"hello": says("fio", b"x")}, "a part of a stream that does not exist"),
    "ends-a-stream": ({"hello": says("fio-end", said="")}, "ended a stream that does not exist"),
    "speaks-another-version": ({"hello": but(version=9)}, "it speaks version 9"),
    "has-a-huge-version": ({"hello": but(version=10**400)}, "as 'version'"),
    "has-another-fio": ({"hello": but(fio="fio-3.1")}, "it has fio-3.1, and this machine has"),
    "draws-with-its-fio": ({"hello": but(fio="\x1b[2Jfio")}, "it has ?[2Jfio, and"),
    "has-no-fio": ({"hello": but(fio=None)}, "as 'fio'"),
    "has-no-engine": (
        {"hello": but(engine="", problem="no")},
        "does not load the engine there: no",
    ),
    "has-another-engine": ({"hello": but(engine="0")}, "its engine is version 0, and ours is"),
    "has-negative-memory": ({"hello": but(memory=-1)}, "as 'memory'"),
    "has-true-memory": ({"hello": but(memory=True)}, "as 'memory'"),
    "tells-no-facts": ({"hello": but(facts=[])}, "its facts are no object"),
    "tells-deep-facts": ({"hello": but(facts={"x": {}})}, "as 'x'"),
    "tells-facts-with-names": ({"hello": but(facts={"a/b": 1})}, "as 'a/b'"),
    "counts-wrong": ({"clock": but(n=3)}, "clock question with another number"),
    "has-no-time": ({"clock": but(ns="now")}, "as 'ns'"),
    "has-a-late-time": ({"clock": but(ns=1 << 80)}, "as 'ns'"),
    "answers-twice": (
        {"clock": lambda liar, m: 2 * but()(liar, m)},
        "clock question with another number|without being asked",
    ),
    "refuses": ({"clock": says("refused", what="I am", why="ill", next="rest")}, "I am: ill; rest"),
    "refuses-badly": ({"clock": says("refused", what=1)}, "as 'what'"),
    "has-little-memory": ({"hello": but(memory=1 << 20)}, "1 MiB of memory are free there"),
    "has-a-number-as-disk": ({"prepare": but(disk=5)}, "as 'disk'"),
    "has-a-huge-pid": ({"prepare": but(pid=1 << 40)}, "as 'pid'"),
    "never-prepares": ({"prepare": is_silent}, "it did not answer prepare within"),
}


def test_each_lie_before_a_run_is_one_sentence_about_that_host(
    served: Serve, control: Control, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All of them are asked at once, and the host that is honest must not be late.
    monkeypatch.setattr(link, "ANSWER_S", 3.0)
    monkeypatch.setattr(BackendSpec, "start_timeout_s", lambda self: 0.0)
    here = served()
    with ExitStack() as stack:
        sockets = {"honest": here.socket}
        for name, (lies, _) in BEFORE.items():
            liar = stack.enter_context(Liar(tmp_path / f"{name}.sock", lies))
            sockets[name] = str(liar.path)
        failures: dict[str, str] = {}
        hosts = control(**sockets)
        for act in (
            lambda: hosts.connect(OURS),
            lambda: hosts.prepare(dict.fromkeys(sockets, DISK)),
        ):
            with pytest.raises(HostsError) as refused:
                act()
            for each in refused.value.failures:
                failures.setdefault(each.what.split()[1], str(each))
    assert failures.keys() == BEFORE.keys()
    for name, (_, words) in BEFORE.items():
        assert failures[name].startswith(f"host {name} (unix:")
        assert any(each in failures[name] for each in words.split("|")), failures[name]
        assert failures[name].isprintable()


SENDFILE, VTRIGGER = 21, 20
DURING: dict[str, tuple[Lies, str]] = {
    "asks-for-a-file": ({"fio": frame(SENDFILE, b"/etc/passwd\0")}, "something that no run needs"),
    "sends-a-trigger": ({"fio": frame(VTRIGGER, b"x" * 64)}, "something that no run needs"),
    "writes-elsewhere": (
        {"fio": frame(OPCODE_IOLOG, bytes(32) + b"../../x".ljust(256, b"\0"))},
        "a log for another folder",
    ),
    "sends-no-frames": ({"fio": says("fio", b"x" * 100)}, "its first bytes are no frame"),
    "sends-a-huge-frame": (
        {"fio": lambda liar, m: Message("fio", data=_huge()).encoded()},
        "a frame that is too long",
    ),
    "never-runs-it": ({"fio": is_silent}, "it hung: fio had not ended 6 s after its start"),
    "vanishes": ({"fio": is_gone}, "it said nothing for"),
    "closes": ({"fio": closes}, "it closed the connection"),
    "ends-at-once": ({"fio": once(says("fio-end", said="no\x07 more"))}, "fio says: no? more"),
    "ends-with-a-number": ({"fio": says("fio-end", said=7)}, "as 'said'"),
    "ends-twice": (
        {"fio": lambda liar, m: 2 * Message("fio-end", {"said": ""}).encoded()},
        "ended a stream that does not exist|fio told no results|fio ended with status",
    ),
    "answers-unasked": ({"fio": says("clock", n=0, ns=0)}, "without being asked"),
    "refuses": ({"fio": says("refused", what="I am", why="ill", next="")}, "I am: ill"),
}


def _huge() -> bytes:
    header = b"\x61\0\x05\0".ljust(16, b"\0") + (1 << 31).to_bytes(4, "little")
    return header + wire.crc16(header).to_bytes(2, "little") + bytes(2)


def test_each_lie_during_a_run_fails_that_host_alone(
    served: Serve, control: Control, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "SILENCE_S", 4.0)
    here = served()
    with ExitStack() as stack:
        sockets = {"honest": here.socket}
        for name, (lies, _) in DURING.items():
            liar = stack.enter_context(Liar(tmp_path / f"{name}.sock", lies))
            sockets[name] = str(liar.path)
        found = run(control(**sockets), list(sockets), tmp_path, limit_s=6)
    assert found["honest"].problem is None
    assert found["honest"].job.directions["read"].ios == 1000
    for name, (_, words) in DURING.items():
        problem = found[name].problem or ""
        assert any(each in problem for each in words.split("|")), f"{name}: {problem}"
        assert problem.isprintable()
    assert not list(tmp_path.parent.glob("x.*"))


@pytest.mark.parametrize(
    "lie",
    [
        but(run_ns="x"),
        but(start_ns=-1),
        but(died=5),
        but(moments=None),
        but(moments=[[0, None, None, 0, 0]] * (wire.MOST_MOMENTS + 1)),
        but(moments=[[0, None]]),
        but(moments=[[0, [1, 2, 3, "x"], None, 0, 0]]),
        but(moments=[[0, None, None, float("nan"), 0]]),
        but(moments=[[0, None, None, 0, 10**400]]),
        says("released"),
        closes,
    ],
)
def test_lies_about_a_run_that_is_over_are_not_believed(
    lie: Lie, control: Control, tmp_path: Path
) -> None:
    with Liar(tmp_path / "b.sock", {"collect": lie, "fio": once(says("fio-end", said=""))}) as liar:
        hosts = control(b=str(liar.path))
        hosts.connect(OURS)
        (tmp_path / "b").mkdir()
        (result,) = hosts.run({"b": Task(JOB.encode(), tmp_path / "b", "/x", 60)})
    assert result.collected is None


# ---- the barrier --------------------------------------------------------------------------------


def test_the_barrier_opens_when_the_last_host_has_come_or_left() -> None:
    order: list[str] = []

    async def come(barrier: Barrier, name: str) -> None:
        await barrier.come(name, 0)
        order.append(name)

    async def all_of_them() -> None:
        barrier = Barrier("abc")
        async with asyncio.TaskGroup() as group:
            for name in "ab":
                group.create_task(come(barrier, name))
            await asyncio.sleep(0.01)
            order.append("last")
            barrier.leave("c")

    asyncio.run(all_of_them())
    assert order[0] == "last"
    assert sorted(order[1:]) == ["a", "b"]

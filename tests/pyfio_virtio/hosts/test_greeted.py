# SPDX-License-Identifier: GPL-2.0-or-later
"""The messages of a controller, and what serve answers."""

import json
import os
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyfio_virtio.engine import engine
from pyfio_virtio.fio.fio import split_notes
from pyfio_virtio.hosts import wire
from pyfio_virtio.hosts.wire import Message
from tests.conftest import StartBackend
from tests.pyfio_virtio.hosts.conftest import JOB, BeginJob, Client, Serve, Served


def test_a_job_runs_on_the_disk_that_was_prepared(here: Served, begin_job: BeginJob) -> None:
    with Client(here.socket) as client:
        hello = client.ask("hello", "hello", version=wire.VERSION).fields
        assert hello["engine"] == engine.version()
        assert hello["fio"] == engine.fio_release()
        assert hello["problem"] == ""
        assert hello["memory"] > 0
        assert hello["facts"]["cpus"] == len(os.sched_getaffinity(0))
        disk = client.prepare().fields
        assert disk["pid"] in here.processes()
        before = time.time_ns()
        ran = begin_job(client, disk=disk["disk"]).run()
        after = time.time_ns()
        assert ran.status == 0, ran
        document = json.loads(split_notes(ran.stdout)[1])
        assert document["client_stats"][0]["read"]["total_ios"] == 1000
        collected = client.ask("collect", "collected")
        assert json.loads(collected.data)["ios"] == 1000
        times = [collected.fields[name] for name in ("run_ns", "start_ns", "end_ns")]
        assert [before, *times, after] == sorted([before, *times, after])
        assert collected.fields["died"] == ""
        client.ask("release", "released")
        assert disk["pid"] not in here.processes()


def test_a_job_runs_on_a_back_end_that_runs(
    here: Served, begin_job: BeginJob, builtin: StartBackend
) -> None:
    disk = builtin(size_bytes=4 << 20)
    with Client(here.socket) as client:
        ready = client.ask("prepare", "prepared", socket=disk.socket).fields
        assert (ready["disk"], ready["command"], ready["pid"]) == (disk.socket, "", 0)
        assert begin_job(client, disk=ready["disk"]).run().status == 0
        client.ask("release", "released")
    assert disk.is_running()


def test_one_session_runs_one_job_after_the_other(here: Served, begin_job: BeginJob) -> None:
    with Client(here.socket) as client:
        for kind, jobs in (("builtin", ("randread", "randwrite")), ("qsd", ("randread",))):
            disk = client.prepare(kind=kind).fields["disk"]
            for way in jobs:
                job = JOB.replace("randread", way)
                assert begin_job(client, job, disk).run().status == 0
                assert json.loads(client.ask("collect", "collected").data)["ios"] == 1000
            client.ask("release", "released")


def test_the_cpu_time_of_fio_and_the_back_end(here: Served, begin_job: BeginJob) -> None:
    job = JOB.replace("number_ios=1000", "time_based=1\nruntime=1")
    with Client(here.socket) as client:
        disk = client.prepare(options=["serve=poll"]).fields["disk"]
        begin_job(client, job, disk).run()
        moments = client.ask("collect", "collected").fields["moments"]
    assert len(moments) >= 2
    first, last = moments[0], moments[-1]
    assert last[0] > first[0]
    for which in (1, 2):  # fio, and the back-end
        assert sum(last[which][:2]) > sum(first[which][:2])
    assert last[4] > first[4]


def test_a_scratch_file_is_gone_after_its_disk(here: Served) -> None:
    with Client(here.socket) as client:
        client.prepare(storage="file")
        (file,) = here.sessions()[0].glob("*.img")
        assert file.stat().st_size == 4 << 20
        client.ask("release", "released")
        assert not file.exists()
        client.prepare(storage="file")


def refusal(client: Client, kind: str, **fields: object) -> str:
    return str(client.ask(kind, "refused", **fields).refusal())


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ({"kind": "nbd"}, "unknown back-end"),
        ({"kind": "qsd", "options": ["pidfile=/tmp/x"]}, "does not do so for its clients"),
        ({"options": ["stats-file=/tmp/x"]}, "does not do so for its clients"),
        ({"options": ["latency=trace:/etc/passwd"]}, "does not do so for its clients"),
        ({"options": ["no=1"]}, "has no option no"),
        ({"options": "serve=poll"}, "its options cannot be"),
        ({"storage": "file:/etc/passwd"}, "pyfio-virtio serve --allow /etc/passwd"),
        ({"storage": "memory:/tmp/x"}, "pyfio-virtio serve --allow /tmp/x"),
        ({"storage": "file:disk.img"}, "--allow disk.img"),
        ({"storage": "nil"}, "unknown storage"),
        ({"size_bytes": 1 << 62}, "are free here"),
        ({"size_bytes": -1}, "its size_bytes cannot be -1"),
        ({"size_bytes": True}, "its size_bytes cannot be True"),
        ({"size_bytes": 1.5}, "its size_bytes cannot be 1.5"),
        ({"queues": 0}, "unusable number of queues 0"),
        ({"cpus": "900"}, "there is no CPU 900"),
        ({"cpus": "\0"}, "its cpus cannot be"),
        ({"storage": "file:\ud800"}, "its storage cannot be"),
        ({"sise_bytes": 1}, "did you mean size_bytes?"),
        ([], "is no object"),
    ],
)
def test_a_disk_that_is_refused(here: Served, backend: object, words: str) -> None:
    with Client(here.socket) as client:
        assert words in refusal(client, "prepare", backend=backend)
        client.prepare()


@pytest.mark.parametrize(
    ("socket", "words"),
    [("/no/such", "there is no such socket"), ("x", "absolute"), (1, "absolute"), ("/\0", "abs")],
)
def test_a_socket_that_is_refused(here: Served, socket: object, words: str) -> None:
    with Client(here.socket) as client:
        assert words in refusal(client, "prepare", socket=socket)


def test_a_back_end_that_does_not_start(here: Served) -> None:
    with Client(here.socket) as client:
        wrong = {"size_bytes": 1 << 20, "options": ["queue-size-max=3"]}
        assert "did not start" in refusal(client, "prepare", backend=wrong)
        client.prepare()


def test_messages_in_a_wrong_order(here: Served) -> None:
    with Client(here.socket) as client:
        assert "no disk is prepared" in refusal(client, "fio")
        assert "no job has run" in refusal(client, "collect")
        assert "there is none" in refusal(client, "fio-end")
        assert "version 1 of the messages" in refusal(client, "hello", version=2)
        assert "no message that serve knows" in refusal(client, "dance")
        client.prepare()
        assert "release it first" in refusal(client, "prepare")
        client.ask("release", "released")
        client.ask("release", "released")


def test_a_file_that_was_allowed(served: Serve, private: Path) -> None:
    disks = private / "disks"
    disks.mkdir()
    (disks / "link").symlink_to("/etc/passwd")
    here = served("--allow", str(disks))
    with Client(here.socket) as client:
        client.prepare(storage=f"file:{disks}/new.img")
        assert (disks / "new.img").stat().st_size == 4 << 20
        client.ask("release", "released")
        for path in (f"{disks}/link", f"{disks}/../x"):
            assert "--allow" in refusal(client, "prepare", backend={"storage": f"file:{path}"})
    assert (disks / "new.img").exists()


def test_too_many_sessions(served: Serve) -> None:
    here = served("--sessions", "1")
    with Client(here.socket) as client, Client(here.socket) as another:
        client.ask("clock", "clock", n=1)
        assert b"too many sessions" in another.closes()
    here.wait_until_idle()
    with Client(here.socket) as client:
        assert client.ask("clock", "clock", n=7).fields["n"] == 7


SCALARS = st.none() | st.integers(-1, 10) | st.text(max_size=3)
SPECS = st.dictionaries(
    st.sampled_from(["kind", "storage", "queues", "options", "cpus", "x"]),
    SCALARS | st.lists(SCALARS, max_size=2),
    max_size=2,
)
WANTED: st.SearchStrategy[dict[str, object]] = st.one_of(
    st.just({"backend": {"size_bytes": 1 << 20}}), st.just({}), SPECS.map(lambda s: {"backend": s})
)
MESSAGES = st.one_of(
    st.builds(Message, st.just("prepare"), WANTED),
    st.builds(Message, st.just("hello"), st.dictionaries(st.just("version"), SCALARS)),
    st.builds(Message, st.just("clock"), st.dictionaries(st.just("n"), SCALARS)),
    st.builds(Message, st.just("fio"), st.just({}), st.binary(max_size=50)),
    st.builds(Message, st.sampled_from(["fio-end", "collect", "release", "status", "beat", "x"])),
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(MESSAGES, max_size=8), st.binary(max_size=20))
def test_any_messages_are_answered(here: Served, messages: list[Message], end: bytes) -> None:
    """Then come bytes of which serve understands nothing, or the client leaves."""
    with Client(here.socket) as client, suppress(BrokenPipeError, ConnectionResetError):
        for each in messages:
            wire.send(client.connection, each)
        client.connection.sendall(end + b"\n")
        client.send("clock", n=5)
        client.closes()
    here.wait_until_idle()

# SPDX-License-Identifier: GPL-2.0-or-later
"""Back-ends that serve one client and then exit, as many example daemons do."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Fio, Option, StartBackend
from tests.end_to_end.conftest import StartRelay
from tests.end_to_end.refusal import sentences
from tests.end_to_end.relay import HangUp, Message
from tests.vhost_numbers import Request

READS: dict[str, Option] = {"rw": "randread", "bs": "4k", "number_ios": 100, "iodepth": 4}
# So long that all jobs have begun before the first one ends, and without work for the CPUs.
TOGETHER: dict[str, Option] = {
    "rw": "randread",
    "thinktime": "1ms",
    "time_based": True,
    "runtime": 1,
}
Once = Callable[[str], str]

every_profile = pytest.mark.parametrize("profile", ["builtin", "qemu", "spdk", "rust-vmm"])
every_device = pytest.mark.parametrize("device", ["blk", "scsi"])


@pytest.fixture
def once(relay: StartRelay) -> Once:
    """A socket of a back-end that serves the first client and hangs up on all others."""

    def start(socket: str) -> str:
        owners = 0

        def tamper(message: Message) -> Message:
            nonlocal owners
            owners += message.request == Request.SET_OWNER and not message.is_reply
            if owners > 1:
                raise HangUp
            return message

        return relay(socket, tamper)

    return start


@every_device
@every_profile
@pytest.mark.parametrize("jobs", [{"thread": 1}, {"thread": None}, {"thread": 1, "numjobs": 3}])
@pytest.mark.parametrize("create_serialize", [1, 0])
def test_jobs_that_can_share_a_connection_need_one(
    builtin: StartBackend,
    once: Once,
    fio: Fio,
    device: str,
    profile: str,
    jobs: dict[str, Option],
    create_serialize: int,
) -> None:
    options = (f"device={device}", f"profile={profile}")
    socket = once(builtin(queues=4, options=options).socket)
    run = fio(socket, device=device, create_serialize=create_serialize, **TOGETHER, **jobs)
    assert run.status == 0, run.stderr
    assert all(job["read"]["total_ios"] > 0 for job in run.jobs)


def test_a_job_on_several_back_ends_needs_one_connection_to_each(
    builtin: StartBackend, once: Once, fio: Fio
) -> None:
    sockets = [once(builtin().socket) for _ in range(2)]
    run = fio(sockets[0], **{**READS, "filename": ":".join(sockets)})
    assert run.status == 0, run.stderr


def test_a_job_that_starts_later_uses_the_same_connection(
    builtin: StartBackend, once: Once, fio: Fio
) -> None:
    run = fio(once(builtin(options=("device=scsi",)).socket), thread=None, startdelay=1, **READS)
    assert run.status == 0, run.stderr


def test_processes_are_told_to_share_a_connection(
    builtin: StartBackend, once: Once, fio: Fio
) -> None:
    run = fio(once(builtin(queues=2).socket), thread=None, numjobs=2, **READS)
    assert run.status > 0
    assert all("give all jobs thread=1" in said for said in sentences(run))


SECTIONS = """
[global]
ioengine=fio_virtio
rw=randwrite
bs=4k
iodepth=4
number_ios=20
verify=crc32c
thread=1
create_serialize={create_serialize}
filename={socket}
size=8m
[a]
[b]
{order}
offset=8m
[c]
{order}
offset=16m
bs=64k
iodepth=32
"""


@every_device
@every_profile
@pytest.mark.parametrize("order", ["stonewall", "startdelay=1", "wait_for=a"])
def test_threads_that_run_one_after_the_other_need_one_connection(
    builtin: StartBackend, fio: Fio, device: str, profile: str, order: str
) -> None:
    """The back-end ends after its first client, as many example daemons do."""
    options = (f"device={device}", f"profile={profile}", "clients=1")
    backend = builtin(queues=3, options=options)
    text = SECTIONS.format(socket=backend.socket, order=order, create_serialize=1)
    run = fio.job(text.replace("[global]", f"[global]\ndevice={device}"))
    assert run.status == 0, run.stderr
    assert [job["write"]["total_ios"] for job in run.jobs] == [20, 20, 20]
    assert [job["read"]["total_ios"] for job in run.jobs] == [20, 20, 20]
    assert backend.process.wait(10)


def test_the_connection_is_used_again_if_one_client_is_served_at_a_time(
    qsd: StartBackend, fio: Fio
) -> None:
    text = SECTIONS.format(socket=qsd().socket, order="stonewall", create_serialize=1)
    run = fio.job(text)
    assert run.status == 0, run.stderr
    assert [job["write"]["total_ios"] for job in run.jobs] == [20, 20, 20]


def test_create_serialize_0_is_named_if_it_keeps_jobs_from_sharing(
    builtin: StartBackend, fio: Fio
) -> None:
    socket = builtin(options=("clients=1",)).socket
    run = fio.job(SECTIONS.format(socket=socket, order="stonewall", create_serialize=0))
    assert run.status > 0
    assert sentences(run)
    assert all("leave create_serialize=0 out" in said for said in sentences(run))


def test_a_back_end_that_was_restarted_between_two_jobs_is_connected_to_again(
    builtin: StartBackend, fio: Fio, private: Path
) -> None:
    """Here by another instance, which listens on the same path."""
    first, second = builtin(), builtin()
    switch = private / "switch"
    switch.symlink_to(first.socket)
    text = SECTIONS.format(socket=switch, order="stonewall", create_serialize=1)
    stop = f"kill {first.process.pid} && ln -sfn {second.socket} {switch}"
    run = fio.job(text.replace("[a]", f"[a]\nexec_postrun={stop}"))
    assert run.status == 0, run.stderr
    assert [job["write"]["total_ios"] for job in run.jobs] == [20, 20, 20]


def test_a_process_of_another_job_does_not_keep_the_connection(
    builtin: StartBackend, fio: Fio
) -> None:
    # The thread's connection is kept while the process is forked, which makes its own.
    backend = builtin(queues=2)
    text = f"""
[global]
ioengine=fio_virtio
filename={backend.socket}
rw=randread
bs=4k
number_ios=100
[process]
[thread]
thread=1
startdelay=1
"""
    run = fio.job(text)
    assert run.status == 0, run.stderr
    assert [job["read"]["total_ios"] for job in run.jobs] == [100, 100]


# ---- back-ends that serve one client at a time ---------------------------------------------------


@pytest.mark.parametrize("first", ["thread=1", "thread=0"])
def test_a_process_and_a_thread_take_turns(qsd: StartBackend, fio: Fio, first: str) -> None:
    """The connection of one is not kept while the other needs the back-end."""
    second = {"thread=1": "thread=0", "thread=0": "thread=1"}[first]
    run = fio.job(f"""
[global]
ioengine=fio_virtio
filename={qsd().socket}
rw=randread
number_ios=10
[one]
{first}
[two]
stonewall
{second}
""")
    assert run.status == 0, run.stderr


def test_threads_with_other_options_take_turns(qsd: StartBackend, fio: Fio) -> None:
    run = fio.job(f"""
[global]
ioengine=fio_virtio
filename={qsd().socket}
rw=randread
number_ios=10
thread=1
[one]
device=blk
[two]
stonewall
device=blk
event_idx=off
""")
    assert "must agree on event_idx" in run.stderr + run.stdout

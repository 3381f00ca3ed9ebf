# SPDX-License-Identifier: GPL-2.0-or-later
"""Logs of I/O: written by a run, and replayed."""

import json
import random
import threading
from collections.abc import Sequence
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket

import pytest

from tests.conftest import Fio, FioRun, Option, StartBackend
from tests.end_to_end.refusal import refusal

KIB = 1 << 10


def write_log(path: Path, name: str, actions: Sequence[str]) -> str:
    """A log of version 2: `actions` on the file `name`, which it adds and opens."""
    lines = ["fio version 2 iolog", f"{name} add", f"{name} open"]
    lines += [f"{name} {action}" for action in actions]
    path.write_text("\n".join([*lines, f"{name} close", ""]))
    return str(path)


def counts(run: FioRun) -> tuple[int, int]:
    """Reads and writes. (fio replays trims only in releases after 3.33.)"""
    assert run.status == 0, run.stderr
    return run.first["read"]["total_ios"], run.first["write"]["total_ios"]


def test_a_run_is_logged(disk: StartBackend, fio: Fio, private: Path) -> None:
    socket, log = disk().socket, private / "log"
    run = fio(socket, rw="write", bs="4k", size="64k", write_iolog=str(log))
    assert run.status == 0, run.stderr
    writes = [line for line in log.read_text().splitlines() if " write " in line]
    assert len(writes) == 16


def test_a_logged_run_is_replayed(disk: StartBackend, fio: Fio, private: Path) -> None:
    image, log = private / "image", private / "log"
    socket = disk(storage=f"file:{image}").socket
    logged = fio(socket, rw="randwrite", bs="4k", size="1m", write_iolog=str(log), iodepth=8)
    replayed = fio(socket, read_iolog=str(log), replay_no_stall=1, buffer_pattern="0x77")
    assert logged.status == 0, logged.stderr
    assert counts(replayed) == (0, 256)
    assert image.read_bytes().count(b"\x77") == 1 << 20


def test_what_is_in_flight_at_the_end_of_a_replay_is_carried_out(
    disk: StartBackend, fio: Fio, private: Path
) -> None:
    # fio ends a replay without waiting for the requests that it submitted last.
    socket, stats = disk().socket, private / "stats.json"
    log = write_log(private / "log", socket, [f"write {4096 * index} 4096" for index in range(64)])
    run = fio(socket, read_iolog=log, iodepth=8, stats_file=str(stats))
    assert counts(run) == (0, 64)
    assert json.loads(stats.read_text())["ios"] == 64


def test_what_fails_at_the_end_of_a_replay_fails_the_job(
    builtin: StartBackend, fio: Fio, private: Path
) -> None:
    socket = builtin(options=("latency=50ms", "fault=error:type=write,after=7")).socket
    log = write_log(private / "log", socket, [f"write {4096 * index} 4096" for index in range(8)])
    run = fio(socket, read_iolog=log, iodepth=16)
    assert run.status != 0
    assert "write" in run.stderr


def test_what_never_comes_back_at_the_end_of_a_replay_fails_the_job(
    builtin: StartBackend, fio: Fio, private: Path
) -> None:
    socket = builtin(options=("fault=lose:type=write,after=7",)).socket
    log = write_log(private / "log", socket, [f"write {4096 * index} 4096" for index in range(8)])
    said = refusal(fio(socket, read_iolog=log, iodepth=16))
    assert "the run is over and the back-end completed nothing for" in said


@pytest.mark.parametrize("chunked", [0, 1])
@pytest.mark.parametrize("thread", [None, 1])
def test_logged_requests_may_be_larger_than_bs(
    disk: StartBackend, fio: Fio, private: Path, chunked: int, thread: int | None
) -> None:
    socket = disk().socket
    actions = [f"write {index * 256 * KIB} {256 * KIB}" for index in range(16)]
    actions += [f"read {index * 512} 512" for index in range(16)]
    log = write_log(private / "log", socket, actions)
    run = fio(socket, thread=thread, bs="4k", read_iolog=log, read_iolog_chunked=chunked, iodepth=8)
    assert counts(run) == (16, 16)


def test_logged_flushes_are_replayed(disk: StartBackend, fio: Fio, private: Path) -> None:
    socket = disk().socket
    actions = ["write 0 65536", "sync 0 0", "write 65536 4096", "datasync 0 0", "read 0 65536"]
    stats = private / "stats.json"
    log = write_log(private / "log", socket, actions)
    run = fio(socket, read_iolog=log, stats_file=str(stats))
    assert counts(run) == (1, 2)
    assert json.loads(stats.read_text())["ios"] == 5


def test_replay_redirect_names_the_device(qsd: StartBackend, fio: Fio, private: Path) -> None:
    log = write_log(private / "log", "/dev/sdz", ["read 0 4096", "write 4096 8192"])
    socket = qsd().socket
    assert counts(fio(socket, read_iolog=log, replay_redirect=socket)) == (1, 1)


def test_a_log_of_another_device_is_refused(qsd: StartBackend, fio: Fio, private: Path) -> None:
    log = write_log(private / "log", "/dev/no-such-disk", ["read 0 4096"])
    said = refusal(fio(qsd().socket, read_iolog=log))
    assert "/dev/no-such-disk" in said
    assert "replay_redirect" in said


@pytest.mark.parametrize("thread", [None, 1])
def test_a_log_may_name_the_device_without_filename(
    disk: StartBackend, fio: Fio, private: Path, thread: int | None
) -> None:
    socket = disk().socket
    log = write_log(private / "log", socket, ["read 0 4096", "write 4096 65536"])
    run = fio(socket, filename=None, thread=thread, read_iolog=log)
    assert counts(run) == (1, 1)


def test_a_log_may_name_several_devices(disk: StartBackend, fio: Fio, private: Path) -> None:
    sockets = [disk().socket for _ in range(3)]
    log = private / "log"
    lines = ["fio version 2 iolog"]
    lines += [f"{socket} {action}" for action in ("add", "open") for socket in sockets]
    lines += [f"{socket} write 0 4096" for socket in sockets]
    lines += [f"{socket} close" for socket in sockets]
    log.write_text("\n".join([*lines, ""]))
    run = fio(sockets[0], filename=None, read_iolog=str(log))
    assert counts(run) == (0, 3)


@pytest.mark.parametrize("thread", [None, 1])
def test_a_log_in_chunks_that_names_a_device_late_is_refused(
    qsd: StartBackend, fio: Fio, private: Path, thread: int | None
) -> None:
    # fio opens it in the middle of the run.
    first, second, log = qsd().socket, qsd().socket, private / "log"
    lines = ["fio version 2 iolog", f"{first} add", f"{first} open"]
    lines += [f"{first} write {4096 * index} 4096" for index in range(64)]
    lines += [f"{second} add", f"{second} open", f"{second} write 0 4096", f"{second} close", ""]
    log.write_text("\n".join(lines))
    run = fio(first, filename=None, thread=thread, read_iolog=str(log), read_iolog_chunked=1)
    assert "read_iolog_chunked=" in refusal(run)


@pytest.mark.parametrize("thread", [None, 1])
@pytest.mark.parametrize("is_known", [True, False])
def test_a_log_of_a_file_that_it_does_not_add_is_refused(
    qsd: StartBackend, fio: Fio, private: Path, thread: int | None, is_known: bool
) -> None:
    socket, log = qsd().socket, private / "log"
    lines = ["fio version 2 iolog", *([f"{socket} add", f"{socket} open"] * is_known)]
    log.write_text("\n".join([*lines, f"{private}/other read 0 4096", ""]))
    assert '"add" line' in refusal(fio(socket, thread=thread, read_iolog=str(log)))


@pytest.mark.parametrize("thread", [None, 1])
@pytest.mark.parametrize("ending", ["close", ""])
def test_a_log_of_a_file_that_it_does_not_open_is_refused(
    qsd: StartBackend, fio: Fio, private: Path, thread: int | None, ending: str
) -> None:
    socket, log = qsd().socket, private / "log"
    lines = ["fio version 2 iolog", f"{socket} add", *([f"{socket} {ending}"] if ending else [])]
    log.write_text("\n".join([*lines, f"{socket} read 0 4096", ""]))
    assert '"open" line' in refusal(fio(socket, thread=thread, read_iolog=str(log)))


@pytest.mark.parametrize("thread", [None, 1])
@pytest.mark.parametrize("seed", range(4))
def test_files_that_open_and_close_in_any_order_are_replayed_on_one_disk(
    disk: StartBackend, fio: Fio, private: Path, thread: int | None, seed: int
) -> None:
    numbers, log = random.Random(seed), private / "log"
    names = ["/a", "/b", "/c"]
    lines = ["fio version 2 iolog", *(f"{name} add" for name in names)]
    is_open = dict.fromkeys(names, False)
    reads = 0
    for _ in range(200):
        name = numbers.choice(names)
        action = numbers.choice(["read 0 4096", "read 0 4096", "close"])
        if not is_open[name]:
            action = "open"
        is_open[name] = action != "close"
        reads += action.startswith("read")
        lines.append(f"{name} {action}")
    log.write_text("\n".join([*lines, ""]))
    socket = disk().socket
    run = fio(socket, thread=thread, read_iolog=str(log), replay_redirect=socket, iodepth=4)
    assert counts(run) == (reads, 0)


def test_threads_that_only_their_logs_lead_to_a_device_share_it(
    qsd: StartBackend, fio: Fio, private: Path
) -> None:
    socket = qsd(queues=3).socket
    log = write_log(private / "log", socket, [f"read {4096 * index} 4096" for index in range(64)])
    run = fio(socket, filename=None, numjobs=3, read_iolog=log, iodepth=8)
    assert run.status == 0, run.stderr
    assert [job["read"]["total_ios"] for job in run.jobs] == [64] * 3


def test_a_log_may_move_more_than_the_disk_holds(
    disk: StartBackend, fio: Fio, private: Path
) -> None:
    socket = disk().socket
    log = write_log(private / "log", socket, [f"read 0 {1 << 20}"] * 100)
    run = fio(socket, filename=None, read_iolog=log, iodepth=8)
    assert counts(run) == (100, 0)


@pytest.mark.parametrize("thread", [None, 1])
@pytest.mark.parametrize("create_serialize", [1, 0])
def test_a_log_longer_than_the_disk_is_replayed(
    builtin: StartBackend, fio: Fio, private: Path, thread: int | None, create_serialize: int
) -> None:
    socket = builtin(size_bytes=4 << 20).socket
    log = write_log(private / "log", socket, [f"read 0 {1 << 20}"] * 5)
    run = fio(socket, read_iolog=log, thread=thread, create_serialize=create_serialize)
    assert counts(run) == (5, 0)


@pytest.mark.parametrize("chunked", [0, 1])
def test_the_entry_that_ends_beyond_the_disk_is_named(
    builtin: StartBackend, fio: Fio, private: Path, chunked: int
) -> None:
    socket = builtin(size_bytes=4 << 20).socket
    actions = ["read 0 1048576", "sync 0 0", f"write {(4 << 20) - 4096} 8192", "read 0 4096"]
    log = write_log(private / "log", socket, actions)
    said = refusal(fio(socket, read_iolog=log, read_iolog_chunked=chunked))
    assert "request 2 of the log, a write of 8192 bytes at 4190208, reaches beyond" in said


def test_the_scaled_offset_counts(builtin: StartBackend, fio: Fio, private: Path) -> None:
    socket = builtin(size_bytes=4 << 20).socket
    log = write_log(private / "log", socket, [f"read {6 << 20} 4096"])
    assert fio(socket, read_iolog=log).status > 0
    assert counts(fio(socket, read_iolog=log, replay_scale=2)) == (1, 0)


def test_continue_on_error_replays_what_fits(
    builtin: StartBackend, fio: Fio, private: Path
) -> None:
    socket = builtin(size_bytes=4 << 20).socket
    log = write_log(private / "log", socket, ["read 0 4096", f"read {8 << 20} 4096"])
    run = fio(socket, read_iolog=log, continue_on_error="all")
    assert run.first["total_err"] == 1


# ---- back-ends that take memory once -----------------------------------------------------------

ONCE = ("profile=spdk",)
LARGE = [f"write {index << 20} {512 * KIB}" for index in range(40)]


@pytest.mark.parametrize("jobs", [{"thread": 1, "numjobs": 3}, {"thread": None, "numjobs": 2}])
@pytest.mark.parametrize("create_serialize", [1, 0])
@pytest.mark.parametrize("chunked", [0, 1])
@pytest.mark.parametrize("is_named", [True, False])
def test_memory_is_planned_for_the_requests_of_a_log(
    builtin: StartBackend,
    fio: Fio,
    private: Path,
    jobs: dict[str, Option],
    create_serialize: int,
    chunked: int,
    is_named: bool,
) -> None:
    # The last requests are the largest, so a chunk does not show them.
    socket = builtin(queues=4, options=ONCE).socket
    log = write_log(private / "log", socket, ["write 0 4096"] * 20 + LARGE)
    run = fio(
        socket,
        filename=socket if is_named else None,
        read_iolog=log,
        read_iolog_chunked=chunked,
        create_serialize=create_serialize,
        iodepth=8,
        **jobs,
    )
    assert run.status == 0, run.stderr


def test_threads_with_logs_of_their_own_get_the_memory_that_they_need(
    builtin: StartBackend, fio: Fio, private: Path
) -> None:
    socket = builtin(queues=4, options=ONCE).socket
    small = write_log(private / "small", socket, ["read 0 4096"] * 20)
    large = write_log(private / "large", socket, LARGE)
    run = fio(socket, numjobs=2, read_iolog=f"{small}:{large}", iodepth=16)
    assert run.status == 0, run.stderr


def test_a_thread_with_a_log_that_starts_late_has_its_memory(
    builtin: StartBackend, fio: Fio, private: Path
) -> None:
    socket = builtin(queues=4, options=ONCE).socket
    text = f"""
[global]
ioengine=fio_virtio
filename={socket}
thread=1
iodepth=16
[early]
rw=randread
time_based
runtime=2
[late]
startdelay=1
read_iolog={write_log(private / "log", socket, LARGE)}
"""
    run = fio.job(text)
    assert run.status == 0, run.stderr


@pytest.mark.parametrize(
    "jobs", [{"thread": None}, {"thread": 1}, {"thread": None, "numjobs": 3}, {"numjobs": 3}]
)
def test_a_log_from_a_socket_gets_its_memory(
    builtin: StartBackend, fio: Fio, private: Path, jobs: dict[str, Option]
) -> None:
    backend = builtin(queues=4, options=ONCE)
    log = Path(write_log(private / "log", backend.socket, LARGE)).read_bytes()
    with socket(AF_UNIX, SOCK_STREAM) as listener:
        listener.bind(str(private / "log.sock"))
        listener.listen()

        def serve() -> None:
            for _ in range(int(jobs.get("numjobs") or 1)):
                link, _ = listener.accept()
                with link:
                    link.sendall(log)

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        run = fio(backend.socket, read_iolog=str(private / "log.sock"), iodepth=16, **jobs)
    assert run.status == 0, run.stderr


def test_a_logged_request_beyond_the_device_fails(
    disk: StartBackend, fio: Fio, private: Path
) -> None:
    socket = disk().socket
    log = write_log(private / "log", socket, [f"read {64 << 20} 4096"])
    run = fio(socket, read_iolog=log)
    assert run.status == 1


def test_a_logged_request_of_half_a_block_fails(
    disk: StartBackend, fio: Fio, private: Path
) -> None:
    socket = disk().socket
    run = fio(socket, read_iolog=write_log(private / "log", socket, ["read 0 700"]))
    assert run.status == 1

# SPDX-License-Identifier: GPL-2.0-or-later
"""The first mistakes of a newcomer: each is answered in one line with what, where, why, what next.

They are tried as a newcomer makes them: in a folder with a job for libaio, a file that is no
socket, and a socket that nobody serves. Nothing of it starts a back-end or runs a job.
"""

import shlex
import socket
from pathlib import Path

import pytest

from tests.conftest import RunCommand

MISTAKES = {
    "fio's options without --": (
        "run --runtime=2",
        ["no such option --runtime", "an option of fio", "write: pyfio-virtio run -- --runtime=2"],
    ),
    "an option of our engine without --": (
        "run latency --wait busy",
        ["no such option --wait", "write: pyfio-virtio run latency -- --wait busy"],
    ),
    "without run": (
        "--rw=randread",
        ["no such option --rw", "write: pyfio-virtio run -- --rw=randread"],
    ),
    "a job without run": ("aio.fio", ["no such command", "write: pyfio-virtio run aio.fio"]),
    "a misspelt job": (
        "run latncy",
        ["the job file latncy", "there is no such file", "did you mean latency?"],
    ),
    "an option as in a job file": (
        "run latency rw=randread",
        ["the job file rw=randread", "no such file", "-- --rw=randread"],
    ),
    "a job after fio's options": (
        "run -- --runtime=2 latency",
        ["'latency'", "it is not an option", "name job files before --"],
    ),
    "a folder": ("run .", ["the job file .", "Is a directory", "name the files in it"]),
    "a job for another engine": (
        "run aio.fio",
        ["will not run aio.fio", "[a] uses ioengine=libaio", "add --convert"],
    ),
    "a misspelt engine": (
        "run -- --ioengine=fio_vritio",
        ["[virtio] uses ioengine=fio_vritio", "did you mean ioengine=fio_virtio?"],
    ),
    "a value that fio does not know": (
        "run -- --rw=randreed",
        ["cannot run jobs/virtio.fio", "failed parsing rw=randreed", "use read, write, trim"],
    ),
    "a value that our engine does not know": (
        "run -- --wait=buzy",
        ["cannot run", "failed parsing wait", "use event, busy, sleepy or adaptive"],
    ),
    "an option that nobody knows": (
        "run latency -- --iodeptth=4",
        ["cannot run latency", "iodeptth", "did you mean iodepth?"],
    ),
    "a number out of range": (
        "run -- --iodepth=0",
        ["cannot run", "fio refuses it", "iodepth: min value out of range: 0 (1 min)"],
    ),
    "a misspelt back-end": (
        "run --backend qds",
        ["unknown back-end 'qds'", "did you mean qsd?"],
    ),
    "a socket that is missing": (
        "run --socket no.sock latency",
        ["no.sock", "there is no such socket", "start the back-end there"],
    ),
    "a file that is no socket": (
        "run --backend ./file latency",
        ["/file", "it is not a socket", "name the Unix socket"],
    ),
    "a disk that may hold data": (
        "run --socket dead.sock",
        ["writes to", "dead.sock", "which was not made for it", "use --yes if"],
    ),
    "a path as storage": (
        "run --storage disk.img",
        ["unknown storage 'disk.img'", "did you mean file:disk.img?"],
    ),
    "a file without its path": (
        "backend start qsd --storage file",
        ["storage file needs a path", "write file:PATH"],
    ),
    "memory without its path": ("run --storage memory:", ["needs a path", "memory:PATH"]),
    "a path that null ignores": ("run --storage null:x", ["null keeps no data", "write null"]),
    "an option without its value": (
        "backend start --backend-option fault",
        ["option fault of the back-end needs a value", "write fault=VALUE"],
    ),
    "a trace without its file": (
        "backend start --backend-option latency=trace:",
        ["needs a file", "write latency=trace:FILE"],
    ),
    "a misspelt storage": ("run --storage memroy", ["did you mean memory?", "file:PATH"]),
    "a size that is none": (
        "run --disk-size 1.5G",
        ["--disk-size", "'1.5G' is not a size", "write it as 4096, 512M or 1G"],
    ),
    "queues": ("run --queues 4", ["no such option --queues", "write: -- --numjobs=N"]),
    "a file to tune": (
        "tune ./file",
        ["cannot use the back-end at ", "/file", "it is not a socket", "name the Unix socket"],
    ),
    "two disks to tune": ("tune qsd --backend builtin", ["cannot tune both", "name one"]),
    "a runtime to tune with": ("tune --runtime 3", ["an option of fio", "use --time"]),
    "an option to tune": ("tune --queue-size 64", ["an option of fio", "--set queue_size=64"]),
    "an option that tune sets": ("tune --set runtime=3", ["tune sets it", "use --time"]),
    "other work to tune with": ("tune --bs 4k,8k", ["bs=4k,8k", "cannot be compared"]),
    "the storage of a socket to tune": (
        "tune --storage memory ./dead.sock",
        ["cannot use --storage here", "does not start", "leave --storage out"],
    ),
    "several back-ends to tune": (
        "tune qsd --backend-option aio=threads,io_uring",
        ["cannot tune aio=threads and aio=io_uring", "several back-ends", "pyfio-virtio sweep"],
    ),
    "one value of each option to tune": (
        "tune --goal latency --wait busy --cpus any --set event_idx=off --set indirect=off",
        ["nothing to choose from", "each option has one value", "--wait event,busy"],
    ),
    "a folder that cannot be made": ("tune -o file/new", ["cannot write to file/new"]),
    "no fio": ("run --fio fioo", ["cannot run fioo", "no such program", "apt install fio"]),
    "a variable that is not set": ("run --socket ''", ["--socket is empty", "leave it out"]),
}


@pytest.fixture
def folder(private: Path) -> Path:
    """Where the newcomer works."""
    (private / "aio.fio").write_text("[a]\nioengine=libaio\nfilename=/dev/sdz\nrw=read\nsize=1m\n")
    (private / "file").write_text("text")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(private / "dead.sock"))
    return private


@pytest.mark.parametrize(("words", "parts"), MISTAKES.values(), ids=MISTAKES)
def test_a_first_mistake_is_answered(
    main_here: RunCommand, folder: Path, words: str, parts: list[str]
) -> None:
    before = sorted(folder.rglob("*"))
    ended = main_here(*shlex.split(words))
    assert ended.status in (2, 3)
    assert (ended.stdout, ended.stderr.count("\n")) == ("", 1), ended.stderr
    places = [ended.stderr.find(part) for part in parts]
    assert -1 not in places, ended.stderr
    assert places == sorted(places), ended.stderr
    assert sorted(folder.rglob("*")) == before

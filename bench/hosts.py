# SPDX-License-Identifier: GPL-2.0-or-later
"""What a controller of many hosts needs: servers on this machine, and one run on 1, 8 and 32.

Owns the servers, which are `pyfio-virtio serve` at Unix sockets in a private folder, and the peer:
one plain `fio --client` for the same servers. The disks keep nothing and each job does few I/Os a
second, so that the two CPUs do not limit. Called from the main thread, and prints nothing.
"""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from bench import many_hosts
from bench.many_hosts import JOB, name_of
from pyfio_virtio.hosts.logs import LOG_MS, LOG_OPTIONS
from pyfio_virtio.hosts.window import read_log
from pyfio_virtio.machine import process

COUNTS = (1, 8, 32)
COPIES = (100, 1000)
RUNTIME_S = 3
RATE_IOPS = 200
_LOOK_S = 0.2
_LIMIT_S = 90
_MIB = 1 << 20
_LOAD = {
    "ioengine": "fio_virtio",
    "wait": "event",
    "rw": "randread",
    "iodepth": "16",
    "rate_iops": str(RATE_IOPS),
    "time_based": "1",
    "runtime": str(RUNTIME_S),
    "thread": "1",
}
_PEERS_DISK = "; pyfio-virtio: --backend builtin --storage null --disk-size 64M\n"


@dataclass(frozen=True)
class Whole:
    """One run of ours and one of the peer, with the same number of hosts."""

    hosts: int
    ours: Mapping[str, Any]  # as many_hosts.Controlled
    descriptors: int  # the most that the controller had open
    clients: int  # processes fio --client
    client_peak_bytes: int  # of one of them
    clients_pss_bytes: int  # of all of them, shared pages counted once
    peer_cpu_s: float
    peer_peak_bytes: int
    peer_skew_ms: float
    peer_first_io_s: float


def job_text(extra: Mapping[str, str | None]) -> str:
    options = {**_LOAD, **extra}
    return "".join(["[load]\n", *(f"{key}={value}\n" for key, value in options.items())])


@contextmanager
def servers(count: int) -> Iterator[Path]:
    """The folder with the sockets of so many hosts."""
    folder = Path(tempfile.mkdtemp(prefix="pyfio-virtio-hosts-"))
    started: list[process.Process] = []
    try:
        for number in range(count):
            socket = folder / f"{name_of(number)}.sock"
            command = [sys.executable, "-m", "pyfio_virtio", "serve", "--listen", f"unix:{socket}"]
            with (folder / "serve.log").open("ab") as log:
                started.append(
                    process.start(
                        command, death_signal=signal.SIGTERM, output=subprocess.DEVNULL, errors=log
                    )
                )
        _await_sockets(folder, count)
        yield folder
    finally:
        for each in started:
            os.kill(each.pid, signal.SIGTERM)
        for each in started:
            process.finish(each)
        shutil.rmtree(folder, ignore_errors=True)


def _await_sockets(folder: Path, count: int) -> None:
    end_s = time.monotonic() + _LIMIT_S
    while len(list(folder.glob("*.sock"))) < count:
        if time.monotonic() > end_s:
            raise TimeoutError(f"the servers do not listen: {(folder / 'serve.log').read_text()}")
        time.sleep(_LOOK_S)


def measure(folder: Path, count: int, copies: Sequence[int]) -> Whole:
    """One run of ours and one of the peer on the first `count` hosts in the folder."""
    ours, seen = _controlled(folder, count, copies)
    peak = max(seen.peaks.values(), default=0)
    of_clients = (seen.descriptors, len(seen.peaks), peak, seen.pss_bytes)
    return Whole(count, ours, *of_clients, *_peer(folder, count))


@dataclass
class _Seen:
    """What was seen of a controller and its clients while it ran."""

    descriptors: int = 0
    pss_bytes: int = 0
    peaks: dict[int, int] = field(default_factory=dict)  # of each client, in bytes

    def look(self, pid: int) -> None:
        with suppress(OSError):
            self.descriptors = max(self.descriptors, len(list(Path(f"/proc/{pid}/fd").iterdir())))
        clients = _clients_of(pid)
        for each in clients:
            self.peaks[each] = max(self.peaks.get(each, 0), many_hosts.peak_bytes(each))
        self.pss_bytes = max(self.pss_bytes, sum(map(_pss_bytes, clients)))


def _controlled(folder: Path, count: int, copies: Sequence[int]) -> tuple[Mapping[str, Any], _Seen]:
    """What the controller said, and what was seen of it."""
    (folder / JOB).write_text(job_text({}))
    command = [sys.executable, "-m", many_hosts.__name__, str(folder), str(count)]
    seen = _Seen()
    with (folder / "said").open("w+") as said:
        child = subprocess.Popen([*command, *map(str, copies)], stdout=said)
        while child.poll() is None:
            seen.look(child.pid)
            time.sleep(_LOOK_S)
        if child.returncode:
            raise RuntimeError(f"the controller of {count} hosts failed")
        said.seek(0)
        return json.load(said), seen


def _clients_of(pid: int) -> list[int]:
    try:
        below = psutil.Process(pid).children()
        return [each.pid for each in below if "--client=sock:" in " ".join(each.cmdline())]
    except psutil.Error:
        return []


def _pss_bytes(pid: int) -> int:
    """The memory of a process; what several processes share is divided between them."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Pss:"))


def _peer(folder: Path, count: int) -> tuple[float, int, float, float]:
    """The CPU time, the peak, the skew and the first I/O of the last host of one fio --client."""
    job = job_text({"filename": "disk.sock", **LOG_OPTIONS})
    (folder / JOB).write_text(_PEERS_DISK + job)
    clients = [f"--client=sock:{name_of(number)}.sock" for number in range(count)]
    words = [word for each in clients for word in (each, JOB)]
    flags = ["--eta=never", "--output-format=json+", "--output=peer.json"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun_s, peak = time.time(), 0
    child = subprocess.Popen(["fio", *flags, *words], cwd=folder, stdout=subprocess.DEVNULL)
    while child.poll() is None:
        if time.time() > begun_s + _LIMIT_S:
            child.kill()
            raise TimeoutError(f"plain fio with {count} hosts hung")
        peak = max(peak, many_hosts.peak_bytes(child.pid))
        time.sleep(_LOOK_S)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    logs = sorted(folder.glob("fio_iops.*.log.*"))
    begins = [read_log(each, LOG_MS)[0].span.begin for each in logs]
    for each in folder.glob("fio_*.log*"):
        each.unlink()
    if child.returncode or len(begins) != count:
        raise RuntimeError(f"plain fio did not run on {count} hosts: {len(begins)} have a log")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu_s, peak, (max(begins) - min(begins)) / 1e6, max(begins) / 1e9 - begun_s


# ---- tables ---------------------------------------------------------------------------------


def table(rounds: Sequence[Sequence[Whole]]) -> str:
    """Medians of the rounds, with their range."""
    by_count = {each[0].hosts: each for each in zip(*rounds, strict=True)}
    lines = [_RUN_HEAD, *(_run_line(runs) for runs in by_count.values())]
    text = _form(lines) + "\n" + _growth(by_count) + "\n"
    merges = list(zip(*(each["merges"] for each in _ours(rounds)), strict=True))
    return text + _form([_MERGE_HEAD, *map(_merge_line, merges)])


def _ours(rounds: Sequence[Sequence[Whole]]) -> list[Mapping[str, Any]]:
    """What the controllers of the most hosts said."""
    return [each[-1].ours for each in rounds]


_RUN_HEAD = (
    *("hosts", "controller's CPU s", "its clients' CPU s", "controller's peak MiB"),
    *("a client's peak MiB", "all clients MiB (PSS)", "descriptors", "disks ready s"),
    *(
        "last host's first I/O s",
        "skew of RUN ms",
        "of START",
        "of I/O",
        "files of a host KiB",
        "of which json+",
    ),
    *("one fio: CPU s", "its peak MiB", "its last host's first I/O s", "its skew of I/O ms"),
)
_MERGE_HEAD = ("hosts", "read s", "combine s", "peak MiB")


def _run_line(runs: Sequence[Whole]) -> list[str]:
    def ours(name: str, factor: float = 1, form: str = ".2f") -> str:
        return _range([each.ours[name] * factor for each in runs], form)

    def theirs(name: str, factor: float = 1, form: str = ".2f") -> str:
        return _range([getattr(each, name) * factor for each in runs], form)

    return [
        str(runs[0].hosts),
        *(ours("own_cpu_s"), ours("clients_cpu_s"), ours("peak_bytes", 1 / _MIB, ".0f")),
        theirs("client_peak_bytes", 1 / _MIB, ".1f"),
        theirs("clients_pss_bytes", 1 / _MIB, ".1f"),
        *(theirs("descriptors", 1, ".0f"), ours("ready_s"), ours("first_io_s")),
        *(ours(f"{each}skew_ms", 1, ".1f") for each in ("run_", "start_", "")),
        ours("result_bytes", 1 / 1024, ".1f"),
        ours("json_bytes", 1 / 1024, ".1f"),
        *(theirs("peer_cpu_s"), theirs("peer_peak_bytes", 1 / _MIB, ".1f")),
        *(theirs("peer_first_io_s"), theirs("peer_skew_ms", 1, ".0f")),
    ]


def _merge_line(merges: Sequence[Mapping[str, float]]) -> list[str]:
    shown = [_range([each[name] for each in merges], ".3f") for name in ("read_s", "combine_s")]
    peak = _range([each["peak_bytes"] / _MIB for each in merges], ".0f")
    return [str(merges[0]["hosts"]), *shown, peak]


def _growth(by_count: Mapping[int, Sequence[Whole]]) -> str:
    """What a further host costs, from the fewest to the most."""
    few, many = min(by_count), max(by_count)
    if few == many:
        return ""

    def slope(value: Callable[[Whole], float]) -> float:
        ends = [median(map(value, by_count[count])) for count in (few, many)]
        return (ends[1] - ends[0]) / (many - few)

    return (
        f"Each further host ({few} to {many}): "
        f"{slope(lambda each: each.ours['own_cpu_s']) * 1000:.0f} ms of CPU, "
        f"{slope(lambda each: each.ours['peak_bytes']) / _MIB:.2f} MiB and "
        f"{slope(lambda each: each.descriptors):.1f} descriptors of the controller; "
        f"{slope(lambda each: each.ours['clients_cpu_s']) * 1000:.0f} ms and "
        f"{slope(lambda each: each.clients_pss_bytes) / _MIB:.1f} MiB of its client. "
        f"Of one fio for all: {slope(lambda each: each.peer_cpu_s) * 1000:.1f} ms, "
        f"{slope(lambda each: each.peer_peak_bytes) / _MIB:.2f} MiB.\n"
    )


def _range(values: Sequence[float], form: str) -> str:
    """The median; with several rounds also the lowest and the highest."""
    middle, low, high = (format(each, form) for each in (median(values), min(values), max(values)))
    return middle if low == high else f"{middle} ({low} to {high})"


def _form(lines: Sequence[Sequence[str]]) -> str:
    head, *rest = lines
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, ["---"] * len(head), *rest))

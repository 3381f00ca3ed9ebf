# SPDX-License-Identifier: GPL-2.0-or-later
"""What is tried with a fio and an engine: short runs on a disk in memory, each with a verdict."""

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyfio_virtio.backends import backends
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.engine.engine import NAME
from pyfio_virtio.fio.fio import split_notes
from pyfio_virtio.fio.job import escaped_filename
from tests.limited import run_limited

# Ample for each run; it only bounds a hang.
_LIMIT_S = 60.0
_DISK_BYTES = 64 << 20
_QUEUES = 4


@dataclass(frozen=True)
class Pair:
    """A fio, and the folder of an engine that may be another fio's."""

    fio: Path
    engine: Path


@dataclass(frozen=True)
class Ended:
    status: int
    stdout: str
    stderr: str

    def ios(self, direction: str) -> int:
        """Of all jobs together."""
        _, document = split_notes(self.stdout)
        jobs: list[Mapping[str, Any]] = json.loads(document)["jobs"] if document else []
        return sum(job[direction]["total_ios"] for job in jobs)

    def sentence(self) -> str:
        """The one sentence in which the engine refuses; empty if there is not exactly one."""
        said = re.findall(rf"^{NAME}: (.*)$", self.stderr, re.MULTILINE)
        return said[0] if self.status > 0 and len(said) == 1 else ""


@contextmanager
def disk() -> Iterator[str]:
    """The socket of a back-end."""
    with tempfile.TemporaryDirectory(prefix="pv-") as folder:
        spec = BackendSpec(kind="builtin", size_bytes=_DISK_BYTES, queues=_QUEUES)
        backend = backends.start(spec, f"{folder}/disk", f"{folder}/log")
        try:
            yield backend.socket
        finally:
            backend.stop()


def fio(pair: Pair, *arguments: str) -> Ended:
    command = [str(pair.fio), *arguments]
    environment = {"LD_LIBRARY_PATH": str(pair.engine)}
    with tempfile.TemporaryDirectory(prefix="pv-") as folder:
        ended, status, stdout, stderr = run_limited(command, environment, _LIMIT_S, Path(folder))
    return Ended(status, stdout, stderr if ended else f"fio did not end\n{stderr}")


def job(pair: Pair, socket: str, *options: str) -> Ended:
    return fio(
        pair,
        *("--output-format=json", "--name=trial", f"--ioengine={NAME}", "--bs=4k", "--iodepth=16"),
        *(f"--filename={escaped_filename(socket)}", "--clocksource=clock_gettime", *options),
    )


# ---- the trials -----------------------------------------------------------------------------


Trial = Callable[[Pair, str], bool]


def _counts(direction: str, ios: int, *options: str) -> Trial:
    def trial(pair: Pair, socket: str) -> bool:
        run = job(pair, socket, *options)
        return run.status == 0 and run.ios(direction) == ios

    return trial


def _lists_options(pair: Pair, socket: str) -> bool:
    return "sleepy_poll" in fio(pair, f"--enghelp={NAME}").stdout


def _refuses(pair: Pair, socket: str) -> bool:
    said = job(pair, socket, "--thread=1", "--rw=randread", "--size=1m", "--bs=1000").sentence()
    return "bs=1000" in said


def _refuses_ranges(pair: Pair, socket: str) -> bool:
    """The engine trims one range at a time, so fio refuses such a job, or lacks the option."""
    run = job(pair, socket, "--thread=1", "--rw=randtrim", "--size=1m", "--num_range=4")
    return run.status > 0 and any(word in run.stderr for word in ("num_range", "multiple ranges"))


TRIALS: Mapping[str, Trial] = {
    "enghelp": _lists_options,
    "read": _counts("read", 1024, "--thread=1", "--rw=randread", "--size=4m"),
    "verify": _counts("read", 1024, "--thread=1", "--rw=randwrite", "--size=4m", "--verify=crc32c"),
    "trim": _counts("trim", 256, "--thread=1", "--rw=randtrim", "--size=1m"),
    "ranges": _refuses_ranges,
    "threads": _counts("write", 768, "--thread=1", "--numjobs=3", "--rw=write", "--size=1m"),
    "processes": _counts("write", 768, "--numjobs=3", "--rw=write", "--size=1m"),
    "at once": _counts(
        "read", 768, "--create_serialize=0", "--numjobs=3", "--rw=read", "--size=1m"
    ),
    "refusal": _refuses,
}


def failures(pair: Pair) -> list[str]:
    """The names of the trials that fail."""
    with disk() as socket:
        return [name for name, trial in TRIALS.items() if not trial(pair, socket)]


def refusal(pair: Pair) -> str:
    """The sentence in which the engine refuses this fio; empty if it does not.

    No back-end is needed, because the engine refuses before it looks at the job.
    """
    return job(pair, "/nonexistent/socket", "--rw=read", "--size=1m").sentence()

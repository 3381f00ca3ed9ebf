# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs a job on a side: our engine on a back-end, or an engine of fio's own on files.

All sides begin with the same bytes on the disks, and each fio runs in a folder of its own. For
fio's engines the disks are files that block_file.c makes look like block devices. Nothing here
judges: see compare.py.
"""

import atexit
import json
import os
import random
import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pyfio_virtio.backends import backends
from pyfio_virtio.backends.builtin_engine import BuiltinBackend, Settings
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.engine.engine import NAME
from pyfio_virtio.engine.engine import folder as engine_folder
from pyfio_virtio.fio.fio import library_path, split_notes
from tests.differential.jobs import DIRECTIONS, WRITTEN, Fault, Job
from tests.differential.running import Environment, in_full, new_folder, run_fio

QUEUES = 16


@dataclass(frozen=True)
class Count:
    """What one job did in one direction."""

    ios: int
    bytes: int
    short: int
    dropped: int


@dataclass(frozen=True)
class JobResult:
    name: str
    failed: bool
    errors: int  # that were passed over: continue_on_error=
    flushes: int
    counts: Mapping[str, Count]  # by direction


@dataclass(frozen=True)
class Outcome:
    side: str
    ended: bool  # within LIMIT_S
    failed: bool
    jobs: Sequence[JobResult]
    disks: Sequence[bytes]
    said: str
    written: str = ""  # the log of write_iolog=

    def describe(self) -> str:
        state = "did not end" if not self.ended else "failed" if self.failed else "succeeded"
        lines = [f"{self.side} {state}"]
        for job in self.jobs:
            counts = [f"{name} {count}" for name, count in job.counts.items() if count.ios]
            state = "failed" if job.failed else "ok"
            lines.append(
                f"  {job.name}: {state}, {job.errors} errors, {job.flushes} flushes, "
                + ", ".join(counts)
            )
        return "\n".join([*lines, *(f"  | {line}" for line in self.said.splitlines()[-8:])])


# ---- disks ---------------------------------------------------------------------------------------


@cache
def first_bytes(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def make_disks(job: Job, folder: Path) -> list[Path]:
    folder.mkdir(exist_ok=True)
    images = [folder / str(number) for number in range(job.num_disks)]
    for image in images:
        image.write_bytes(first_bytes(job.disk_bytes))
    return images


def results(document: str) -> list[JobResult]:
    raw = json.loads(document) if document else {}
    # A job with stats=0 has an entry without a name.
    return [_result(each) for each in raw.get("jobs", []) if "jobname" in each]


def _result(raw: Mapping[str, Any]) -> JobResult:
    return JobResult(
        name=raw["jobname"],
        failed=raw["error"] != 0,
        errors=raw.get("total_err", 0),
        flushes=raw.get("sync", {}).get("total_ios", 0),
        counts={
            name: Count(
                raw[name]["total_ios"],
                raw[name]["io_bytes"],
                raw[name]["short_ios"],
                raw[name]["drop_ios"],
            )
            for name in (*DIRECTIONS, "mixed")  # unified_rw_reporting= chooses
            if name in raw
        },
    )


# ---- the sides -----------------------------------------------------------------------------------


class Side(ABC):
    name: str
    engine: str
    images = "images"  # the folder of the files that hold the disks' bytes

    @abstractmethod
    def serve(self, job: Job, images: Sequence[Path]) -> AbstractContextManager[Environment]:
        """Serves the disks under fio's names for them; the value is fio's environment."""

    def run(self, job: Job, logs: Mapping[str, bytes]) -> Outcome:
        """`logs` are those that the job replays."""
        with new_folder() as folder:
            (folder / "disks").mkdir()
            for name, log in logs.items():
                (folder / name).write_bytes(log)
            images = make_disks(job, folder / self.images)
            text = in_full(job, f"ioengine={self.engine}", job.sections)
            with self.serve(job, images) as environment:
                ended, status, stdout, stderr = run_fio(folder, text, environment)
            notes, document = split_notes(stdout)
            disks = [image.read_bytes() for image in images]
            said = f"{stderr}\n{notes}".strip()
            path = folder / WRITTEN
            written = path.read_text() if path.exists() else ""
            return Outcome(self.name, ended, status != 0, results(document), disks, said, written)


class OnBuiltin(Side):
    """Our engine on the built-in back-end, which may play another one."""

    engine = NAME

    def __init__(self, profile: str = "") -> None:
        self.profile = profile
        self.name = f"{NAME} on {profile}" if profile else NAME

    @contextmanager
    def serve(self, job: Job, images: Sequence[Path]) -> Iterator[Environment]:
        with ExitStack() as stack:
            for image in images:
                stack.enter_context(self.start(job, image))
            yield {"LD_LIBRARY_PATH": library_path(engine_folder())}

    def start(self, job: Job, image: Path) -> AbstractContextManager[object]:
        """A back-end in this process."""
        return BuiltinBackend(
            Settings(
                socket_path=_socket(image),
                device=job.device,
                profile=self.profile,
                storage=f"file:{image}",
                block_bytes=job.block_bytes,
                queue_count=QUEUES,
                fault=" ".join(_fault_words(job.faults)),
            )
        )


def _socket(image: Path) -> str:
    return str(image.parent.parent / "disks" / image.name)


def _fault_words(faults: Sequence[Fault]) -> Iterator[str]:
    kinds = {"trim": ("discard", "write-zeroes")}
    for fault in faults:
        if fault.direction == "sync":
            yield "error:type=flush"
            continue
        first, last = fault.first_byte // 512, (fault.first_byte + fault.num_bytes) // 512 - 1
        for kind in kinds.get(fault.direction, (fault.direction,)):
            yield f"error:type={kind},sectors={first}-{last}"


class OnDaemon(OnBuiltin):
    """Our engine on qemu-storage-daemon, which has no faults and virtio-blk alone."""

    def __init__(self) -> None:
        super().__init__("qemu-storage-daemon")

    @contextmanager
    def start(self, job: Job, image: Path) -> Iterator[object]:
        spec = BackendSpec(
            kind="qsd", storage=f"file:{image}", block_size=job.block_bytes, queues=QUEUES
        )
        backend = backends.start(spec, _socket(image), f"{image}.output")
        try:
            yield backend
        finally:
            backend.stop()


class OnFile(Side):
    """An engine of fio's own."""

    images = "disks"

    def __init__(self, name: str) -> None:
        self.name = self.engine = name

    def serve(self, job: Job, images: Sequence[Path]) -> AbstractContextManager[Environment]:
        return nullcontext(
            {
                "LD_PRELOAD": str(block_file()),
                "BLOCK_FILES": str(images[0].parent),
                "BLOCK_BYTES": str(job.block_bytes),
                "BLOCK_FAULTS": "".join(map(_fault_of_file, job.faults)),
            }
        )


def _fault_of_file(fault: Fault) -> str:
    """See block_file.c."""
    if fault.direction == "sync":
        return "s:0-0 "
    last = fault.first_byte + fault.num_bytes - 1
    return f"{fault.direction[0]}:{fault.first_byte}-{last} "


@cache
def block_file() -> Path:
    """The library, compiled once for each process."""
    source = Path(__file__).with_name("block_file.c")
    folder = tempfile.mkdtemp(prefix="pv-")
    atexit.register(shutil.rmtree, folder)
    target = Path(folder) / "block_file.so"
    options = ["-O1", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
    compiler = os.environ.get("CC", "gcc")
    subprocess.run([compiler, *options, str(source), "-o", str(target)], check=True)
    return target


FIOS_OWN = (OnFile("libaio"), OnFile("psync"))

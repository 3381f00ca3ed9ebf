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
from pyfio_virtio.engine.engine import NAME
from pyfio_virtio.engine.engine import folder as engine_folder
from pyfio_virtio.fio.fio import library_path, split_notes
from tests.differential.jobs import DIRECTIONS, LOG, Fault, Job
from tests.limited import run_limited

# Ample for each of the jobs; it only bounds a hang.
LIMIT_S = 30.0
QUEUES = 16
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - disks there need no real one

Environment = Mapping[str, str]


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


@contextmanager
def new_folder() -> Iterator[Path]:
    place = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="pv-", dir=place) as folder:
        yield Path(folder)


def make_disks(job: Job, folder: Path) -> list[Path]:
    folder.mkdir(exist_ok=True)
    images = [folder / str(number) for number in range(job.num_disks)]
    for image in images:
        image.write_bytes(first_bytes(job.disk_bytes))
    return images


def names(job: Job) -> list[str]:
    """What fio calls the disks. It is the same on all sides, because fio makes seeds of it."""
    return [f"disks/{number}" for number in range(job.num_disks)]


# ---- fio -----------------------------------------------------------------------------------------


def run_fio(folder: Path, text: str, environment: Environment) -> tuple[bool, int, str, str]:
    """Whether it ended, with which status, and what it wrote."""
    (folder / "job.fio").write_text(text)
    return run_limited(["fio", "--output-format=json", "job.fio"], environment, LIMIT_S, folder)


def write_log(job: Job) -> str:
    """The log of a run on no disk."""
    assert job.logged
    own = f"ioengine=null\nfilesize={job.disk_bytes}\nwrite_iolog={LOG}\n"
    with new_folder() as folder:
        run_fio(folder, in_full(job, own, job.logged.text()), {})
        written = folder / LOG
        return written.read_text() if written.exists() else "fio version 2 iolog\n"


def in_full(job: Job, own: str, sections: str) -> str:
    """A job file; `own` are options for all sections."""
    return f"[global]\nfilename={':'.join(names(job))}\n{own}\n{sections}"


def results(document: str) -> list[JobResult]:
    raw = json.loads(document) if document else {}
    return [_result(each) for each in raw.get("jobs", [])]


def _result(raw: Mapping[str, Any]) -> JobResult:
    return JobResult(
        name=raw["jobname"],
        failed=raw["error"] != 0,
        errors=raw.get("total_err", 0),
        flushes=raw["sync"]["total_ios"],
        counts={
            name: Count(
                raw[name]["total_ios"],
                raw[name]["io_bytes"],
                raw[name]["short_ios"],
                raw[name]["drop_ios"],
            )
            for name in DIRECTIONS
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

    def run(self, job: Job, log: str) -> Outcome:
        """`log` is what write_log() returned, or ""."""
        with new_folder() as folder:
            (folder / "disks").mkdir()
            (folder / LOG).write_text(log)
            images = make_disks(job, folder / self.images)
            text = in_full(job, f"ioengine={self.engine}", job.text())
            with self.serve(job, images) as environment:
                ended, status, stdout, stderr = run_fio(folder, text, environment)
            notes, document = split_notes(stdout)
            disks = [image.read_bytes() for image in images]
            said = f"{stderr}\n{notes}".strip()
            return Outcome(self.name, ended, status != 0, results(document), disks, said)


class OnBuiltin(Side):
    """Our engine on the built-in back-end."""

    name = engine = NAME

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
        first, last = fault.first_byte // 512, (fault.first_byte + fault.num_bytes) // 512 - 1
        for kind in kinds.get(fault.direction, (fault.direction,)):
            yield f"error:type={kind},sectors={first}-{last}"


class OnDaemon(OnBuiltin):
    """Our engine on qemu-storage-daemon, which has no faults and virtio-blk alone."""

    name = f"{NAME} on qemu-storage-daemon"

    @contextmanager
    def start(self, job: Job, image: Path) -> Iterator[object]:
        spec = backends.BackendSpec(
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
        faults = [
            f"{fault.direction[0]}:{fault.first_byte}-{fault.first_byte + fault.num_bytes - 1} "
            for fault in job.faults
        ]
        return nullcontext(
            {
                "LD_PRELOAD": str(block_file()),
                "BLOCK_FILES": str(images[0].parent),
                "BLOCK_BYTES": str(job.block_bytes),
                "BLOCK_FAULTS": "".join(faults),
            }
        )


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

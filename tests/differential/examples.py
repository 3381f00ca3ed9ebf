# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the job files of fio's own source tree: by `pyfio-virtio run` here, and on fio's libaio.

EXAMPLES says how each file is made small, by options that follow `--` on our side. On fio's side
they are the last lines of each job, because there a file takes precedence over the command line.
Files that cannot run here are in docs/fio-examples.md, with reasons. The bytes of the disks are not
compared, because most of these jobs write bytes that depend on the time.

python -m tests.differential.examples [WORD...]
    runs all of them, or those with one of the words in their paths, and prints each difference.
"""

import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pyfio_virtio.engine import engine
from pyfio_virtio.fio import job as job_files
from pyfio_virtio.fio.fio import split_notes
from tests.differential.compare import Difference, differences
from tests.differential.jobs import MIB, Job, Section
from tests.differential.running import LIMIT_S, new_folder, run_fio
from tests.differential.sides import OnFile, Outcome, results
from tests.limited import run_limited

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDERS = ("examples", "t/jobs")
SMALL = "--size=1m"
UNTIMED = "--time_based=0 --runtime=0"
SHORT = f"{UNTIMED} {SMALL}"
# For ${...} in job files.
ENVIRONMENT = {"FIO_RW": "randrw", "FIO_IODEPTH": "4", "FIO_BS": "4k"}


@dataclass(frozen=True)
class Example:
    words: str = SMALL  # follow --
    lacks: str = ""  # options in the file that libaio lacks, or with which fio 3.33 never ends
    disk_bytes: int = 16 * MIB
    after: str = ""  # the file that runs before it, on the same disk
    fails: bool = False  # on both sides, as fio's own test of it expects
    quick: bool = False  # it is one of those that `make test` runs


HTTP = Example(SMALL, "http.* https")
SG = Example("", "sg_write_mode")
OFFLOAD = "io_submit_mode"
URING = "cmd_type sqthread_poll sqthread_poll_cpu nonvectored registerfiles"
CUFILE = Example(f"{SMALL} --bs=64k --numjobs=1 --stonewall", "gpu_dev_ids cuda_io")
ZONED = "--zonesize=256k --bs=64k"
LARGE = 6 << 30

EXAMPLES = {
    "examples/1mbs_clients.fio": Example(
        "--startdelay=0 --size=8k --rate=64k --rate_min=0", quick=True
    ),
    "examples/aio-read.fio": Example(quick=True),
    "examples/backwards-read.fio": Example(quick=True),
    "examples/basic-verify.fio": Example(quick=True),
    "examples/butterfly.fio": Example(),
    "examples/cmdprio-bssplit.fio": Example("", quick=True),
    "examples/cmdprio-percentage.fio": Example(),
    "examples/cpp_null.fio": Example(SHORT),
    "examples/cross-stripe-verify.fio": Example(
        "--numjobs=7 --offset_increment=2m --io_size=112k", quick=True
    ),
    "examples/dedupe-global.fio": Example(),
    "examples/dev-dax.fio": Example(f"{UNTIMED} --size=4m --numjobs=2"),
    "examples/dfs.fio": Example(f"{SHORT} --bs=64k", "pool cont"),
    "examples/disk-zone-profile.fio": Example("--zonesize=64k --zoneskip=128k", quick=True),
    "examples/exitwhat.fio": Example("--number_ios=100"),
    "examples/fio-rand-RW.fio": Example(SHORT, quick=True),
    "examples/fio-rand-read.fio": Example(SHORT),
    "examples/fio-rand-write.fio": Example(SHORT),
    "examples/fio-seq-RW.fio": Example(SHORT),
    "examples/fio-seq-read.fio": Example(SHORT),
    "examples/fio-seq-write.fio": Example(SHORT),
    "examples/fixed-rate-submission.fio": Example(lacks=OFFLOAD),
    "examples/flow.fio": Example(SHORT),
    "examples/fsx.fio": Example("--loops=3"),
    "examples/gfapi.fio": Example("", "volume brick filesize nrfiles openfiles"),
    "examples/http-s3-crypto.fio": HTTP,
    "examples/http-s3-storage-class.fio": HTTP,
    "examples/http-s3.fio": HTTP,
    "examples/http-swift.fio": HTTP,
    "examples/http-webdav.fio": Example(f"{SMALL} --numjobs=1", HTTP.lacks),
    "examples/ime.fio": Example(),
    "examples/iometer-file-access-server.fio": Example(quick=True),
    "examples/jesd219.fio": Example(f"{SMALL} --randrepeat=1", quick=True),
    "examples/latency-profile.fio": Example(f"{SMALL} --latency_window=500000"),
    "examples/libcufile-cufile.fio": CUFILE,
    "examples/libcufile-posix.fio": CUFILE,
    "examples/libhdfs.fio": Example(SHORT),
    "examples/libiscsi.fio": Example(),
    "examples/libpmem.fio": Example(SHORT),
    "examples/libzbc-rand-write.fio": Example(f"{SHORT} {ZONED} --numjobs=1"),
    "examples/libzbc-seq-read.fio": Example(f"{SMALL} {ZONED} --offset=0"),
    "examples/mtd.fio": Example(f"{SMALL} --block_error_percentiles=0", "skip_bad"),
    "examples/nbd.fio": Example(SHORT, disk_bytes=256 * MIB),
    "examples/nfs.fio": Example(f"{SHORT} --bs=64k --ramp_time=0", "nfs_url"),
    "examples/null.fio": Example(),
    "examples/numa.fio": Example(f"{SMALL} --numa_cpu_nodes=0 --numa_mem_policy=bind:0"),
    "examples/pmemblk.fio": Example(SHORT),
    "examples/poisson-rate-submission.fio": Example("--size=128k", OFFLOAD),
    "examples/rados.fio": Example(SMALL, "clientname pool conf busy_poll"),
    "examples/rand-zones.fio": Example(quick=True),
    "examples/rbd.fio": Example(SMALL, "clientname pool rbdname"),
    "examples/sg_verify-fail.fio": SG,
    "examples/sg_verify.fio": SG,
    "examples/sg_write_same_ndob.fio": SG,
    "examples/ssd-steadystate.fio": Example(),
    "examples/ssd-test.fio": Example(SHORT),
    "examples/steadystate.fio": Example(SHORT),
    "examples/surface-scan.fio": Example(quick=True),
    "examples/tiobench-example.fio": Example(),
    "examples/uring-cmd-ng.fio": Example(SMALL, URING),
    "examples/uring-cmd-zoned.fio": Example(f"{SMALL} {ZONED}", URING),
    "examples/waitfor.fio": Example(SHORT, quick=True),
    "examples/xnvme-compare.fio": Example(f"{SHORT} --ramp_time=0"),
    "examples/xnvme-zoned.fio": Example(f"{SMALL} {ZONED} --ramp_time=0 --stonewall --rw=write"),
    "examples/zbd-rand-write.fio": Example(f"{SHORT} {ZONED} --numjobs=1"),
    "examples/zbd-seq-read.fio": Example(f"{SMALL} {ZONED} --offset=0"),
    "examples/zipf.fio": Example(),
    "t/jobs/t0001-52c58027.fio": Example("", quick=True),
    "t/jobs/t0002-13af05ae-post.fio": Example(
        f"{SMALL} --group_reporting=0",
        disk_bytes=LARGE,
        after="t/jobs/t0002-13af05ae-pre.fio",
        quick=True,
    ),
    "t/jobs/t0002-13af05ae-pre.fio": Example(disk_bytes=LARGE),
    "t/jobs/t0003-0ae2c6e1-post.fio": Example(
        f"{SMALL} --group_reporting=0",
        disk_bytes=LARGE,
        after="t/jobs/t0003-0ae2c6e1-pre.fio",
        fails=True,
    ),
    "t/jobs/t0003-0ae2c6e1-pre.fio": Example(disk_bytes=LARGE),
    "t/jobs/t0004-8a99fdf6.fio": Example(disk_bytes=LARGE),
    "t/jobs/t0005-f7078f7b.fio": Example(),
    "t/jobs/t0006-82af2a7c.fio": Example(),
    "t/jobs/t0007-37cf9e3c.fio": Example("--size=8m"),
    "t/jobs/t0008-ae2fafc8.fio": Example(quick=True),
    "t/jobs/t0009-f8b0bd10.fio": Example(
        f"{SHORT} --stonewall --cpus_allowed_policy=shared --cpus_allowed=0 --verify_async=0 "
        "--verify_async_cpus=0 --randrepeat=1"
    ),
    "t/jobs/t0010-b7aae4ba.fio": Example(lacks=OFFLOAD),
    "t/jobs/t0011-5d2788d5.fio": Example(),
    "t/jobs/t0012.fio": Example(),
    "t/jobs/t0013.fio": Example("--loops=20", OFFLOAD),
    "t/jobs/t0014.fio": Example(SHORT),
    "t/jobs/t0015-e78980ff.fio": Example(),
    "t/jobs/t0016-d54ae22.fio": Example(),
    "t/jobs/t0017.fio": Example(),
    "t/jobs/t0018.fio": Example(SHORT),
    "t/jobs/t0019.fio": Example(),
    "t/jobs/t0020.fio": Example(),
    "t/jobs/t0021.fio": Example(),
    "t/jobs/t0022.fio": Example(),
    "t/jobs/t0023.fio": Example(f"{SMALL} --randrepeat=1"),
    "t/jobs/t0024.fio": Example(f"{SMALL} --randrepeat=1"),
    "t/jobs/t0025.fio": Example(""),
    # In experimental_verify, fio turns writes into reads after libaio has prepared them as writes.
    "t/jobs/t0026.fio": Example(f"{UNTIMED} --experimental_verify=0"),
}


@cache
def tree() -> Path:
    return Path((ROOT / "build" / "fio-tree").read_text().strip())


def files() -> list[str]:
    """The job files of the source tree, by their paths in it."""
    found = (path for folder in FOLDERS for path in (tree() / folder).rglob("*.fio"))
    return sorted(str(path.relative_to(tree())) for path in found)


def paths(name: str) -> list[Path]:
    return [tree() / each for each in (EXAMPLES[name].after, name) if each]


# ---- fio's side ----------------------------------------------------------------------------------

_DISKS = "filename|filename_format|directory|ioengine|uri"


def text_for_libaio(path: Path, example: Example, waits: bool) -> str:
    """The file without what names disks and engines, and with the small values in each job."""
    typed = [word.removeprefix("--").partition("=")[0] for word in example.words.split()]
    gone = "|".join([_DISKS, *typed, *example.lacks.split()])
    text = re.sub(rf"^[ \t]*({gone})[ \t]*(=.*)?$", "", path.read_text(), flags=re.MULTILINE)
    text = re.sub(r"\$\{(\w+)\}", lambda name: ENVIRONMENT.get(name[1], ""), text)
    added = [word.removeprefix("--") for word in shlex.split(example.words)]
    parts = re.split(r"^(?=\[)", text, flags=re.MULTILINE)
    return "".join(_with_lines(part, [*added, *["stonewall"] * waits]) for part in parts)


def _with_lines(part: str, lines: Sequence[str]) -> str:
    """A section with further lines at its end, unless it is global."""
    is_job = part.startswith("[") and not part.startswith("[global")
    return "\n".join([part.rstrip(), *lines, ""]) if is_job else part


def run_on_libaio(name: str) -> Outcome:
    example = EXAMPLES[name]
    side = OnFile("libaio")
    sections = "".join(
        text_for_libaio(path, example, waits=number > 0) for number, path in enumerate(paths(name))
    )
    with new_folder() as folder:
        image = _sparse(folder / side.images / "0", example.disk_bytes)
        text = f"[global]\nfilename=disks/0\nioengine={side.engine}\n{sections}"
        with side.serve(_job(name), [image]) as environment:
            ended, status, stdout, stderr = run_fio(folder, text, environment)
        return _outcome(side.name, ended, status, stdout, stderr)


# ---- our side ------------------------------------------------------------------------------------


def run_here(name: str) -> Outcome:
    example = EXAMPLES[name]
    with new_folder() as folder:
        image = _sparse(folder / "images" / "0", example.disk_bytes)
        command = [sys.executable, "-m", "pyfio_virtio", "run", "--json", "--yes", "--convert"]
        command += [f"--storage=file:{image}", *map(str, paths(name))]
        environment = {
            "PYTHONPATH": str(ROOT),
            engine.FOLDER_VARIABLE: str(engine.folder()),
            "XDG_RUNTIME_DIR": str(folder),
            **ENVIRONMENT,
        }
        words = ["--", *shlex.split(example.words)]
        ended, status, stdout, stderr = run_limited(
            [*command, *words], environment, LIMIT_S, folder
        )
        return _outcome("pyfio-virtio run", ended, status, stdout, stderr)


# ---- both ----------------------------------------------------------------------------------------


def _sparse(path: Path, size: int) -> Path:
    path.parent.mkdir()
    with path.open("wb") as file:
        file.truncate(size)
    return path


def _outcome(side: str, ended: bool, status: int, stdout: str, stderr: str) -> Outcome:
    notes, document = split_notes(stdout)
    return Outcome(side, ended, status != 0, results(document), (b"",), f"{stderr}\n{notes}")


def _job(name: str) -> Job:
    """What compare.py and sides.py need to know of it."""
    sections = [
        Section(each.options.get("name", each.name), each.options)
        for path in paths(name)
        for each in job_files.read(path).sections()
    ]
    return Job("blk", 512, EXAMPLES[name].disk_bytes, 1, sections)


@dataclass(frozen=True)
class Compared:
    name: str
    outcomes: Sequence[Outcome]  # ours first
    differences: Sequence[Difference]

    def is_good(self) -> bool:
        """Both sides ran it to its end, alike, and only without an error unless it has to fail."""
        failed = [each.failed for each in self.outcomes]
        return not self.differences and failed == [EXAMPLES[self.name].fails] * 2

    def describe(self) -> str:
        lines = [f"{self.name} -- {EXAMPLES[self.name].words}", *map(str, self.differences)]
        return "\n".join([*lines, *(outcome.describe() for outcome in self.outcomes)])


def compare(name: str) -> Compared:
    outcomes = [run_here(name), run_on_libaio(name)]
    return Compared(name, outcomes, list(differences(_job(name), outcomes)))


def chosen(words: Sequence[str]) -> Iterator[str]:
    for name in files():
        if name in EXAMPLES and (not words or any(word in name for word in words)):
            yield name


def main() -> int:
    bad = 0
    for name in chosen(sys.argv[1:]):
        found = compare(name)
        print(name if found.is_good() else found.describe(), flush=True)
        bad += not found.is_good()
    print(f"{bad} of these do not run as on libaio")
    return min(1, bad)


if __name__ == "__main__":
    sys.exit(main())

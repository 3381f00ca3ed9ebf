# SPDX-License-Identifier: GPL-2.0-or-later
"""fio's verify, library threads and asyncio on back-ends that are killed, stopped and restarted.

    make soak MINUTES=30 SEED=1

Each round draws disks, jobs and ways of waiting (plan.py). While they run, back-ends are killed and
started again at random moments. Then everything is read back. Whatever was acknowledged must be
there, no job may fail, and neither this process nor fio may keep descriptors, threads, processes or
memory (growth.py). The last line has the counts.
"""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psutil

import pyfio_virtio
from pyfio_virtio import aio
from pyfio_virtio.backends.spec import BackendSpec
from tests import waiting
from tests.mortal import Load, Mortal, Region
from tests.soak.fio_job import JOB_BYTES, RECONNECT_S, FioJob, SoakError
from tests.soak.growth import FioWatch, Sample, grown, sample
from tests.soak.plan import DiskPlan, RoundPlan, draw_round

WORKERS = 4
# fio's jobs have the first part of each disk.
FIO_BYTES = 4 * JOB_BYTES
THREADS_REGION = Region(FIO_BYTES, 1 << 20)
TASKS_REGION = Region(FIO_BYTES + (1 << 20), 1 << 20)
DISK_BYTES = FIO_BYTES + (2 << 20)
# The pauses between two disturbances, and how long a back-end stays away or stands still.
PAUSES_S, AWAY_S, STANDS_S = (0.1, 1.5), (0.0, 0.8), (0.05, 0.5)
# A round's length in a long run.
ROUND_S = 20.0


@dataclass
class Disk:
    plan: DiskPlan
    mortal: Mortal
    threads_load: Load = field(default_factory=lambda: Load(THREADS_REGION, WORKERS))
    tasks_load: Load = field(default_factory=lambda: Load(TASKS_REGION, WORKERS))

    def end(self) -> None:
        self.threads_load.is_over = self.tasks_load.is_over = True


def start_disk(plan: DiskPlan, folder: Path, name: str) -> Disk:
    image = folder / f"{name}.img"
    image.write_bytes(bytes(DISK_BYTES))
    options = plan.mood + (("device=scsi",) if plan.device == "scsi" else ())
    spec = BackendSpec(
        kind=plan.kind,
        storage=f"{'memory' if plan.is_mapped else 'file'}:{image}",
        queues=plan.queues,
        options=options,
    )
    return Disk(plan, Mortal(folder, spec, name))


# ---- the library's loads ------------------------------------------------------------------------


def run_threads(disk: Disk, wait: str) -> Counter[str]:
    load = disk.threads_load
    with pyfio_virtio.open(
        disk.mortal.socket, wait=wait, reconnect_timeout_s=RECONNECT_S
    ) as opened:

        def work(worker: int) -> None:
            for offset, text in load.writes(worker):
                opened.pwrite(text, offset)
                if opened.pread(len(text), offset) != text:
                    raise SoakError(f"a thread read something else at {offset} than it wrote")

        with ThreadPoolExecutor(WORKERS) as pool:
            workers = [pool.submit(work, worker) for worker in range(WORKERS)]
            for each in workers:
                each.result()
        opened.flush()
        return counts_of(opened.reconnects, load)


def run_tasks(disk: Disk) -> Counter[str]:
    load = disk.tasks_load

    async def work(opened: aio.AsyncDisk, worker: int) -> None:
        for offset, text in load.writes(worker):
            await opened.pwrite(text, offset)
            if await opened.pread(len(text), offset) != text:
                raise SoakError(f"a task read something else at {offset} than it wrote")

    async def all_work() -> Counter[str]:
        async with aio.open(disk.mortal.socket, reconnect_timeout_s=RECONNECT_S) as opened:
            await asyncio.gather(*(work(opened, worker) for worker in range(WORKERS)))
            await opened.flush()
            return counts_of(opened.reconnects, load)

    return asyncio.run(all_work())


def counts_of(reconnects: "pyfio_virtio.engine.engine.Reconnects", load: Load) -> Counter[str]:
    return Counter(
        {"reconnects": reconnects.count, "replayed": reconnects.replayed, "I/Os": 2 * load.done}
    )


# ---- disturbance --------------------------------------------------------------------------------


def disturb(draw: random.Random, disk: Disk) -> str:
    """The back-end runs when this returns. The calling thread must outlive it."""
    if draw.random() < 0.25:
        pid = disk.mortal.backend.process.pid
        waiting.stop(pid)
        time.sleep(draw.uniform(*STANDS_S))
        waiting.go_on(pid)
        return "stops"
    disk.mortal.kill()
    time.sleep(draw.uniform(*AWAY_S))
    disk.mortal.start()
    return "kills"


# ---- a round ------------------------------------------------------------------------------------


@dataclass
class Round:
    plan: RoundPlan
    folder: Path
    seconds: float
    disks: list[Disk]
    counts: Counter[str] = field(default_factory=Counter)

    def job(self, name: str, *what: str) -> FioJob:
        sockets = tuple(disk.mortal.socket for disk in self.disks)
        return FioJob(self.plan, sockets, self.folder, name, what)

    def has_begun(self, job: FioJob, with_library: bool) -> bool:
        """Nobody connects for the first time any more."""
        loads = [disk for disk in self.disks if with_library and disk.plan.serves_many]
        return job.has_begun() and all(
            disk.threads_load.done and disk.tasks_load.done for disk in loads
        )

    def disturb_all(self, is_over: Callable[[], bool], watch: FioWatch) -> None:
        draw = random.Random(self.plan.disturbances)
        while not is_over():
            until = time.monotonic() + draw.uniform(*PAUSES_S)
            while time.monotonic() < until and not is_over():
                watch.sample()
                time.sleep(0.05)
            if not is_over():
                self.counts[disturb(draw, draw.choice(self.disks))] += 1

    def under_disturbance(self, job: FioJob, with_library: bool) -> None:
        child = job.start()
        watch = FioWatch(psutil.Process(child.pid), spare=self.plan.jobs * len(self.disks))
        try:
            with ThreadPoolExecutor(2 * len(self.disks)) as pool:
                started: list[Future[Counter[str]]] = []
                try:
                    for disk in self.disks:
                        if with_library and disk.plan.serves_many:
                            started.append(pool.submit(run_threads, disk, self.plan.wait))
                            started.append(pool.submit(run_tasks, disk))

                    def is_over() -> bool:
                        return child.poll() is not None or any(each.done() for each in started)

                    waiting.wait_until(lambda: is_over() or self.has_begun(job, with_library))
                    self.disturb_all(is_over, watch)
                finally:
                    for disk in self.disks:
                        disk.end()
                for each in started:
                    self.counts += each.result()
            self.counts += job.finish(child)
            if text := watch.grown():
                raise SoakError(text)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()

    def check(self) -> None:
        self.counts += (job := self.job("read", "rw=randwrite", "verify_only")).finish(job.start())
        for disk in self.disks:
            lost = disk.threads_load.lost(disk.mortal.image())
            lost += disk.tasks_load.lost(disk.mortal.image())
            if disk.plan.serves_many and lost:
                raise SoakError(f"{disk.plan.describe()}: writes are lost at {lost[:20]}")

    def run(self) -> None:
        timed = ("time_based", f"runtime={self.seconds:.1f}")
        self.under_disturbance(self.job("verify", "rw=randrw", *timed), with_library=True)
        self.under_disturbance(
            self.job("write", "rw=randwrite", "do_verify=0", "rate_iops=300"), False
        )
        self.check()


def run_round(plan: RoundPlan, folder: Path, seconds: float) -> Counter[str]:
    with ExitStack() as stack:
        disks = []
        for number, disk_plan in enumerate(plan.disks):
            disks.append(start_disk(disk_plan, folder, f"disk{number}"))
            stack.callback(disks[-1].mortal.stop)
        each = Round(plan, folder, seconds, disks)
        each.run()
    return each.counts


# ---- all rounds ---------------------------------------------------------------------------------


def soak(seconds: float, seed: int, round_s: float = ROUND_S) -> Counter[str]:
    """Raises what must not happen, with a note that says how to repeat it."""
    draw, until = random.Random(seed), time.monotonic() + seconds
    counts, samples = Counter[str](), list[Sample]()
    while (left := until - time.monotonic()) > 0:
        plan = draw_round(draw)
        folder = Path(tempfile.mkdtemp(prefix="pv-"))
        try:
            counts += run_round(plan, folder, min(left, round_s))
            samples.append(sample())
            if text := grown(samples):
                raise SoakError(text)
        except BaseException as error:
            error.add_note(f"round {counts['rounds'] + 1} of seed {seed}: {plan.describe()}")
            error.add_note(f"its files are in {folder}")
            raise
        counts["rounds"] += 1
        shutil.rmtree(folder)
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description="Verify disks while their back-ends restart.")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    chosen = parser.parse_args()
    print(f"soak: seed {chosen.seed}", flush=True)
    try:
        counts = soak(60 * chosen.minutes, chosen.seed)
    except Exception:
        traceback.print_exc()
        return 1
    print("soak:", ", ".join(f"{name} {count}" for name, count in counts.most_common()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

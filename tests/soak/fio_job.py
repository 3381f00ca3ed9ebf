# SPDX-License-Identifier: GPL-2.0-or-later
"""fio in a round of the soak: verify under disturbance, then writes that are read back later."""

import json
import os
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyfio_virtio.engine import engine
from pyfio_virtio.fio.fio import library_path, split_notes
from pyfio_virtio.fio.job import escaped_filename
from tests.soak.plan import RoundPlan

# Ample; they only bound a hang.
RECONNECT_S, END_S = 120, 180
# How much of its region each job uses.
JOB_BYTES = 1 << 20


class SoakError(AssertionError):
    """The message says what was lost, what grew, or what did not end."""


@dataclass(frozen=True)
class FioJob:
    """One run of fio on all disks of a round. `what` are its options beside the common ones."""

    plan: RoundPlan
    sockets: tuple[str, ...]
    folder: Path
    name: str
    what: tuple[str, ...]

    def _text(self) -> str:
        lines = [
            "[global]",
            "ioengine=fio_virtio",
            f"thread={int(self.plan.has_threads)}",
            f"numjobs={self.plan.jobs}",
            f"iodepth={self.plan.depth}",
            f"wait={self.plan.wait}",
            f"reconnect_timeout={RECONNECT_S}",
            f"size={JOB_BYTES}",
            f"offset_increment={JOB_BYTES}",
            "bs=4k",
            "verify=crc32c",
            "verify_fatal=1",
            "verify_state_save=0",
            f"stats_file={self.folder / self.name}.stats",
            # A back-end may go away only when all jobs have their devices.
            f"exec_prerun=sh -c 'echo >> {self._begun()}'",
            *self.what,
        ]
        for number, socket in enumerate(self.sockets):
            lines += [f"[disk{number}]", f"filename={escaped_filename(socket)}"]
        return "\n".join(lines) + "\n"

    def _begun(self) -> Path:
        """It gets a line from each job that begins its I/O."""
        return self.folder / f"{self.name}.begun"

    def has_begun(self) -> bool:
        path = self._begun()
        wanted = self.plan.jobs * len(self.sockets)
        return path.exists() and len(path.read_text().splitlines()) == wanted

    def start(self) -> "subprocess.Popen[str]":
        path = self.folder / f"{self.name}.fio"
        path.write_text(self._text())
        out, err = (self.folder / f"{self.name}.{kind}" for kind in ("json", "err"))
        with out.open("w") as stdout, err.open("w") as stderr:
            return subprocess.Popen(
                ["fio", "--output-format=json", str(path)],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                text=True,
                env={"LD_LIBRARY_PATH": library_path(engine.folder()), "PATH": os.environ["PATH"]},
                cwd=self.folder,
            )

    def finish(self, child: "subprocess.Popen[str]") -> Counter[str]:
        """Its counts. Raises SoakError if it failed or does not end."""
        try:
            status = child.wait(END_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise SoakError(f"fio ({self.name}) did not end within {END_S} s") from None
        said = (self.folder / f"{self.name}.err").read_text()
        if status:
            raise SoakError(f"fio ({self.name}) ended with {status}: {said[-2000:]}")
        return self._counts()

    def _counts(self) -> Counter[str]:
        _, text = split_notes((self.folder / f"{self.name}.json").read_text())
        counts: Counter[str] = Counter()
        for job in json.loads(text)["jobs"]:
            if job["error"]:
                raise SoakError(f"fio ({self.name}): {job['jobname']} has error {job['error']}")
            for direction in ("read", "write"):
                counts["I/Os"] += job[direction]["total_ios"]
            counts["verified MiB"] += job["read"]["io_bytes"] >> 20
        for line in (self.folder / f"{self.name}.stats").read_text().splitlines():
            counters = json.loads(line)
            counts["reconnects"] += _sum(counters, "reconnects")
            counts["replayed"] += _sum(counters, "replayed")
        return counts


def _sum(counters: object, name: str) -> int:
    """Of all numbers with this name in a document."""
    if isinstance(counters, dict):
        own = counters.get(name)
        return (own if isinstance(own, int) else 0) + sum(
            _sum(value, name) for value in counters.values()
        )
    if isinstance(counters, Sequence) and not isinstance(counters, str):
        return sum(_sum(value, name) for value in counters)
    return 0

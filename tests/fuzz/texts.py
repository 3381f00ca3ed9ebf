# SPDX-License-Identifier: GPL-2.0-or-later
"""The targets in Python: texts that people and programs write, and that the package reads.

Each reads bytes as one of them. Whatever the bytes are, they are read, or they are refused with a
sentence (PyfioVirtioError). Any other exception is a finding, and so is what a target asserts.
`python -m tests.fuzz.texts NAME FILE...` runs a target on files.
"""

import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pyfio_virtio import reach
from pyfio_virtio.analysis import fio_files, frame
from pyfio_virtio.convert import convert
from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.fio import job
from pyfio_virtio.results.results import RUNS, open_sweep
from pyfio_virtio.sweep.settings import Settings, read_settings, to_toml
from tests.fuzz.programs import HERE, ROOT
from tests.pyfio_virtio.fio import shapes

_RECORDS = ROOT / "tests" / "pyfio_virtio" / "results"

_VALUES: tuple[object, ...] = (
    *(None, True, 0, 1, -1, 0.0, 1e308, -1e308, float("nan"), float("inf"), 10**30, 2**63 - 1),
    *("", "x", "4k", "0", "1", "None", "busy", "event", "sleepy", "../x", "\0", "\ud800", "a" * 99),
    *([], ["x"], ["hash"], ["iops"], [1], {}, {"x": 1}),
)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pv-fuzz-") as name:
        yield Path(name)


def fio_json(data: bytes) -> None:
    with _folder() as folder:
        (folder / "fio.json").write_bytes(data)
        fio_files.rows(folder / "fio.json")


def job_file(data: bytes) -> None:
    read = job.parse(data.decode("utf-8", "surrogateescape"))
    assert job.parse(read.text()) == read
    for each in (read, read.with_options({"bs": "8k"}), read.with_our_engine()):
        each.to_bytes()
        each.sections()
    with suppress(PyfioVirtioError):
        reach.of_job(read, Path("/nowhere"))
    convert(read, lambda _: (), 1 << 30)


def sweep_file(data: bytes) -> None:
    with _folder() as folder:
        path = folder / "sweep.toml"
        path.write_bytes(data)
        settings, found = read_settings(path)
        settings.check()
        path.write_text(to_toml(settings, found), encoding="utf-8")
        again, _ = read_settings(path)
        assert again == settings


def results_folder(data: bytes) -> None:
    """Either the text itself, or changes of runs that are all right."""
    with _folder() as folder:
        (folder / RUNS).write_bytes(data if data.startswith(b"{") else _changed(data))
        open_sweep(folder).records()
        frame.load(folder)


def _changed(data: bytes) -> bytes:
    """Two runs; each three bytes choose one of them, one of its columns, and another value."""
    rows = [json.loads(_results()[-1]) for _ in range(2)]
    rows[1]["repeat"] += 1
    for which, column, value in zip(*[iter(data)] * 3, strict=False):
        row = rows[which % 2]
        name = sorted(row)[column % len(row)]
        if value >= len(_VALUES) and len(row) > 1:
            del row[name]
        else:
            row[name] = _VALUES[value % len(_VALUES)]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def _fio_documents() -> list[bytes]:
    return [json.dumps(shapes.make(random.Random(seed)).document).encode() for seed in range(30)]


def _job_files() -> list[bytes]:
    return [path.read_bytes() for path in sorted((ROOT / "jobs").glob("*.fio"))]


def _sweep_files() -> list[bytes]:
    options = {"rw": ("randread", "randwrite"), "iodepth": ("1", "32")}
    made = (Settings(), Settings(options=options, backend=("a=builtin", "qsd"), target_ci=0.05))
    return [to_toml(settings, {"maximum": {"x": 1.0}}).encode() for settings in made]


@cache
def _results() -> list[bytes]:
    records = [json.loads(path.read_text()) for path in sorted(_RECORDS.glob("record_v*.json"))]
    return [json.dumps(record).encode() + b"\n" for record in records]


@dataclass(frozen=True)
class Text:
    """`starts`: what the search begins with, beside the seeds; `aims`: as in programs.py."""

    read: Callable[[bytes], None]
    starts: Callable[[], list[bytes]]
    aims: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.read.__name__

    @property
    def seeds(self) -> Path:
        return HERE / "seeds" / f"{self.name}.hex"

    def run(self, data: bytes) -> None:
        with suppress(PyfioVirtioError):
            self.read(data)


TEXTS = (
    Text(
        fio_json,
        _fio_documents,
        (
            "pyfio_virtio/fio/output.py",
            "pyfio_virtio/fio/documents.py",
            "pyfio_virtio/analysis/fio_files.py",
        ),
    ),
    Text(
        job_file,
        _job_files,
        ("pyfio_virtio/fio/job.py", "pyfio_virtio/convert.py", "pyfio_virtio/reach.py"),
    ),
    Text(sweep_file, _sweep_files, ("pyfio_virtio/sweep/settings.py",)),
    Text(
        results_folder,
        _results,
        (
            "pyfio_virtio/results/results.py",
            "pyfio_virtio/results/record.py",
            "pyfio_virtio/analysis/frame.py",
        ),
    ),
)


if __name__ == "__main__":
    for _path in sys.argv[2:]:
        next(each for each in TEXTS if each.name == sys.argv[1]).run(Path(_path).read_bytes())

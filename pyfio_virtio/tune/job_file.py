# SPDX-License-Identifier: GPL-2.0-or-later
"""The text of a job file that a tuner writes: comments about what was measured, and the job.

The job is the one that was measured, but for its length, its place on the disk's socket, and the
file of the engine's counters. Pure; any thread may call.
"""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator, Sequence

from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.fio.job import escaped_filename
from pyfio_virtio.fio.job_writer import JobOptions
from pyfio_virtio.sizes import format_size
from pyfio_virtio.sweep.job import DISK_VARIABLE
from pyfio_virtio.sweep.points import Planned

RUNTIME_S = 10.0
_WIDTH = 96
_LEFT_OUT = ("stats_file=",)


def socket_of(planned: Planned) -> str:
    """The socket that the job file names: the usual one if the back-end was ours and has ended."""
    return planned.wanted.socket or JobOptions().socket


def text(planned: Planned, name: str, about: Sequence[str], notes: Sequence[str] = ()) -> str:
    """The file. `about` are paragraphs on the measurement. The job is in the section `name`."""
    comments = [*about, *_start(planned.wanted.spec, socket_of(planned)), *notes]
    head = "#\n".join("".join(f"# {line}\n" for line in _wrapped(each)) for each in comments)
    return f"{head}\n{_job(planned, name)}"


def _wrapped(paragraph: str) -> list[str]:
    """Lines of a paragraph. A command, which is indented, stays one line."""
    if paragraph.startswith(" "):
        return [paragraph]
    printable = "".join(each if each.isprintable() else " " for each in paragraph)
    return textwrap.wrap(printable, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _start(spec: BackendSpec | None, socket: str) -> Iterator[str]:
    """How to start the back-end that was measured."""
    if spec is None:
        return
    yield "The back-end was started for the measurement, and ended with it. Start one like it:"
    yield f"  {start_command(spec, socket)}"


def start_command(spec: BackendSpec, socket: str) -> str:
    """The command that starts such a back-end on a socket."""
    words = ["pyfio-virtio", "backend", "start", spec.kind, "--storage", spec.storage]
    if spec.file is None:
        words += ["--disk-size", format_size(spec.size_bytes).replace(" ", "").replace("iB", "")]
    words += ["--block-size", str(spec.block_size)] if spec.block_size != 512 else []
    words += ["--queues", str(spec.queues)] if spec.queues != 1 else []
    words += ["--read-only"] if spec.read_only else []
    words += ["--poll-max-ns", str(spec.poll_max_ns)] if spec.poll_max_ns is not None else []
    words += ["--cpus", spec.cpus] if spec.cpus else []
    words += [word for each in spec.options for word in ("--backend-option", each)]
    return shlex.join([*words, "--socket", socket])


def _job(planned: Planned, name: str) -> str:
    lines = planned.point.job.splitlines()
    kept = [line for line in lines if not line.startswith(_LEFT_OUT)]
    job = "\n".join(kept).replace("\n[sweep]\n", f"\n[{name}]\n")
    filename = escaped_filename(socket_of(planned))
    return job.replace(f"${{{DISK_VARIABLE}}}", filename) + "\n"

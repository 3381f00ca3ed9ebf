# SPDX-License-Identifier: GPL-2.0-or-later
"""The flags of restart-test, and what they are together: Chosen."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from pyfio_virtio.backends import kinds
from pyfio_virtio.cli import completions
from pyfio_virtio.cli.options import (
    as_size,
    device_option,
    disk_option,
    dry_run_option,
    seconds_option,
)
from pyfio_virtio.cli.output import json_option
from pyfio_virtio.disk.disk import MAX_QUEUES
from pyfio_virtio.errors import UsageError
from pyfio_virtio.fio.job_writer import WAITS
from pyfio_virtio.sizes import parse_seconds

_MOST_SECONDS = 86400.0


@dataclass(frozen=True)
class Chosen:
    """What the user chose."""

    kind: str
    socket: str | None
    restart_command: str | None
    restarts: int
    every_s: tuple[float, float]
    down_for_s: float
    reconnect_timeout_s: float
    size_bytes: int | None
    offset: int
    block_bytes: int
    iodepth: int
    threads: int
    queues: int
    read_percent: float
    wait: str | None
    device: str
    storage: str
    disk_size: int
    block_size: int
    backend_options: tuple[str, ...]
    seed: int | None
    as_json: bool
    picture: Path | None
    yes: bool
    dry_run: bool


def _span(context: click.Context, parameter: click.Parameter, text: str) -> tuple[float, float]:
    """Reads "500ms-2s" as the shortest and the longest time; "1s" is both."""
    try:
        times = [parse_seconds(part) for part in text.split("-")]
    except UsageError as error:
        raise click.BadParameter(str(error)) from error
    if len(times) > 2 or not 0 <= times[0] <= times[-1] <= _MOST_SECONDS:
        raise click.BadParameter(f"{text} is not a time, or two times such as 500ms-2s")
    return times[0], times[-1]


def _size(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    size = as_size(context, parameter, text)
    if not size:
        raise click.BadParameter(f"{text} is no size for this")
    return size


def _number(context: click.Context, parameter: click.Parameter, value: float) -> float:
    if math.isnan(value):  # it lies in each range for click
        raise click.BadParameter("nan is not a number")
    return value


_FLAGS = (
    click.option(
        "--backend",
        "kind",
        metavar="builtin|qsd|SOCKET",
        shell_complete=completions.kinds,
        default=kinds.DEFAULT_KIND,
        show_default=True,
        help="What serves the disk. Options of the back-end may follow: qsd,aio=io_uring.",
    ),
    click.option(
        "--socket",
        shell_complete=completions.files,
        metavar="PATH",
        help="The same as --backend PATH.",
    ),
    click.option(
        "--restart-with",
        "restart_command",
        metavar="COMMAND",
        help="For --socket: the shell command that restarts the back-end. It must return when the "
        "restart is under way.",
    ),
    click.option(
        "--restarts",
        type=click.IntRange(1, 100_000),
        default=10,
        show_default=True,
        help="Number of restarts.",
    ),
    click.option(
        "--every",
        "every_s",
        metavar="SECONDS[-SECONDS]",
        callback=_span,
        default="500ms-2s",
        show_default=True,
        help="Time before a restart, drawn at random from this range.",
    ),
    seconds_option(
        "--down-for",
        "down_for_s",
        most=_MOST_SECONDS,
        default="0",
        show_default=True,
        help="Time between the kill and the next start of a back-end that is started here.",
    ),
    seconds_option(
        "--reconnect-timeout",
        "reconnect_timeout_s",
        least=0.001,
        most=_MOST_SECONDS,
        default="30",
        show_default=True,
        help="Time that the clients wait for the back-end to come back.",
    ),
    click.option(
        "--size",
        "size_bytes",
        metavar="SIZE",
        callback=_size,
        help="Size of the part of the disk that is written.  [default: all of it, but at most 64M]",
    ),
    click.option(
        "--offset",
        metavar="SIZE",
        callback=as_size,
        default="0",
        show_default=True,
        help="Offset of this part.",
    ),
    click.option(
        "--bs",
        "block_bytes",
        metavar="SIZE",
        callback=_size,
        default="4k",
        show_default=True,
        help="Size of each read and write.",
    ),
    click.option(
        "--iodepth",
        type=click.IntRange(1, 4096),
        default=32,
        show_default=True,
        help="Operations in flight of each thread.",
    ),
    click.option(
        "--threads",
        type=click.IntRange(1, 256),
        default=2,
        show_default=True,
        help="Number of clients, which are threads with blocks of their own.",
    ),
    click.option(
        "--queues",
        type=click.IntRange(1, MAX_QUEUES),
        default=1,
        show_default=True,
        help="Number of request queues.",
    ),
    click.option(
        "--read-percent",
        type=click.FloatRange(0, 99),
        callback=_number,
        default=50,
        show_default=True,
        help="Part of the operations that read.",
    ),
    click.option(
        "--wait",
        type=click.Choice(list(WAITS)),
        help="How to wait for the disk; if left out, as fio does.",
    ),
    device_option,
    disk_option("--storage", default="memory", show_default=True),
    disk_option("--disk-size", callback=as_size, default="64M", show_default=True),
    disk_option("--block-size", callback=as_size, default="512", show_default=True),
    disk_option("--backend-option", "backend_options", multiple=True),
    click.option("--seed", type=int, help="Draw the same times and operations again."),
    json_option,
    click.option(
        "--picture",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Draw IOPS by time, with the restarts, in this .png or .svg file.",
    ),
    click.option("--yes", is_flag=True, help="Do not ask before writing to the disk."),
    dry_run_option,
)


def restart_options(function: Callable[..., None]) -> Callable[..., None]:
    """Adds all flags; the command gets them as a Chosen, `chosen`."""

    @wraps(function)
    def with_chosen(**values: Any) -> None:  # noqa: ANN401 - click's
        function(Chosen(**values))

    for flag in reversed(_FLAGS):
        with_chosen = flag(with_chosen)
    return with_chosen

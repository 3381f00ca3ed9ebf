# SPDX-License-Identifier: GPL-2.0-or-later
"""Types, options and questions that several commands share."""

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from pyfio_virtio.backends import records as backend_records
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.errors import UsageError
from pyfio_virtio.reach import Reach
from pyfio_virtio.sizes import parse_seconds, parse_size

Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def seconds_option(
    flag: str,
    *names: str,
    least: float = 0.0,
    most: float = 1e9,
    **settings: Any,  # noqa: ANN401 - click's
) -> Callable[[Any], Any]:
    """An option that is a time from `least` to `most` seconds, written as 2, 2s or 500ms."""

    def read(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
        if text is None:
            return None
        try:
            seconds = parse_seconds(text)
        except UsageError as error:
            raise click.BadParameter(str(error)) from error
        if not least <= seconds <= most:
            raise click.BadParameter(
                f"{text} is not in the range of {least:g} to {most:,.0f} seconds"
            )
        return seconds

    return click.option(flag, *names, metavar="SECONDS", callback=read, **settings)


def as_size(context: click.Context, parameter: click.Parameter, value: str) -> int:
    """Reads a size such as 512, 4k or 1G as a number of bytes."""
    try:
        return parse_size(value)
    except UsageError as error:
        raise click.BadParameter(str(error)) from error


def confirm(subject: str, reached: Reach, yes: bool, otherwise: str) -> None:
    """Asks the user before `subject` does something that cannot be undone, unless `yes` is set.
    Without a terminal, it refuses. `otherwise` tells the user what to do instead of --yes.
    """
    if yes:
        return
    disks = [disk for disk in reached.written if not backend_records.is_scratch_disk(disk)]
    actions = [f"writes to {', '.join(disks)}"] if disks else []
    actions += reached.others
    if not actions:
        return
    sentence = f"{subject} {' and '.join(actions)}"
    if not sys.stdin.isatty():
        allowed = "the data on it may be lost" if disks else "it may do that"
        why = "which was not made for it" if disks and not reached.others else ""
        raise UsageError(
            f"will not run: {sentence}{f', {why}' if why else ''}",
            "",
            f"use --yes if {allowed}, or {otherwise}",
        )
    loss = "; the data on it will be lost" if disks else ""
    click.confirm(f"{sentence}{loss}. Continue?", abort=True, err=True)


def device_option(function: Callable[..., None]) -> Callable[..., None]:
    """--device, for the few back-ends that do not show what they serve."""
    return click.option(
        "--device",
        type=click.Choice(("auto", "blk", "scsi")),
        default="auto",
        show_default=True,
        help="What the socket serves; auto finds out.",
    )(function)


# The options that describe a disk to start: how click reads each, and its help. Each command sets
# the defaults itself, because `sweep` applies its defaults only after it has read its file.
_DISK_WORDS: dict[str, tuple[dict[str, Any], str]] = {
    "--storage": (
        {"metavar": "null|memory[:PATH]|file:PATH"},
        "Where the disk's blocks are stored; null keeps none. A missing file is created. The "
        "built-in back-end maps memory:PATH, so that the data outlives it.",
    ),
    "--disk-size": ({"metavar": "SIZE"}, "Size of the disk. An existing file keeps its size."),
    "--block-size": ({"metavar": "SIZE"}, "Size of the disk's logical blocks."),
    "--read-only": ({"is_flag": True}, "The disk refuses writes."),
    "--poll-max-ns": (
        {"type": click.IntRange(0)},
        "For qsd: nanoseconds that it polls idle rings before it sleeps.  [default: 32768]",
    ),
    "--backend-option": (
        {"metavar": "KEY=VALUE"},
        "An option of the back-end itself, such as latency=20us for builtin; may be repeated.",
    ),
}


def disk_option(
    flag: str,
    *names: str,
    also: str = "",
    **settings: Any,  # noqa: ANN401 - click's
) -> Callable[[Any], Any]:
    """The option with this flag. The text `also` is added to its help."""
    how, help_text = _DISK_WORDS[flag]
    return click.option(flag, *names, **{**how, "help": help_text + also, **settings})


_DISK = (
    disk_option("--storage", default="memory", show_default=True),
    disk_option("--disk-size", "size_bytes", callback=as_size, default="1G", show_default=True),
    disk_option("--block-size", callback=as_size, default="512", show_default=True),
    disk_option("--read-only"),
    disk_option("--poll-max-ns"),
    disk_option("--backend-option", "options", multiple=True),
)


# The names of these parameters.
DISK_PARAMETERS = (*("storage", "size_bytes", "block_size", "read_only", "poll_max_ns", "options"),)


def disk_options(function: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that describe a disk; the command gets them as a BackendSpec, `disk`."""

    @wraps(function)
    def with_disk(
        storage: str,
        size_bytes: int,
        block_size: int,
        read_only: bool,
        poll_max_ns: int | None,
        options: tuple[str, ...],
        **others: object,
    ) -> None:
        disk = BackendSpec(
            storage=storage,
            size_bytes=size_bytes,
            block_size=block_size,
            read_only=read_only,
            poll_max_ns=poll_max_ns,
            options=options,
        )
        function(disk=disk, **others)

    for option in reversed(_DISK):
        with_disk = option(with_disk)
    return with_disk


def old_spelling(
    old: str,
    new: str,
    parameter: str,
    read: Callable[[click.Context, click.Parameter, str | None], Any],
) -> Decorator:
    """Lets the option `new` of a command, which is its `parameter`, also be written as `old`.

    The old spelling is not in the help. Who uses it gets a note with the new one.
    """
    held = f"old_{parameter}"
    flag = click.option(old, held, hidden=True, callback=read)

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def with_old(**values: Any) -> None:  # noqa: ANN401 - click's parameters
            given = values.pop(held)
            if given is not None:
                click.echo(f"pyfio-virtio: note: {old} is now called {new}", err=True)
                values[parameter] = given
            function(**values)

        return flag(with_old)

    return decorate


dry_run_option: Decorator = click.option(
    "--dry-run", is_flag=True, help="Print what would be done, and do nothing."
)

# A folder of a sweep, or a file or a folder of fio's own JSON.
SOURCE = click.Path(exists=True, path_type=Path)

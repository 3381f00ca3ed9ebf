# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio verify: writes a disk, reads it back, and shows the first wrong byte."""

from functools import partial

import click

from pyfio_virtio.backends import unix_sockets
from pyfio_virtio.cli import completions
from pyfio_virtio.cli.interruptible import interruptible
from pyfio_virtio.cli.options import as_size, confirm, device_option, old_spelling
from pyfio_virtio.disk import verify
from pyfio_virtio.disk.disk import DEFAULT_WAIT, Disk, open_disk
from pyfio_virtio.errors import PyfioVirtioError, UsageError
from pyfio_virtio.fio.job_writer import WAITS
from pyfio_virtio.machine import folders
from pyfio_virtio.reach import Reach
from pyfio_virtio.sizes import format_size

DEFAULT_ITERATIONS = 100
# Bytes in a line of the hexadecimal view.
_LINE_BYTES = 16


class DiffersError(PyfioVirtioError):
    """The disk does not hold the data that was written."""


def _pattern(context: click.Context, parameter: click.Parameter, text: str | None) -> bytes | None:
    try:
        pattern = None if text is None else bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        pattern = b""
    if pattern == b"":
        raise click.BadParameter(f"{text!r} is not a row of bytes in hexadecimal such as cafe00")
    return pattern


def _optional_size(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> int | None:
    return None if text is None else as_size(context, parameter, text)


@click.command("verify")
@click.option(
    "-s",
    "--socket",
    required=True,
    shell_complete=completions.files,
    metavar="PATH",
    help="Socket of the disk.",
)
@click.option(
    "-i",
    "--iterations",
    type=click.IntRange(1),
    help=f"Number of pieces to write, one after the other.  [default: {DEFAULT_ITERATIONS}]",
)
@click.option(
    "-S",
    "--bs",
    "piece_bytes",
    metavar="SIZE",
    callback=_optional_size,
    help="Size of a piece, in any number of bytes.  [default: 4k; 1M with --full]",
)
@old_spelling("--size", "--bs", "piece_bytes", _optional_size)
@click.option(
    "--offset",
    "first",
    metavar="SIZE",
    callback=_optional_size,
    help="Offset of the first piece.  [default: 0]",
)
@old_spelling("-o", "--offset", "first", _optional_size)
@click.option(
    "-t",
    "--threads",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Number of threads, which share the pieces.",
)
@click.option("-a", "--async", "is_async", is_flag=True, help="Keep many operations in flight.")
@click.option("--full", is_flag=True, help="Verify the whole disk.")
@click.option("--pattern", metavar="HEX", callback=_pattern, help="Write these bytes repeatedly.")
@click.option("--random", "seed", type=int, metavar="SEED", help="Write random bytes.")
@click.option(
    "--read-only-check",
    "only_reads",
    is_flag=True,
    help="Only read, and compare with the data that the same command wrote before.",
)
@click.option(
    "--wait",
    type=click.Choice(list(WAITS)),
    default=None,
    help="How to wait for the disk; if left out, as fio does.",
)
@device_option
@click.option("--yes", is_flag=True, help="Do not ask before writing to the disk.")
def verify_command(
    socket: str,
    iterations: int | None,
    piece_bytes: int | None,
    first: int | None,
    threads: int,
    is_async: bool,
    full: bool,
    pattern: bytes | None,
    seed: int | None,
    only_reads: bool,
    wait: str | None,
    device: str,
    yes: bool,
) -> None:
    """Write a disk, read it back, and compare.

    Without --pattern or --random, every eight bytes hold their own offset.
    """
    if piece_bytes is None:
        piece_bytes = verify.DEFAULT_FULL_PIECE_BYTES if full else verify.DEFAULT_PIECE_BYTES
    if not piece_bytes:
        raise UsageError("unusable --bs 0", "a piece has at least one byte")
    content = _content(pattern, seed)
    pieces = _piece_count(full, iterations, first)
    unix_sockets.check_present(socket)
    if not only_reads:
        confirm("verify", Reach((folders.absolute(socket),)), yes, "--read-only-check")
    buffers = verify.plan_buffers(piece_bytes, threads, is_async=is_async, pieces=pieces)
    opened = partial(
        open_disk,
        socket,
        wait=wait or DEFAULT_WAIT,
        device=device,
        depth=verify.IN_FLIGHT,
        memory_bytes=buffers.memory_bytes,
    )
    with interruptible(opened) as disk:
        size = disk.size if pieces is None else pieces * piece_bytes
        plan = verify.Plan(first or 0, size, piece_bytes, content, threads, is_async, only_reads)
        difference = _run(disk, plan)
    if difference is not None:
        _show(difference)
        raise DiffersError(f"{socket}", difference.sentence())
    done = "read" if only_reads else "written and read"
    click.echo(f"{format_size(plan.size)} {done}: every byte is right")


def _piece_count(full: bool, iterations: int | None, first: int | None) -> int | None:
    """The number of pieces; None for the whole disk."""
    if not full:
        return DEFAULT_ITERATIONS if iterations is None else iterations
    for name, value in (("--iterations", iterations), ("--offset", first)):
        if value is not None:
            raise UsageError(
                f"cannot use both --full and {name}",
                "--full verifies the whole disk",
                "leave one of them out",
            )
    return None


def _content(pattern: bytes | None, seed: int | None) -> verify.Content:
    if pattern is not None and seed is not None:
        raise UsageError(
            "cannot use both --pattern and --random",
            "each says what to write",
            "leave one of them out",
        )
    if pattern is not None:
        return verify.Pattern(pattern)
    return verify.Offsets() if seed is None else verify.Random(seed)


def _run(disk: Disk, plan: verify.Plan) -> verify.Difference | None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (BarColumn(), DownloadColumn(binary_units=True), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=plan.work_bytes)
        return verify.run(disk, plan, lambda size: bar.advance(task, size))


def _show(difference: verify.Difference) -> None:
    """Prints the block of the first wrong byte and its neighbours, each at its first wrong byte."""
    for block in difference.blocks:
        name = f"block {block.number} ({difference.block_size} bytes)"
        if not block.wrong:
            click.echo(f"{name}: every byte is right")
            continue
        place = block.wrong[0]
        click.echo(
            f"{name}: {len(block.wrong)} bytes are wrong, the first at {block.offset + place}"
        )
        start = place - place % _LINE_BYTES
        line = slice(start, start + _LINE_BYTES)
        click.echo(f"  starting at byte {block.offset + start}")
        click.echo(f"    expected  {block.expected[line].hex(' ')}")
        click.echo(f"    found     {block.found[line].hex(' ')}")

# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio job: writes a job file with comments that explain it."""

from pathlib import Path

import click

from pyfio_virtio.cli import completions
from pyfio_virtio.cli.options import dry_run_option, seconds_option
from pyfio_virtio.cli.output import write_file
from pyfio_virtio.errors import UsageError
from pyfio_virtio.fio.job_writer import WAITS, JobOptions, write_job
from pyfio_virtio.sizes import format_seconds

_DEFAULT = JobOptions()


@click.command()
@click.option(
    "--socket",
    shell_complete=completions.files,
    default=_DEFAULT.socket,
    show_default=True,
    help="Socket of the disk.",
)
@click.option(
    "--rw", default=_DEFAULT.rw, show_default=True, help="Direction of the I/O, as in fio."
)
@click.option("--bs", default=_DEFAULT.bs, show_default=True, help="Size of each I/O.")
@click.option(
    "--iodepth",
    type=click.IntRange(1),
    default=_DEFAULT.iodepth,
    show_default=True,
    help="I/Os in flight in each job.",
)
@click.option(
    "--numjobs",
    type=click.IntRange(1),
    default=_DEFAULT.numjobs,
    show_default=True,
    help="Number of jobs that run at the same time, each with its own queue.",
)
@seconds_option(
    "--runtime",
    default=_DEFAULT.runtime,
    show_default=True,
    help="Time that the job runs, such as 10 or 500ms; 0 for no limit.",
)
@click.option("--size", help="How much of the disk to use.")
@click.option("--wait", type=click.Choice(list(WAITS)), help="How to wait for completions.")
@click.option(
    "--sleepy-poll",
    type=click.IntRange(0),
    help="Microseconds that fio sleeps between two looks at the ring.",
)
@click.option("--name", default=_DEFAULT.name, show_default=True, help="Name of the job.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write.  [default: stdout]",
)
@dry_run_option
def job(
    socket: str,
    rw: str,
    bs: str,
    iodepth: int,
    numjobs: int,
    runtime: float,
    size: str | None,
    wait: str | None,
    sleepy_poll: int | None,
    name: str,
    output: Path | None,
    dry_run: bool,
) -> None:
    """Write a fio job file, with a comment on each line."""
    _check_waiting(wait, sleepy_poll)
    seconds = format_seconds(runtime) if runtime else None
    text = write_job(
        JobOptions(socket, rw, bs, iodepth, numjobs, seconds, size, wait, sleepy_poll, name)
    )
    if output is None or dry_run:
        click.echo(text, nl=False)
    else:
        write_file(output, text)


def _check_waiting(wait: str | None, sleepy_poll: int | None) -> None:
    if sleepy_poll is None or wait is None:
        return
    if wait != "sleepy" or not sleepy_poll:
        raise UsageError(
            f"--sleepy-poll {sleepy_poll} does not go with --wait {wait}",
            "",
            "leave one of them out",
        )

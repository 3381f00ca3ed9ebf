# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio backend: start, list and stop back-ends that keep running after the command.

cli/backend_control.py has the commands for back-ends that run.
"""

import json
from dataclasses import replace
from functools import partial

import click

from pyfio_virtio.backends import command_lines, kinds, option_keys, writers
from pyfio_virtio.backends import records as backend_records
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.cli import completions
from pyfio_virtio.cli.backend_control import COMMANDS, complete_names
from pyfio_virtio.cli.help import Commands
from pyfio_virtio.cli.options import disk_options, dry_run_option
from pyfio_virtio.errors import PyfioVirtioError, UsageError
from pyfio_virtio.machine import folders


@click.group(cls=Commands)
def backend() -> None:
    """Start, watch, disturb and stop vhost-user back-ends."""


for each in COMMANDS:
    backend.add_command(each)


@backend.command()
@click.argument("kind", type=click.Choice(kinds.VHOST_USER_KINDS), default=kinds.DEFAULT_KIND)
@disk_options
@click.option(
    "--queues",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Number of request queues.",
)
@click.option("--cpus", metavar="LIST", help="CPUs that it runs on, such as 1 or 0,2-3.")
@click.option(
    "--socket",
    shell_complete=completions.files,
    metavar="PATH",
    help="Socket to serve.  [default: in a private folder]",
)
@click.option("--name", help="Name of the back-end.  [default: KIND-0, KIND-1 ...]")
@dry_run_option
def start(
    kind: str,
    queues: int,
    cpus: str | None,
    socket: str | None,
    name: str | None,
    dry_run: bool,
    disk: BackendSpec,
) -> None:
    """Start a back-end that keeps running, and print its socket."""
    spec = replace(disk, kind=kind, queues=queues, cpus=cpus)
    if dry_run:
        _print_dry_start(spec, name, socket)
        return
    if disk.file:
        writers.check(disk.file, disk.read_only)
    started = backend_records.start(spec, name, socket, partial(click.echo, err=True))
    click.echo(
        f"{started.name}: {spec.describe()}; "
        f"stop it with: pyfio-virtio backend stop {started.name}",
        err=True,
    )
    click.echo(started.backend.socket)


def _print_dry_start(spec: BackendSpec, name: str | None, socket: str | None) -> None:
    spec.check()
    name = name or backend_records.free_name(spec.kind)
    backend_records.check_name(name)
    path = folders.absolute(socket or backend_records.socket_of(name))
    click.echo(command_lines.dry_command(backend_records.with_control(spec, name), path))


@backend.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
def list_backends(as_json: bool) -> None:
    """List the back-ends that `backend start` left running."""
    found, faults = backend_records.load_all()
    for fault in faults:
        _warn(fault)
    if as_json:
        click.echo(json.dumps([record.as_dict() for record in found], indent=1))
    elif not found:
        click.echo("no back-end; start one with: pyfio-virtio backend start", err=True)
    else:
        _print_table(found)


def _warn(fault: PyfioVirtioError) -> None:
    click.echo(f"pyfio-virtio: {fault}", err=True)


def _print_table(found: list[backend_records.Record]) -> None:
    from pyfio_virtio.cli.tables import print_table

    rows = []
    for record in found:
        backend = record.backend
        pid = str(backend.process.pid)
        rows.append((record.name, record.state(), pid, _disk(backend.spec), backend.socket))
    print_table(("name", "state", "pid", "disk", "socket"), rows)


def _disk(spec: BackendSpec) -> str:
    """The disk with its options, without the control socket, which each built-in one has."""
    chosen = tuple(each for each in spec.options if option_keys.key_of(each) != "control")
    return f"{spec.describe()}{replace(spec, options=chosen).details()}"


@backend.command()
@click.argument("names", nargs=-1, shell_complete=complete_names)
@click.option("--all", "everything", is_flag=True, help="Stop all back-ends.")
@click.pass_context
def stop(context: click.Context, names: tuple[str, ...], everything: bool) -> None:
    """Stop back-ends by name. The data of a disk in memory is lost."""
    if bool(names) == everything:
        raise UsageError("name the back-ends to stop, or use --all")
    backend_records.check_known(*names)  # an unknown name may be a mistyped one
    stopped = [_stop(name) for name in backend_records.names() if everything or name in names]
    context.exit(0 if all(stopped) else 1)


def _stop(name: str) -> bool:
    """Stops one back-end. If that fails, it only warns, so that the others are still stopped."""
    try:
        record = backend_records.stop(name)
    except PyfioVirtioError as fault:
        _warn(fault)
        return False
    click.echo(f"stopped {name}" if record else f"{name} was already gone", err=True)
    if record and record.backend.has_its_socket():
        path = record.backend.socket
        click.echo(f"its socket {path} stays, because a process still serves it", err=True)
    return True

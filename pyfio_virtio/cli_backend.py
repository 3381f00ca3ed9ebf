# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio backend: start, list and stop back-ends that stay."""

import json
from dataclasses import replace

import click

from pyfio_virtio import backend_records, backends, folders
from pyfio_virtio.backends import BackendSpec
from pyfio_virtio.cli_options import disk_options, dry_run_option
from pyfio_virtio.errors import UsageError


@click.group()
def backend() -> None:
    """Start, list and stop vhost-user back-ends."""


@backend.command()
@click.argument("kind", type=click.Choice(backends.VHOST_USER_KINDS), default=backends.DEFAULT_KIND)
@disk_options
@click.option(
    "--queues", type=click.IntRange(1), default=1, show_default=True, help="Request queues it has."
)
@click.option("--socket", metavar="PATH", help="Serve here, not in a private folder.")
@click.option("--name", help="Name it, not qsd-0, qsd-1 ...")
@dry_run_option
def start(
    kind: str, queues: int, socket: str | None, name: str | None, dry_run: bool, disk: BackendSpec
) -> None:
    """Start a back-end that stays, and print its socket."""
    spec = replace(disk, kind=kind, queues=queues)
    spec.check()
    name = name or backend_records.free_name(kind)
    backend_records.check_name(name)
    path = folders.absolute(socket or str(folders.state_folder() / f"{name}.sock"))
    if dry_run:
        click.echo(backends.dry_command(spec, path))
        return
    folder = folders.make_state_folder()
    started = backends.start(spec, path, str(folder / f"{name}.log"), outlives_us=True)
    backend_records.save(backend_records.Record(name, started))
    click.echo(
        f"{name}: {spec.describe()}; stop it with: pyfio-virtio backend stop {name}", err=True
    )
    click.echo(path)


@backend.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
def list_backends(as_json: bool) -> None:
    """List the back-ends that `backend start` left running."""
    found = backend_records.load_all()
    if as_json:
        click.echo(json.dumps([record.as_dict() for record in found], indent=1))
    elif not found:
        click.echo("no back-end; start one with: pyfio-virtio backend start", err=True)
    else:
        _print_table(found)


def _print_table(found: list[backend_records.Record]) -> None:
    from pyfio_virtio.cli_tables import print_table

    rows = []
    for record in found:
        backend = record.backend
        why = backend.last_words() or "its log says nothing"
        state = "running" if backend.is_running() else f"died: {why}"
        pid = str(backend.process.pid)
        rows.append((record.name, state, pid, backend.spec.describe(), backend.socket))
    print_table(("name", "state", "pid", "disk", "socket"), rows)


@backend.command()
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Stop every one.")
def stop(names: tuple[str, ...], everything: bool) -> None:
    """Stop back-ends by name; what was in their memory is gone then."""
    if bool(names) == everything:
        raise UsageError("name the back-ends to stop, or say --all")
    found = (
        backend_records.load_all() if everything else [backend_records.find(name) for name in names]
    )
    for record in found:
        backend_records.stop(record)
        click.echo(f"stopped {record.name}", err=True)

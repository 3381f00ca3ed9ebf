# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio serve: lets others run jobs on this host, and shows what they run.

Also owns how the first line of a plain fio client's job is read, because its flags are those of
`pyfio-virtio run`.
"""

import os
import shlex
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from pyfio_virtio.backends import kinds
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.cli.options import disk_options
from pyfio_virtio.errors import UsageError
from pyfio_virtio.hosts import addresses, serving, status
from pyfio_virtio.hosts.addresses import Address
from pyfio_virtio.hosts.asked import Asked
from pyfio_virtio.hosts.hall import Hall, Note
from pyfio_virtio.machine import folders, host
from pyfio_virtio.sizes import format_seconds
from pyfio_virtio.sweep import candidates
from pyfio_virtio.sweep.job import placement

_MOST_SESSIONS = 64
_FIRST_LINE = "cannot use the line `; pyfio-virtio:` of the job"


@click.command()
@click.option(
    "--listen",
    metavar="ADDRESS",
    help="Where clients connect: unix:PATH, HOST, HOST:PORT or [V6]:PORT; the port is 8765 by "
    "default.  [default: a Unix socket in a private folder]",
)
@click.option(
    "--allow",
    "allowed",
    multiple=True,
    metavar="PATH",
    help="A file or a folder that clients may use as storage of back-ends; may be repeated. "
    "Without it, their disks are in memory, in scratch files, or keep nothing.",
)
@click.option(
    "--sessions",
    type=click.IntRange(1, 4096),
    default=_MOST_SESSIONS,
    show_default=True,
    help="How many clients are served at once.",
)
@click.option("--fio", "program", default="fio", show_default=True, help="The fio to run.")
@click.option("--status", "asking", is_flag=True, help="Show who is served there, and end.")
def serve(
    listen: str | None, allowed: tuple[str, ...], sessions: int, program: str, asking: bool
) -> None:
    """Let other hosts run jobs on this host.

    A client is `pyfio-virtio run --hosts` on another host, or plain `fio --client`. What is started
    for it ends with it. Clients run jobs as this user, and nothing asks them for a password, so
    only this user may connect unless --listen says otherwise.
    """
    address = serving.default_address() if listen is None else addresses.parse(listen)
    if asking:
        _show_status(address)
        return
    tell = partial(click.echo, err=True)
    found, engine, problem = serving.look_at_fio(program, tell)
    folder = folders.make_state_folder()
    here = Hall(
        fio=found,
        protocol=serving.learned_protocol(found, folder),
        engine=engine,
        problem=problem,
        allowed=tuple(_existing(path) for path in allowed),
        folder=folder,
        pid=os.getpid(),
        read_flags=read_flags,
        tell=lambda line: tell(f"pyfio-virtio: {line}"),
    )
    with serving.listening(address) as listener:
        if problem:
            tell(f"pyfio-virtio: note: jobs cannot use the engine: {problem}")
        if note := _risk(address):
            tell(f"pyfio-virtio: note: {note}")
        tell(f"{found.release} serves at this address; end it with ^C")
        click.echo(str(address))
        serving.serve(listener, here, sessions)


def _existing(path: str) -> Path:
    """What --allow names. A file that is yet to be made lies in a folder that exists."""
    found = Path(path).resolve()
    if not found.exists() and not found.parent.is_dir():
        raise UsageError(f"cannot allow {path}", f"there is no folder {found.parent}")
    return found


def _risk(address: Address) -> str:
    """Who else may connect."""
    if address.path:
        return ""
    if address.is_of_this_machine():
        return (
            "every user of this machine can connect, and run jobs as you; a Unix socket "
            "(without --listen) is for you alone"
        )
    return (
        f"fio's protocol has no authentication, so whoever reaches {address} can run jobs as you; "
        "leave --listen out and let clients come through ssh instead: "
        f"ssh -N -L 8765:{serving.default_address().path} {os.uname().nodename}"
    )


def _show_status(address: Address) -> None:
    from pyfio_virtio.cli.tables import print_table

    about, found = status.ask(address)
    click.echo(f"{about} serves at {address}", err=True)
    if not found:
        click.echo("it has no sessions", err=True)
        return
    columns = ("peer", "since", "does", "disk")
    print_table(columns, [_row(each) for each in found])


def _row(note: Note) -> tuple[str, ...]:
    age_s = max(0, (time.time_ns() - note.since_ns) // 1_000_000_000)
    shown = [note.peer, format_seconds(age_s), note.doing, note.backend]
    return tuple("".join(c if c.isprintable() else "?" for c in text)[:500] for text in shown)


# ---- the first line of a job ---------------------------------------------------------------------


def read_flags(text: str) -> Asked:
    """The disk that the line `; pyfio-virtio: FLAGS` asks for."""
    found: list[Asked] = []
    try:
        words = shlex.split(text)
        _flags.main(words, prog_name="", standalone_mode=False, obj=found)
    except click.ClickException as error:
        raise UsageError(_FIRST_LINE, error.format_message(), _advice()) from error
    except ValueError as error:
        raise UsageError(_FIRST_LINE, str(error), "close each quote") from error
    return found[0]


def _advice() -> str:
    return "it has the flags of pyfio-virtio run: --backend, --storage, --disk-size and others"


@click.command(add_help_option=False)
@click.option("--backend", "kind", default=kinds.DEFAULT_KIND)
@click.option("--socket")
@click.option("--cpus", default="any")
@disk_options
@click.pass_obj
def _flags(found: list[Asked], kind: str, socket: str | None, cpus: str, disk: BackendSpec) -> None:
    place = placement(cpus, host.cores())
    if place.fio:
        raise UsageError(_FIRST_LINE, f"--cpus {cpus} places fio", "write cpus_allowed= in the job")
    named = candidates.one_backend(socket or kind)
    if kind == "none" or named.socket:
        found.append(Asked(socket=folders.absolute(named.socket) if named.socket else ""))
        return
    options = (*disk.options, *named.options)
    found.append(Asked(replace(disk, kind=named.kind, options=options, cpus=place.backend)))

# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio restart-test: how long a restart of the back-end stalls its clients, and what it
loses.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from pyfio_virtio.backends import unix_sockets, writers
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.cli.interruptible import interruptible
from pyfio_virtio.cli.options import confirm
from pyfio_virtio.cli.output import write_file
from pyfio_virtio.cli.pictures import keep_files_in_cache
from pyfio_virtio.cli.restart_options import Chosen, restart_options
from pyfio_virtio.disk.disk import DEFAULT_WAIT, open_disk
from pyfio_virtio.engine import engine
from pyfio_virtio.errors import PyfioVirtioError, UsageError
from pyfio_virtio.machine import folders, host, signals
from pyfio_virtio.reach import Reach
from pyfio_virtio.restarts import restarting, trial
from pyfio_virtio.restarts.outcome import Found, Outcome, Restart
from pyfio_virtio.sweep import candidates, versions

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from pyfio_virtio.restarts.restarting import Way

SCHEMA = 1
_PICTURES = (".png", ".svg")
# Flags for a disk that is started here.
_OF_OURS = ("storage", "disk_size", "block_size", "backend_options", "down_for_s")


class FoundError(PyfioVirtioError):
    """The test found something, or could not be carried out to its end."""


@click.command("restart-test")
@restart_options
@click.pass_context
def restart_test(context: click.Context, chosen: Chosen) -> None:
    """Restart a back-end under load, and look for lost writes.

    Clients read and write while the back-end is killed and started again. Each block says which
    write it comes from, so after each restart every block shows whether an acknowledged write is
    missing.
    """
    _check_picture(chosen.picture)
    target = _target(context, chosen)
    plan = _plan(chosen)
    if chosen.dry_run:
        click.echo(_script(target, plan))
        return
    _ask(target, chosen.yes)
    with signals.ending_tidily(), target.opened() as way:
        found = _run(plan, way, chosen)
    result = {**_context(target, plan, chosen), **found.as_dict()}
    if chosen.as_json:
        click.echo(json.dumps(result, indent=1))
    else:
        _print(found)
    if chosen.picture:
        _draw(result, chosen.picture)
    if not found.is_good:
        raise FoundError(" ".join(found.sentences()))
    if not chosen.as_json:
        click.echo("\n" + "\n".join(found.sentences()))


# ---- what is restarted ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Own:
    """A disk that is started for the test."""

    spec: BackendSpec
    down_for_s: float

    @property
    def name(self) -> str:
        return f"{self.spec.describe()}{self.spec.details()}"

    def opened(self) -> AbstractContextManager[Way]:
        return restarting.own_backend(self.spec, self.down_for_s, partial(click.echo, err=True))

    def reach(self) -> Reach:
        if self.spec.file is None:
            return Reach()
        writers.check(self.spec.file, self.spec.read_only)
        return Reach((str(self.spec.file),) if self.spec.file.exists() else ())

    def script(self) -> list[str]:
        command = restarting.dry_command(self.spec)
        again = f"# restart: SIGKILL, a pause of {self.down_for_s:g} s, and the same command"
        return ["# back-end", command, "", again]


@dataclass(frozen=True)
class Theirs:
    """A disk behind a socket that somebody else serves."""

    command: restarting.Command

    @property
    def name(self) -> str:
        return self.command.socket

    def opened(self) -> AbstractContextManager[Way]:
        return nullcontext(self.command)

    def reach(self) -> Reach:
        unix_sockets.check_present(self.command.socket)
        return Reach((self.command.socket,))

    def script(self) -> list[str]:
        return [f"# back-end at {self.command.socket}; restart:", self.command.command]


def _target(context: click.Context, chosen: Chosen) -> Own | Theirs:
    named = candidates.one_backend(chosen.kind)
    socket = chosen.socket or named.socket
    if not socket:
        return _own(chosen, named)
    _refuse(context, ("kind",) if chosen.socket else (), "there is --socket")
    _refuse(context, _OF_OURS, f"this command does not start what serves {socket}")
    if not chosen.restart_command:
        raise UsageError(
            f"cannot restart what serves {socket}",
            "this command did not start it",
            "say how: --restart-with 'systemctl restart my-vhost'",
        )
    path = folders.absolute(socket)
    limit_s = chosen.reconnect_timeout_s
    return Theirs(restarting.Command(path, chosen.restart_command, limit_s))


def _own(chosen: Chosen, named: candidates.Candidate) -> Own:
    if chosen.restart_command is not None:
        raise UsageError(
            "cannot use --restart-with here",
            "the back-end that this command starts is restarted by it",
            "name yours with --socket PATH",
        )
    spec = BackendSpec(
        kind=named.kind,
        storage=chosen.storage,
        size_bytes=chosen.disk_size,
        block_size=chosen.block_size,
        queues=chosen.queues,
        options=(*chosen.backend_options, *named.options),
    )
    if chosen.device == "scsi":
        spec = spec.as_scsi()
    restarting.check(spec)
    return Own(spec, chosen.down_for_s)


def _refuse(context: click.Context, names: Collection[str], why: str) -> None:
    """Refuses flags that would change nothing."""
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if option.name in names and source is ParameterSource.COMMANDLINE:
            flag = max(option.opts, key=len)
            raise UsageError(f"cannot use {flag} here", why, "leave it out")


def _ask(target: Own | Theirs, yes: bool) -> None:
    confirm("restart-test", target.reach(), yes, "leave --socket and --storage out")


# ---- the test ------------------------------------------------------------------------------------


def _plan(chosen: Chosen) -> trial.Plan:
    return trial.Plan(
        restarts=chosen.restarts,
        every_s=chosen.every_s,
        offset=chosen.offset,
        size_bytes=chosen.size_bytes,
        block_bytes=chosen.block_bytes,
        iodepth=chosen.iodepth,
        threads=chosen.threads,
        read_percent=chosen.read_percent,
        seed=secrets.randbits(31) if chosen.seed is None else chosen.seed,
        reconnect_timeout_s=chosen.reconnect_timeout_s,
    )


def _script(target: Own | Theirs, plan: trial.Plan) -> str:
    settings = (f"# {name}: {value}" for name, value in asdict(plan).items())
    return "\n".join([*target.script(), "", *settings])


def _run(plan: trial.Plan, way: Way, chosen: Chosen) -> Outcome:
    opened = partial(
        open_disk,
        way.socket,
        wait=chosen.wait or DEFAULT_WAIT,
        device=chosen.device,
        queues=chosen.queues,
        depth=plan.depth(chosen.queues),
        memory_bytes=plan.memory_bytes,
        reconnect_timeout_s=plan.reconnect_timeout_s,
    )
    with _progress(plan.restarts) as advance:
        return trial.run(plan, way, lambda: interruptible(opened), advance)


@contextmanager
def _progress(restarts: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("restarts"), MofNCompleteColumn(), BarColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=restarts)
        yield lambda done: bar.update(task, completed=done)


# ---- what is shown -------------------------------------------------------------------------------


def _context(target: Own | Theirs, plan: trial.Plan, chosen: Chosen) -> dict[str, object]:
    kinds = [target.spec.kind] if isinstance(target, Own) else []
    command = target.command.command if isinstance(target, Theirs) else ""
    return {
        "schema": SCHEMA,
        "versions": {
            "engine": versions.engine_version(engine.folder()),
            **versions.of_backends(kinds),
        },
        "host": asdict(host.describe()),
        "backend": {"name": target.name, "restart_with": command},
        "settings": {**asdict(plan), "queues": chosen.queues, "wait": chosen.wait or DEFAULT_WAIT},
    }


_COLUMNS = (
    *("restart", "began", "took", "p50 stall", "worst stall", "stalled", "away", "sent again"),
    *("errors", "lost", "older", "torn"),
)


def _print(found: Outcome) -> None:
    from pyfio_virtio.cli.tables import print_table

    rows = [_row(each) for each in found.restarts]
    if found.before.errors or found.before.wrong:
        rows.insert(0, ("before", *[""] * 7, *_wrong(found.before)))
    if found.last.reads:
        rows.append(("at the end", *[""] * 7, *_wrong(found.last)))
    print_table(_COLUMNS, rows)
    for words in found.findings:
        click.echo(f"\n{words}" if words == found.findings[0] else words)


def _row(one: Restart) -> tuple[str, ...]:
    stall = one.stall
    return (
        str(one.number),
        f"{one.began_s:.2f} s",
        _ms(one.took_s * 1e9) if one.took_s is not None else "",
        _ms(stall.p50_ns) if stall else "",
        _ms(stall.worst_ns) if stall else "",
        f"{stall.operations:,}" if stall else "",
        _ms(one.connection.away_ns),
        f"{one.connection.replayed:,}",
        *_wrong(one.found),
    )


def _wrong(found: Found) -> tuple[str, ...]:
    return tuple(f"{n:,}" for n in (found.errors, found.lost, found.older, found.torn))


def _ms(nanoseconds: float) -> str:
    return f"{nanoseconds / 1e6:,.1f} ms"


def _check_picture(path: Path | None) -> None:
    if path and path.suffix not in _PICTURES:
        raise UsageError(f"cannot draw {path}", "", "name a .png or .svg file")
    if path and not path.parent.is_dir():
        raise UsageError(f"cannot write {path}", "its folder does not exist")


def _draw(result: dict[str, object], path: Path) -> None:
    keep_files_in_cache()
    from pyfio_virtio.analysis import restarts, style

    write_file(path, style.image(restarts.draw(result), path.suffix))
    click.echo(str(path), err=True)

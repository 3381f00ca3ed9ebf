# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio backend logs, stats, fault, latency and resize: look at a back-end that runs, and
change what it does.

Each command may be given the name of a back-end or its socket. Without it, the only one that runs
is meant.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import click

from pyfio_virtio.backends import chosen, logs, records
from pyfio_virtio.backends.control import RefusedError, absolute_trace, printable
from pyfio_virtio.backends.records import Record
from pyfio_virtio.cli.options import Decorator, as_size
from pyfio_virtio.errors import PyfioVirtioError, UsageError
from pyfio_virtio.sizes import format_size

_OFF = ("none", "off")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
# Counters that `stats` shows together with a number of bytes.
_BYTES = {"reads": "bytes_read", "writes": "bytes_written"}
_BYTES_OF = tuple(_BYTES.values())
# Numbers that are no counters.
_NO_COUNTERS = ("clients", "clients_seen")


def complete_names(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """The names of back-ends, for a shell."""
    try:
        return [name for name in records.names() if name.startswith(incomplete)]
    except PyfioVirtioError:
        return []


_NAME = click.argument("name", required=False, shell_complete=complete_names)


def _words(metavar: str) -> Decorator:
    """[NAME] and values."""
    return click.argument("words", nargs=-1, metavar=metavar, shell_complete=complete_names)


def _split(words: Sequence[str], most: int | None = None) -> tuple[Record, tuple[str, ...]]:
    """The back-end that the words name, or the only one, and the values after the name, which are
    `most` or fewer."""
    if not all(word.strip() for word in words):
        raise UsageError("a name or a value is empty")
    is_named = bool(words) and (chosen.is_name(words[0]) or len(words) - 1 == most)
    record = chosen.choose(words[0] if is_named else None)
    values = tuple(words[is_named:])
    if most is not None and len(values) > most:
        raise UsageError(f"too many values: {' '.join(values)}", "", f"at most {most} is possible")
    return record, values


def _ask(record: Record, line: str, *, was_named: bool) -> str:
    """Gives one command. If it is refused, a misspelt name may be the reason."""
    try:
        return chosen.ask(record, (line,))[0]
    except RefusedError as error:
        first = line.split()[1]
        if was_named or first[0].isdigit() or f"'{first}'" not in error.why:
            raise
        known = f"if {first} is a name, the known ones are {', '.join(records.names())}"
        raise RefusedError(error.what, error.why, known) from error


# ---- logs ----------------------------------------------------------------------------------------


@click.command("logs")
@_NAME
@click.option("-n", "--lines", type=click.IntRange(0), help="Print only so many last lines.")
@click.option("-f", "--follow", is_flag=True, help="Print also what is added, until it ends or ^C.")
def show_logs(name: str | None, lines: int | None, follow: bool) -> None:
    """Print what a back-end wrote to its output, also after it has died.

    NAME is the name of a back-end or its socket.
    """
    record = chosen.choose(name, may_have_ended=True)
    is_empty = True
    for text in logs.read(record, lines=lines, follow=follow):
        is_empty = False
        click.echo(text, nl=False)
    if is_empty and lines != 0:
        click.echo(f"{record.name} has written nothing", err=True)


# ---- stats ---------------------------------------------------------------------------------------


@click.command()
@_NAME
@_JSON
def stats(name: str | None, as_json: bool) -> None:
    """Show what a built-in back-end has done since it started.

    NAME is the name of a back-end or its socket. The numbers are those of all its clients.
    """
    record = chosen.choose(name)
    counted, latency, faults = chosen.ask(record, ("stats", "latency", "fault"))
    shown = {
        "name": record.name,
        "latency": latency,
        "faults": _parsed(record, faults, list),
        **_parsed(record, counted, dict),
    }
    if as_json:
        click.echo(json.dumps(shown, indent=1))
        return
    click.echo(f"{record.name}: {printable(_state(shown))}\n")
    _print(("", "number", "size"), _rows(shown))


def _parsed(record: Record, text: str, kind: type) -> Any:  # noqa: ANN401 - JSON
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, kind):
        raise _not_understood(record, text)
    return value


def _not_understood(record: Record, text: str) -> PyfioVirtioError:
    return PyfioVirtioError(f"{record.name} gave an answer that is not understood", text[:40])


def _state(shown: dict[str, Any]) -> str:
    disks = [size for size in shown.get("disk_bytes", ()) if isinstance(size, int)]
    sizes = list(dict.fromkeys(format_size(size) for size in disks))
    faults = len(shown["faults"])
    return ", ".join(
        (
            f"virtio-{shown.get('device')} {' and '.join(sizes)}"
            + (f" ({len(disks)} disks)" if len(disks) > 1 else ""),
            f"profile {shown.get('profile')}",
            f"serve {shown.get('serve')}",
            f"latency {shown['latency']}",
            f"{faults or 'no'} fault{'' if faults == 1 else 's'}",
            f"clients {shown.get('clients')}",
        )
    )


def _rows(shown: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The counters. Those of rare things are left out as long as they are 0."""
    counters = {name: value for name, value in shown.items() if isinstance(value, int)}
    for name, value in counters.items():
        if name in (*_NO_COUNTERS, *_BYTES_OF) or (not value and name not in _BYTES):
            continue
        size = f"{counters.get(_BYTES[name], 0) / (1 << 20):,.1f} MiB" if name in _BYTES else ""
        yield name.replace("_", " "), f"{value:,}", size


def _print(columns: Sequence[str], rows: Iterator[tuple[str, ...]]) -> None:
    from pyfio_virtio.cli.tables import print_table

    print_table(columns, [[printable(cell) for cell in row] for row in rows])


# ---- faults --------------------------------------------------------------------------------------


@click.command()
@_words("[NAME] [FAULT...|list|clear]")
@_JSON
def fault(words: tuple[str, ...], as_json: bool) -> None:
    """List, add or clear the faults of a built-in back-end.

    NAME is the name of a back-end or its socket. Without a FAULT, the faults are listed. `none`
    means clear. A FAULT is ACTION or ACTION:KEY=VALUE,KEY=VALUE.

    \b
    Actions on requests:
      error, delay:for=TIME, reorder:for=TIME, lose, twice, bad-id, bad-length,
      used-jump:by=N, lost-call, spurious-call, die, shrink:to=SIZE;
      with device=scsi also busy, task-set-full, controller-busy, recovered
    Actions on messages:
      wrong-reply, short-reply, lose-reply, hang-up

    \b
    Keys that choose requests:
      type=read|write|flush|discard|write-zeroes|identify|command|task|unknown
      sectors=FIRST-LAST (of 512 bytes)
    Keys that choose messages:
      message=N (the Nth of a connection), request=NUMBER
    Of all that are chosen:
      after=N (not the first N), every=N (each Nth), count=N (N times)
    """
    record, faults = _split(words)
    was_named = len(faults) < len(words)
    if faults in ((), ("list",)):
        _list_faults(record, as_json)
        return
    if as_json:
        raise UsageError("--json prints the list of faults", "", "leave out the faults, or --json")
    if faults in (("clear",), *((word,) for word in _OFF)):
        _ask(record, "fault clear", was_named=was_named)
        click.echo(f"{record.name}: no faults", err=True)
        return
    _ask(record, f"fault {' '.join(faults)}", was_named=was_named)
    click.echo(
        f"{record.name}: added {' '.join(faults)}; "
        f"to clear all: pyfio-virtio backend fault {record.name} clear",
        err=True,
    )


def _list_faults(record: Record, as_json: bool) -> None:
    [answer] = chosen.ask(record, ("fault",))
    found = _parsed(record, answer, list)
    if as_json:
        click.echo(json.dumps(found, indent=1))
    elif not found:
        click.echo(f"{record.name}: no faults", err=True)
    else:
        rows = (
            tuple(str(each.get(name, "")) for name in ("fault", "matched", "applied"))
            for each in found
            if isinstance(each, dict)
        )
        _print(("fault", "matched", "applied"), rows)


# ---- latency -------------------------------------------------------------------------------------


@click.command()
@_words("[NAME] [LATENCY|off]")
def latency(words: tuple[str, ...]) -> None:
    """Show or set the shortest time that a request takes in a built-in back-end.

    NAME is the name of a back-end or its socket. LATENCY is a time such as 20us, two times in turn
    such as 10us,100us/1s, trace:FILE with a time on each line, or off. It changes at once, also for
    clients that are connected.
    """
    record, values = _split(words, most=1)
    if not values:
        click.echo(chosen.ask(record, ("latency",))[0])
        return
    wanted = "none" if values[0] in _OFF else absolute_trace(values[0])
    _ask(record, f"latency {wanted}", was_named=len(words) > 1)
    click.echo(f"{record.name}: latency {wanted}", err=True)


# ---- resize --------------------------------------------------------------------------------------


@click.command()
@_words("[NAME] SIZE")
@click.option(
    "--disk",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Number of the disk behind a virtio-scsi controller: target * LUNs + LUN.",
)
@click.pass_context
def resize(context: click.Context, words: tuple[str, ...], disk: int) -> None:
    """Change the size of a disk of a built-in back-end.

    NAME is the name of a back-end or its socket. SIZE is at most the size with which the disk was
    started. Clients are told by a message of vhost-user if they take one, and by virtio-scsi.
    """
    record, values = _split(words, most=1)
    if not values:
        raise click.UsageError("name the new SIZE", context)
    size = as_size(context, context.command.params[0], values[0])
    answer = _ask(record, f"resize {size} {disk}", was_named=len(words) > 1)
    parsed = _parsed(record, answer, dict)
    numbers = [parsed.get(name) for name in ("bytes", "clients", "told")]
    if not all(isinstance(each, int) for each in numbers):
        raise _not_understood(record, answer)
    now, clients, told = numbers
    click.echo(f"{record.name}: {format_size(now)}{_not_told(clients - told)}", err=True)


def _not_told(count: int) -> str:
    if not count:
        return ""
    who = "1 client" if count == 1 else f"{count} clients"
    return f"; {who} cannot be told, so the new size is seen after the next connection"


COMMANDS = (show_logs, stats, fault, latency, resize)

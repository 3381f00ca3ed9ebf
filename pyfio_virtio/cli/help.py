# SPDX-License-Identifier: GPL-2.0-or-later
"""Help texts: the lists of commands, and the command `help`.

Each group of commands is a Commands. It shows the first sentence of each command in full, prints
its help if no command follows, and names the nearest command after a typing error. How the help of
each command ends is in cli/endings.py.
"""

import shlex
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from itertools import pairwise

import click

from pyfio_virtio.fio import bundled

_USAGE = 2


class Commands(click.Group):
    """A group of commands."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(_USAGE)
        _refuse_empty(args, ctx)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        is_known = self.get_command(ctx, name) is not None
        if not is_known and not ctx.resilient_parsing and not name.startswith("-"):
            raise click.UsageError(f"no such command {name!r}{self._nearest(name)}", ctx)
        return super().resolve_command(ctx, args)

    def _nearest(self, name: str) -> str:
        """A question that names a command of a group below, or else the most similar command."""
        if bundled.is_job(name):
            return f"; to run this job, write: pyfio-virtio run {shlex.quote(name)}"
        below = [path for path in self._paths() if path.endswith(f" {name}")]
        found = below or get_close_matches(name, list(self.commands), n=1)
        return f"; did you mean {found[0]}?" if found else ""

    def _paths(self) -> Iterator[str]:
        for group in self.commands.values():
            if isinstance(group, click.Group):
                yield from (f"{group.name} {name}" for name in group.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands. click would cut long sentences; here they are wrapped."""
        rows = [(name, first_sentence(command)) for name, command in sorted(self.commands.items())]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _refuse_empty(args: Sequence[str], context: click.Context) -> None:
    """Refuses empty words. They mostly come from a variable of the shell that is not set, and could
    mean something else, such as the working directory. Options of fio follow --.
    """
    words = args[: args.index("--")] if "--" in args else args
    for before, word in pairwise(("", *words)):
        if not word or (word.startswith("--") and word.find("=") == len(word) - 1):
            name = word[:-1] or (before if before.startswith("-") else "an argument")
            raise click.UsageError(f"{name} is empty; give it a value, or leave it out", context)


def first_sentence(command: click.Command) -> str:
    """The beginning of its help, which is all that lists of commands show."""
    return command.get_short_help_str(limit=len(command.help or "") + 1)


@click.command("help")
@click.argument("words", nargs=-1, metavar="[COMMAND]...")
@click.pass_context
def help_command(context: click.Context, words: Sequence[str]) -> None:
    """Show the help of a command, such as `help backend start`."""
    place = context.find_root()
    for word in words:
        group = place.command
        if not isinstance(group, Commands):
            raise click.UsageError(f"{place.command_path} has no command {word!r}", place)
        name, command, _ = group.resolve_command(place, [word])
        if command is None:
            raise click.UsageError(f"no such command {word!r}", place)
        place = click.Context(command, info_name=name, parent=place)
    click.echo(place.get_help())

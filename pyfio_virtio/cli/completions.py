# SPDX-License-Identifier: GPL-2.0-or-later
"""What a shell offers for values that click cannot complete itself. Nothing here may fail."""

from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from pyfio_virtio.backends.kinds import VHOST_USER_KINDS
from pyfio_virtio.fio import bundled
from pyfio_virtio.fio.job_writer import WAITS

NO_BACKEND = "none"  # what `run --backend` takes instead of the name of one


def files(context: click.Context, parameter: click.Parameter, word: str) -> list[CompletionItem]:
    """The shell's own list of files, such as sockets."""
    return [CompletionItem(word, type="file")]


def jobs(context: click.Context, parameter: click.Parameter, word: str) -> list[CompletionItem]:
    """The jobs that come with this package, and the user's job files. Without any, all files."""
    try:
        own = [str(path) for path in Path().glob("*.fio")] if "/" not in word else []
    except OSError:
        own = []
    found = [name for name in (*bundled.names(), *sorted(own)) if name.startswith(word)]
    return [CompletionItem(name) for name in found] or files(context, parameter, word)


def waits(context: click.Context, parameter: click.Parameter, word: str) -> list[CompletionItem]:
    """A list of ways of waiting, of which the last one is being typed."""
    before, comma, last = word.rpartition(",")
    return [CompletionItem(f"{before}{comma}{each}") for each in WAITS if each.startswith(last)]


def kinds(context: click.Context, parameter: click.Parameter, word: str) -> list[CompletionItem]:
    """The back-ends that are started by name, or else sockets."""
    return _among(VHOST_USER_KINDS, word) or files(context, parameter, word)


def kinds_or_none(
    context: click.Context, parameter: click.Parameter, word: str
) -> list[CompletionItem]:
    """The same for `run`, which may do without a back-end."""
    return _among((*VHOST_USER_KINDS, NO_BACKEND), word) or files(context, parameter, word)


def _among(names: Iterable[str], word: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(word)]

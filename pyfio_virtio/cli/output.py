# SPDX-License-Identifier: GPL-2.0-or-later
"""What commands print for other programs, and the files that they write for their user."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from pyfio_virtio import files
from pyfio_virtio.cli.options import Decorator
from pyfio_virtio.errors import UsageError
from pyfio_virtio.machine import signals

_ELSEWHERE = "name another folder with -o"

json_option: Decorator = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def refuse_two_formats(**chosen: bool) -> None:
    """Refuses --markdown beside --json, and the like."""
    flags = [f"--{name}" for name, is_chosen in chosen.items() if is_chosen]
    if len(flags) > 1:
        raise UsageError(f"{' and '.join(flags)} exclude each other", "", "choose one")


def print_or_write(text: str, output: Path | None) -> None:
    """Prints a text, or writes it to the file and prints the file's name."""
    if output is None:
        click.echo(text, nl=False)
        return
    write_file(output, text)
    click.echo(str(output))


def write_file(path: Path, content: str | bytes) -> None:
    """Replaces a file that the user named. If that fails, nothing of the new file is left."""
    if not path.parent.is_dir():
        raise UsageError(f"cannot write {path}", "its folder does not exist")
    try:
        if path.exists() and not path.is_file():  # such as /dev/stdout
            files.write(path, content)
        else:
            with signals.ending_tidily():
                files.replace(path, content)
    except OSError as error:
        why = error.strerror or str(error)
        raise UsageError(f"cannot write {path}", why, "name a file elsewhere") from error


def check_folder(path: Path, is_own: Callable[[str], bool] = lambda name: True) -> None:
    """Refuses a folder that cannot be used, or that has files of somebody else, before a run."""
    with _to_folder(path):
        foreign = files.check_folder(path, is_own)
    if foreign:
        raise UsageError(f"will not write into {path}", f"it has {foreign}", _ELSEWHERE)


def make_folder(path: Path) -> None:
    """Makes it, if it is missing."""
    with _to_folder(path):
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def _to_folder(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise UsageError(f"cannot write to {path}", why, _ELSEWHERE) from error

# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio build-engine: builds the engine for a fio, and shows which are there."""

import shlex
from functools import partial
from pathlib import Path

import click

from pyfio_virtio.builds import building, builds, cache
from pyfio_virtio.engine import engine
from pyfio_virtio.fio import fio


@click.command("build-engine")
@click.option("--fio", "program", default="fio", show_default=True, help="The fio to build it for.")
@click.option(
    "--sources",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="The sources of that fio, with the patches that it was built with. Builds anew.",
)
@click.option("--list", "listing", is_flag=True, help="Print the engines that were built.")
def build_engine(program: str, sources: Path | None, listing: bool) -> None:
    """Build the engine for a fio, unless there is one.

    An engine works only with the fio that it was built for. run, sweep and the other commands find
    the engine of each fio, and build it if it is missing. This command does the same in advance,
    and prints how plain fio finds it.

    The sources of fio come from --sources, from FIO_SOURCE_DIR, from the folder of a fio that was
    built there, or from the source package of the installed fio. Engines are kept below
    ~/.cache/pyfio-virtio/engines, which may be removed at any time.
    """
    if listing:
        _list()
        return
    found = fio.find(program)
    tell = partial(click.echo, err=True)
    folder = building.build(found, tell, sources) if sources else builds.folder(found, tell)
    click.echo(str(folder / engine.NAME))
    library = shlex.quote(fio.library_path(folder))
    tell(f"Use it: LD_LIBRARY_PATH={library} {shlex.quote(found.path)} job.fio")


def _list() -> None:
    if own := builds.own_release():
        click.echo(f"{own}  {engine.folder() / engine.NAME}")
    for name in cache.listed():
        release = name.rpartition("-")[0]
        click.echo(f"{release}  {cache.of_version() / name / engine.NAME}")

# SPDX-License-Identifier: GPL-2.0-or-later
"""The command pyfio-virtio: the group of its commands, and how errors become an exit status.

Only the files of this folder print. Modules that are slow to import (rich, the engine) are
imported where they are used, so that --help stays quick.
"""

import shlex
import sys
from pathlib import Path
from typing import NoReturn

import click
from click.shell_completion import get_completion_class

from pyfio_virtio.builds import builds
from pyfio_virtio.cli.backend import backend
from pyfio_virtio.cli.build_engine import build_engine
from pyfio_virtio.cli.compare import compare
from pyfio_virtio.cli.doctor import doctor
from pyfio_virtio.cli.endings import attach
from pyfio_virtio.cli.explain import explain
from pyfio_virtio.cli.help import Commands, help_command
from pyfio_virtio.cli.job import job
from pyfio_virtio.cli.probe import probe
from pyfio_virtio.cli.report import plot, report
from pyfio_virtio.cli.restart_test import restart_test
from pyfio_virtio.cli.results import replay, results
from pyfio_virtio.cli.run import run
from pyfio_virtio.cli.serve import serve
from pyfio_virtio.cli.streams import STDOUT
from pyfio_virtio.cli.sweep import sweep
from pyfio_virtio.cli.tune import tune
from pyfio_virtio.cli.verify import verify_command
from pyfio_virtio.engine import engine
from pyfio_virtio.errors import MachineError, PyfioVirtioError
from pyfio_virtio.fio import fio
from pyfio_virtio.machine import signals

PROGRAM = "pyfio-virtio"
# Python writes such files without a look at how much of them was written.
_CUT_OFF = (
    "a compiled file may be cut off because the disk was full; "
    f"remove the folders __pycache__ below {Path(__file__).parent.parent}"
)
_COMPLETION_VARIABLE = "_PYFIO_VIRTIO_COMPLETE"


def _version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            click.echo(f"{PROGRAM} {version(PROGRAM)}")
        except PackageNotFoundError:
            click.echo(f"{PROGRAM} (not installed)")
        context.exit()


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "-v",
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Run fio on vhost-user virtio disks, without a virtual machine.

    Begin with: pyfio-virtio run
    """
    _check_links(Path(__file__).parent.parent)


def _check_links(package: Path) -> None:
    """Refuses a checkout in which git wrote text files because it could not make symbolic links."""
    for link in (package / "analysis", package / "jobs", package / "engine_sources"):
        if link.is_file():
            quoted = shlex.quote(str(link))
            raise MachineError(
                f"cannot use {link}",
                "it must be a symbolic link, but git wrote a text file",
                f"git config core.symlinks true && rm {quoted} && git checkout -- {quoted}",
            )


@cli.command()
def env() -> None:
    """Print the shell command that lets plain fio find the engine."""
    click.echo(f"export LD_LIBRARY_PATH={shlex.quote(fio.library_path(_library()))}")


def _library() -> Path:
    """The folder of the engine for the fio in PATH; that of Python's engine if there is no fio."""
    try:
        found = fio.find()
    except MachineError:
        return engine.folder()
    return builds.folder(found)


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the code with which a shell completes commands."""
    kind = get_completion_class(shell)
    if kind is not None:
        click.echo(kind(cli, {}, PROGRAM, _COMPLETION_VARIABLE).source())


for command in (
    *(run, explain, backend, job, probe, doctor, verify_command, restart_test),
    *(sweep, tune, results, replay, report, plot, compare, serve, build_engine, help_command),
):
    cli.add_command(command)
attach(cli)


def main() -> NoReturn:
    """Runs a command. Any failure becomes one line on stderr and an exit status."""
    try:
        status = cli.main(
            prog_name=PROGRAM, complete_var=_COMPLETION_VARIABLE, standalone_mode=False
        )
        sys.stdout.flush()
        sys.exit(status or 0)
    except click.exceptions.Exit as ending:
        sys.exit(ending.exit_code)
    except (click.Abort, KeyboardInterrupt) as ending:
        # click raises Abort in place of the signal's exception. Older releases name no cause.
        cause = ending.__cause__ or ending.__context__
        if isinstance(cause, EOFError):
            _fail(f"cannot load a module: {cause}; {_CUT_OFF}", 1)
        _fail("interrupted", signals.exit_status(cause or ending))
    except click.NoSuchOption as error:
        _fail(_unknown_option(error), error.exit_code)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else PROGRAM
        _fail(f"{error.format_message()} (see {path} --help)", error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except PyfioVirtioError as error:
        _fail(str(error), error.exit_status)
    except BrokenPipeError:
        sys.exit(1)  # the program that read our output has ended, and wants no more
    except ImportError as error:
        _fail(f"cannot load {error.name or 'a module'}: {error}", 3)
    # Python raises SystemError if it has no memory for an exception.
    except (MemoryError, SystemError):
        _fail("there is not enough memory for this", 1)
    except OSError as error:
        why = error.strerror or str(error)
        if error.filename == STDOUT:
            _fail(f"cannot write to standard output: {why}", 1)
        _fail(f"cannot use {error.filename or 'this machine'}: {why}", 1)


def _unknown_option(error: click.NoSuchOption) -> str:
    from pyfio_virtio.cli import unknown

    commands = error.ctx.command_path.split()[1:] if error.ctx else []
    return unknown.explain(error, sys.argv[1 + len(commands) :])


def _fail(sentence: str, status: int) -> NoReturn:
    click.echo(f"{PROGRAM}: {' '.join(sentence.split())}", err=True)
    sys.exit(status)

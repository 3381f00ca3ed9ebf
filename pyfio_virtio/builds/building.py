# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the engine for a fio from the sources in this package, and puts it into the cache.

The programs in engine_sources/ do the work: fio_headers.py gets the sources of that fio, and
build.py compiles. They run in a private folder beside the engines, which is locked, so that of two
builders of a release one waits for the other, and which is removed at the end. An engine gets its
name only when that fio has loaded it. Called from the main thread.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pyfio_virtio.builds import cache
from pyfio_virtio.engine.engine import NAME
from pyfio_virtio.errors import MachineError, PyfioVirtioError
from pyfio_virtio.fio import fio as fios
from pyfio_virtio.fio.fio import Fio
from pyfio_virtio.machine import folders, python, questions, signals

TAKES = "it is built now, which takes a minute or two"
# Far more than a slow machine and a slow network need.
_LIMIT_S = 900
_SOURCES_VARIABLE = "FIO_SOURCE_DIR"
_NO_ROOM = os.strerror(errno.ENOSPC)
_WITHOUT_ROOM = "make room there, or name a folder on another file system in XDG_CACHE_HOME"
_READY, _WORK = "ready", "building"


def build(fio: Fio, tell: Callable[[str], None], sources: Path | None = None) -> Path:
    """Builds an engine for this fio. Returns its folder, which other builders may have made.

    `sources` is the tree of the sources of this fio; without it, they are found or fetched.
    """
    fios.check_linkage(fio)
    with signals.ending_tidily(), _workplace(fio, tell) as work:
        if sources is None and (other := _of_another_builder(fio)):
            return other
        _run(fio, work, "build.py", "--output", str(work / "trial.o"), "trial")
        tree = Path(
            _run(fio, work, "fio_headers.py", *_headers(fio, work), sources=sources, tell=tell)
        )
        version = ("--engine-version", cache.own_version())
        output = work / _READY / NAME
        front_end = ("front-end", "--fio-tree", str(tree), *version)
        _run(fio, work, "build.py", "--output", str(output), *front_end)
        fios.check_engine_loads(fio, output.parent, NAME)
        return _put(fio, output, work.parent / f"{fio.release}-{_layout(tree)}")


def _headers(fio: Fio, work: Path) -> tuple[str, ...]:
    return ("--fio", fio.path, "--build", str(work / "trees"))


def _layout(tree: Path) -> str:
    """A number for the layout of fio's structures: that of its headers and options."""
    return cache.number(tree, sorted([*tree.glob("*.h"), tree / "options.c"]))


def _put(fio: Fio, output: Path, folder: Path) -> Path:
    """Gives the engine its place at once: who runs the old one keeps it."""
    with _failing_in_words(fio):
        folder.mkdir(mode=0o700, exist_ok=True)
        output.rename(folder / NAME)
    return folder


@contextmanager
def _failing_in_words(fio: Fio) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _error(fio, f"{error.filename}: {error.strerror}") from error


@contextmanager
def _workplace(fio: Fio, tell: Callable[[str], None]) -> Iterator[Path]:
    """A private folder for this build. What a killed builder left in it is removed first."""
    work = cache.make() / f"{_WORK}-{fio.release}"
    with _failing_in_words(fio):
        descriptor = folders.claim(work)
    if descriptor is None:
        tell(f"another process builds the engine for {fio.release}; waiting for it")
        descriptor = folders.claim(work, _LIMIT_S)
    if descriptor is None:
        raise MachineError(f"cannot use {work}", "another process works in it for very long")
    try:
        for left in work.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        os.close(descriptor)


def _of_another_builder(fio: Fio) -> Path | None:
    for folder in cache.of_release(fio.release):
        try:
            fios.check_engine_loads(fio, folder, NAME)
        except PyfioVirtioError:
            continue
        return folder
    return None


def _run(
    fio: Fio,
    work: Path,
    *command: str,
    sources: Path | None = None,
    tell: Callable[[str], None] | None = None,
) -> str:
    """What a program of engine_sources/ prints. All that it writes lies in `work`. `tell` gets what
    it says on the way to its success."""
    program, *words = command
    # The programs import one another from their folder, which a safe path would leave out.
    environment = {"TMPDIR": str(work), "PYTHONSAFEPATH": ""}
    if sources is not None:
        environment[_SOURCES_VARIABLE] = str(sources)
    line = [*python.command_for_file(), str(cache.SOURCES / program), *words]
    done = questions.ask(line, environment, _LIMIT_S, "try again", ends_with_us=True)
    said = done.stderr.decode("utf-8", "replace")
    if done.status:
        raise _error(fio, _cause(program, said))
    if tell is not None:
        for sentence in said.splitlines():
            tell(sentence)
    return done.stdout.decode("utf-8", "surrogateescape").strip()


def _error(fio: Fio, why: str) -> MachineError:
    advice = _WITHOUT_ROOM if _NO_ROOM in why else ""
    return MachineError(f"cannot build the engine for {fio.path}", why, advice)


def _cause(program: str, said: str) -> str:
    """The sentence of the program, or the first error of the compiler."""
    lines = said.strip().splitlines() or ["it printed nothing"]
    errors = (line for line in lines if "error:" in line or _NO_ROOM in line)
    return next(errors, lines[-1]).removeprefix(f"{Path(program).stem}: ")

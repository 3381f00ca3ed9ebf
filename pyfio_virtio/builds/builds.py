# SPDX-License-Identifier: GPL-2.0-or-later
"""Chooses the build of the engine for a fio. Python itself uses any build (engine/engine.py).

PYFIO_VIRTIO_LIB names the only build that may be used. Otherwise there are the checkout's or the
package's own, and those in the cache. The last word is fio's: a build is chosen if that fio loads
it. The answer is kept for the process, so a fio is asked once. Called from the main thread.
"""

import functools
import os
import shlex
from collections.abc import Callable
from pathlib import Path

from pyfio_virtio.builds import building, cache
from pyfio_virtio.engine import engine
from pyfio_virtio.errors import MachineError
from pyfio_virtio.fio import fio as fios
from pyfio_virtio.fio.fio import Fio

_chosen: dict[Fio, Path] = {}


class NoEngineError(MachineError):
    """No build of the engine goes with this fio, but one can be built."""


def folder(fio: Fio, tell: Callable[[str], None] | None = None) -> Path:
    """The folder of the engine for this fio. With `tell`, a missing one is built, which is told."""
    if fio not in _chosen:
        try:
            _chosen[fio] = _find(fio)
        except NoEngineError:
            if tell is None:
                raise
            tell(f"there is no engine for {fio.release} ({fio.path}); {building.TAKES}")
            _chosen[fio] = building.build(fio, tell)
    return _chosen[fio]


def options(fio: Fio) -> frozenset[str]:
    """The options of the engine for this fio; none if there is no engine. Nothing is built."""
    library = known(fio)
    return frozenset() if library is None else _options(fio, library)


@functools.cache
def _options(fio: Fio, library: Path) -> frozenset[str]:
    return fios.engine_options(fio, library, engine.NAME)


def known(fio: Fio) -> Path | None:
    """The folder of the engine for this fio, if there is one. Nothing is built."""
    try:
        return folder(fio)
    except MachineError:
        return None


def _find(fio: Fio) -> Path:
    fios.check_linkage(fio)  # no build would help
    why = ""
    if os.environ.get(engine.FOLDER_VARIABLE):
        fios.check_release(fio, engine.fio_release())
        fios.check_engine_loads(fio, engine.folder(), engine.NAME)
        return engine.folder()
    for each in _candidates(fio):
        try:
            fios.check_engine_loads(fio, each, engine.NAME)
        except MachineError as error:
            why = why or str(error.why)
            continue
        return each
    raise NoEngineError(
        f"there is no engine for {fio.path}",
        why or f"it is {fio.release}, and {_have()}",
        f"build one: pyfio-virtio build-engine --fio {shlex.quote(fio.path)}",
    )


def _candidates(fio: Fio) -> list[Path]:
    """The folders of engines that were built for this release."""
    own = [engine.folder()] if own_release() == fio.release else []
    return [*own, *cache.of_release(fio.release)]


def own_release() -> str:
    """The release that the package's own engine is for; "" if there is none, or if it is for Python
    alone."""
    try:
        return engine.fio_release()
    except MachineError:
        return ""


def _have() -> str:
    own = own_release()
    names = [*([f"that of this package is for {own}"] if own else []), *cache.listed()]
    return f"the engines are: {', '.join(names)}" if names else "none was built for fio yet"

# SPDX-License-Identifier: GPL-2.0-or-later
"""The versions of the programs of a run: their releases, and for our own programs their builds.

Reads the shared objects and asks programs for their versions; changes nothing. Any thread may call.
A build of ours is identified by its content, so a compiled change is another build.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from pyfio_virtio.backends import kinds
from pyfio_virtio.engine import engine
from pyfio_virtio.fio.fio import Fio
from pyfio_virtio.machine import questions

FIO, ENGINE = "fio", "engine"
_QUESTION_S = 10


def versions(fio: Fio, kinds: Iterable[str]) -> dict[str, str]:
    """The versions of fio, of the engine and of each kind of back-end, by name."""
    ours = engine_version(engine.folder())
    return {FIO: fio.release, ENGINE: ours, **of_backends(kinds)}


def of_backends(kinds: Iterable[str]) -> dict[str, str]:
    """The version of each kind of back-end, by name."""
    return {kind: _of_backend(kind) for kind in kinds}


def engine_version(folder: Path) -> str:
    """The version of the engine in a folder. Another build than ours does not tell its release."""
    found = build(folder / engine.NAME)
    return f"{engine.version()}+{found}" if folder == engine.folder() else f"build {found}"


def _of_backend(kind: str) -> str:
    kinds.check_program(kind)
    if kind == "builtin":
        return f"{engine.version()}+{build(engine.folder() / engine.BACKEND_NAME)}"
    advice = kinds.KINDS[kind].how_to_install
    said = questions.ask([kinds.QSD, "--version"], {}, _QUESTION_S, advice).stdout
    first = said.decode(errors="replace").partition("\n")[0]
    return first.removeprefix(f"{kinds.QSD} version ")


def build(path: Path) -> str:
    """Eight hexadecimal digits that change with the content of a program or shared object."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]

# SPDX-License-Identifier: GPL-2.0-or-later
"""What tells the programs of one run from those of another: releases, and builds of our own.

Reads the shared objects and asks programs for their versions; changes nothing. Any thread.
A build of ours is told by its content, so that a change that was compiled is another build.
"""

import hashlib
import subprocess
from collections.abc import Iterable
from pathlib import Path

from pyfio_virtio.backends import backends
from pyfio_virtio.engine import engine
from pyfio_virtio.fio.fio import Fio

FIO, ENGINE = "fio", "engine"


def versions(fio: Fio, kinds: Iterable[str]) -> dict[str, str]:
    """Of fio, of the engine, and of each kind of back-end, by its name."""
    ours = f"{engine.version()}+{build(engine.folder() / engine.NAME)}"
    return {FIO: fio.release, ENGINE: ours, **{kind: _of_backend(kind) for kind in kinds}}


def _of_backend(kind: str) -> str:
    backends.check_program(kind)
    if kind == "builtin":
        return f"{engine.version()}+{build(engine.folder() / engine.BACKEND_NAME)}"
    asked = subprocess.run([backends.QSD, "--version"], capture_output=True, text=True, check=False)
    return asked.stdout.partition("\n")[0].removeprefix(f"{backends.QSD} version ")


def build(path: Path) -> str:
    """Eight digits that any change of a program or shared object changes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]

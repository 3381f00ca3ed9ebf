# SPDX-License-Identifier: GPL-2.0-or-later
"""Where this user's builds of the engine are kept: a folder for each layout of fio's structures.

    ~/.cache/pyfio-virtio/engines/0.1.0-1f2e3d4c/fio-3.41-5a6b7c8d/fio_virtio

The first number is that of the engine's sources, so an older engine is never taken. The second is
that of fio's headers. fio runs what lies there, so the cache is used only if no other user can
write to it or replace it. Any thread may call.
"""

import hashlib
from contextlib import suppress
from functools import cache
from pathlib import Path

from pyfio_virtio.engine.engine import NAME
from pyfio_virtio.machine import folders

SOURCES = Path(__file__).resolve().parents[1] / "engine_sources"
# Below these, no file is compiled into the engine.
_NOT_OF_THE_ENGINE = ("backend", "examples")


def root() -> Path:
    """The folder of all versions. It is neither made nor checked here."""
    return folders.cache_folder() / "engines"


def own_version() -> str:
    """The version of this package, which its engines have too."""
    from importlib.metadata import PackageNotFoundError, version  # slow to import

    try:
        return version("pyfio-virtio")
    except PackageNotFoundError:
        return "0"


def of_version() -> Path:
    """The folder of the engines that are built from the present sources."""
    return root() / f"{own_version()}-{_sources_hash()}"


@cache
def _sources_hash() -> str:
    paths = sorted(path for path in SOURCES.rglob("*") if path.suffix in (".c", ".h", ".py"))
    return number(SOURCES, paths)


def number(folder: Path, paths: list[Path]) -> str:
    """Eight hexadecimal digits that change with the names and contents of files below `folder`."""
    digest = hashlib.sha256()
    for path in paths:
        name = path.relative_to(folder)
        if name.parts[0] not in _NOT_OF_THE_ENGINE:
            content = path.read_bytes()
            digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:8]


def make() -> Path:
    """Makes the folder of the present version. Refuses one that others can change."""
    return folders.make_in_cache(of_version())


def of_release(release: str) -> list[Path]:
    """The folders with an engine for a release of fio, the newest first; there may be several."""
    found = [(made, each) for made, each in _all() if each.name.rpartition("-")[0] == release]
    return [folder for _, folder in sorted(found, reverse=True)]


def _all() -> list[tuple[int, Path]]:
    """The folders of the present version that have an engine, and when it was built (in ns); none
    if others can change them. Anybody may remove the cache meanwhile."""
    folder = of_version()
    found: list[tuple[int, Path]] = []
    with suppress(OSError):
        for each in [] if folders.flaw_of_all(folder) else folder.iterdir():
            with suppress(OSError):
                found.append(((each / NAME).stat().st_mtime_ns, each))
    return found


def listed() -> list[str]:
    """The names of the engines of the present version, such as fio-3.41-5a6b7c8d."""
    return sorted(folder.name for _, folder in _all())

# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs fio and the builds of the engine of a sweep, and which of them go together.

Owns their names, their versions, and that a build is run only with a fio that loads it. Asks every
fio about itself, but runs no job. Any thread may call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyfio_virtio.builds import builds
from pyfio_virtio.engine import engine
from pyfio_virtio.errors import MachineError, UsageError
from pyfio_virtio.fio import fio as fios
from pyfio_virtio.fio.fio import Fio
from pyfio_virtio.reach import Reach
from pyfio_virtio.sweep import candidates
from pyfio_virtio.sweep.plan import Pair
from pyfio_virtio.sweep.settings import OWN_FIO
from pyfio_virtio.sweep.versions import ENGINE, FIO, engine_version

# Where a checkout has its build of the engine.
_IN_CHECKOUT = Path("build") / "lib"


@dataclass(frozen=True)
class Programs:
    """Each fio and each folder with a build by its name, and the pairs that go together."""

    fios: Mapping[str, Fio]
    builds: Mapping[str, Path]
    pairs: tuple[Pair, ...]

    def axis(self) -> list[Pair]:
        """The pairs to measure. If each fio has only one build, that needs no name."""
        if len(self.pairs) > len(self.fios):
            return list(self.pairs)
        return [(name, "") for name in self.fios]

    def build(self, pair: Pair) -> str:
        """The name of the build. In a pair without one, it is the one that goes with the fio."""
        fio, name = pair
        return next((build for of, build in self.pairs if of == fio and name in ("", build)), "")

    def folder(self, pair: Pair) -> Path:
        """The folder of the build of a pair."""
        return self.builds.get(self.build(pair)) or engine.folder()

    def versions(self) -> dict[str, str]:
        """The versions of all of them, by what they are called in the plan of a sweep."""
        found = {key(FIO, name): fio.release for name, fio in self.fios.items()}
        return found | {key(ENGINE, n): engine_version(each) for n, each in self.builds.items()}

    def engine_options(self) -> frozenset[str]:
        """The options that any of the builds adds to fio's own."""
        found = [
            fios.engine_options(self.fios[fio], self.builds[name], engine.NAME)
            for fio, name in self.pairs
        ]
        return frozenset().union(*found)


def key(what: str, name: str) -> str:
    """The name of a version in Programs.versions()."""
    return f"{what} {name}" if name else what


def named(name: str, version: str) -> str:
    """A version that is told apart from that of another program of the same version."""
    return f"{name}: {version}" if name else version


def reached(programs: Sequence[str], builds: Sequence[str]) -> Reach:
    """Which programs find() would run that are not this machine's own."""
    named = candidates.paths(programs, "--fio").values()
    folders = candidates.paths(builds, "--engine-build").values()
    runs = [f"runs {what} as fio" for what in named if what != OWN_FIO]
    return Reach(others=(*runs, *(f"loads the engine in {what}" for what in folders)))


def find(
    programs: Sequence[str],
    builds: Sequence[str],
    with_engine: bool,
    tell: Callable[[str], None] | None = None,
) -> Programs:
    """Finds them all. The error says which of them is missing, or which do not go together.

    If no build is named, each fio gets its own. With `tell`, those that are missing are built.
    """
    found = {name: fios.find(what) for name, what in candidates.paths(programs, "--fio").items()}
    if not with_engine:
        return Programs(found, {}, ())
    if not builds:
        return _each_with_its_own(found, tell)
    named = candidates.paths(builds, "--engine-build")
    folders = {name: _folder(what) for name, what in named.items()}
    pairs = tuple(_pairs(found, folders))
    _refuse_lonely(found, folders, pairs)
    return Programs(found, folders, pairs)


def _each_with_its_own(found: Mapping[str, Fio], tell: Callable[[str], None] | None) -> Programs:
    """Each fio with the build that was made for it. If one is for all of them, it has no name."""
    own = {name: builds.folder(fio, tell) for name, fio in found.items()}
    if len(folders := frozenset(own.values())) == 1:
        return Programs(found, {"": next(iter(folders))}, tuple((name, "") for name in found))
    return Programs(found, own, tuple((name, name) for name in found))


def _folder(what: str) -> Path:
    """The folder of a build: itself, or that of a checkout."""
    path = Path(what).absolute()
    for folder in (path, path / _IN_CHECKOUT):
        if (folder / engine.NAME).is_file():
            return folder
    raise UsageError(
        f"there is no engine in {what}",
        f"neither {engine.NAME} nor {_IN_CHECKOUT / engine.NAME} is there",
        "name the folder of a build, or a checkout in which make was run",
    )


def _pairs(found: Mapping[str, Fio], folders: Mapping[str, Path]) -> Iterator[Pair]:
    alone = len(found) == len(folders) == 1
    for fio_name, fio in found.items():
        for name, folder in folders.items():
            try:
                fios.check_engine_loads(fio, folder, engine.NAME)
            except MachineError:
                if alone:
                    raise
                continue
            yield fio_name, name


def _refuse_lonely(
    found: Mapping[str, Fio], folders: Mapping[str, Path], pairs: Sequence[Pair]
) -> None:
    for name, fio in found.items():
        if not any(pair[0] == name for pair in pairs):
            raise MachineError(
                f"no build of the engine goes with {fio.path}",
                f"it is {fio.release} and loads none of {', '.join(map(str, folders.values()))}",
                "build the engine for this fio, and name its folder with --engine-build",
            )
    for name, folder in folders.items():
        if not any(pair[1] == name for pair in pairs):
            raise MachineError(
                f"no fio goes with the engine in {folder}",
                f"it is not loaded by {', '.join(fio.path for fio in found.values())}",
                "name the fio that it was built for with --fio",
            )

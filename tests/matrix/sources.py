# SPDX-License-Identifier: GPL-2.0-or-later
"""Where fios come from: sources and binary packages of Debian and Ubuntu.

What comes from Debian's archive is checked by its signed index. Of Ubuntu's archive, the checksum
of each file stands here, because Debian's systems do not have Ubuntu's keys. Everything is kept
below one folder, so it is fetched once. Nothing is installed.
"""

import hashlib
import re
import shlex
import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import fio_headers
from fio_headers import Archive, HeadersError

DEBIAN = ("bullseye", "bookworm", "trixie", "forky", "sid")
_DOWNLOAD_S = 60


@dataclass(frozen=True)
class Pinned:
    """A file of Ubuntu's archive."""

    label: str
    name: str
    sha256: str

    def url(self) -> str:
        return f"http://archive.ubuntu.com/ubuntu/pool/universe/f/fio/{self.name}"


# Upstream's sources, without a distribution's patches.
UPSTREAM = (
    Pinned(
        "fio-3.16",
        "fio_3.16.orig.tar.gz",
        "988ba0ed7488968fdccc882ceadd2124370825d0a1317ae4fdd80d5f2acc31da",
    ),
    Pinned(
        "fio-3.28",
        "fio_3.28.orig.tar.gz",
        "859dca5241e5494d86c4aa1531a984cc556789c78e56b30d6070acfbdd193a8c",
    ),
    Pinned(
        "fio-3.36",
        "fio_3.36.orig.tar.gz",
        "0a07354876ca4d23518f8aa88682f23866455bbd2ff2d0f055d6e4b72f156553",
    ),
)
UBUNTU = (
    Pinned(
        "Ubuntu 22.04",
        "fio_3.28-1_amd64.deb",
        "3507f4c7f41f807a0fa9388519171e64ae33b435c753b3bb9f61466d8d7c79d3",
    ),
    Pinned(
        "Ubuntu 24.04",
        "fio_3.36-1build2_amd64.deb",
        "f14bac7fbe6f3d87e34d3dbd36bbd7ea51e756a10add007d67398aa622edc425",
    ),
    Pinned(
        "Ubuntu 25.04",
        "fio_3.38-1_amd64.deb",
        "f4c13e3ce2c0795b8e27b024827122b1eb0b648607833f043cff93cf4e961e40",
    ),
    Pinned(
        "Ubuntu 25.10",
        "fio_3.39-1_amd64.deb",
        "ee4c35a800f8828be5e2cbf4acdf4dd20147233ad09eb5a34f0183fdc49901bd",
    ),
)
# A suite of Debian whose libraries programs of Ubuntu can use.
_LIBRARIES_OF_UBUNTU = "trixie"


def main_archive() -> Archive:
    debian = [archive for archive in fio_headers.known_archives() if archive.origin == "Debian"]
    if not debian:
        raise HeadersError("apt-get has no package lists of Debian")
    return next((a for a in debian if a.uri.rstrip("/").endswith("/debian")), debian[0])


def _index_line(suite: str) -> str:
    return Archive(main_archive().uri, suite, "main", "Debian").source_line()


def debian_sources(suite: str, build: Path) -> Path:
    """The tree of the suite's package, not configured.

    It has Debian's patches (and is named fio_...), or is upstream's tree (fio-...) if the archive
    has kept no more than upstream's file.
    """
    folder = build / f"apt-{suite}"
    environment = fio_headers.private_apt(folder, [_index_line(suite)])
    fio_headers.output_of("apt-get", "update", "-qq", env=environment)
    shown = fio_headers.output_of("apt-cache", "showsrc", "fio", env=environment)
    version = re.search(r"^Version: (\S+)$", shown, re.MULTILINE)
    if version is None:
        raise HeadersError(f"Debian {suite} has no source package fio")
    return _patched_or_upstream(version[1], _index_line(suite), build)


def _patched_or_upstream(version: str, line: str, build: Path) -> Path:
    release = f"fio-{fio_headers.upstream_version(version)}"
    patched, upstream = build / f"fio_{fio_headers.without_epoch(version)}", build / release
    for tree in (patched, upstream):
        if tree.exists():
            return tree
    try:
        fio_headers.fetch_patched(version, release, [line], patched)
        return patched
    except HeadersError as error:
        try:
            fio_headers.fetch_upstream(release, [line], upstream)
            return upstream
        except HeadersError:
            raise error from None


def upstream_sources(wanted: Pinned, build: Path) -> Path:
    tree = build / wanted.label
    if not tree.exists():
        with fio_headers.scratch_folder(tree) as folder:
            (folder / "tree").mkdir()
            tarball = _download(wanted, folder)
            unpack = ("tar", "--extract", "--no-same-owner", "--strip-components=1")
            fio_headers.output_of(*unpack, "-C", str(folder / "tree"), "-f", str(tarball))
            (folder / "tree").rename(tree)
    return tree


def _download(wanted: Pinned, folder: Path) -> Path:
    try:
        with urllib.request.urlopen(wanted.url(), timeout=_DOWNLOAD_S) as answer:  # noqa: S310
            content = answer.read()
    except OSError as error:
        raise HeadersError(f"cannot fetch {wanted.url()}: {error}") from None
    if hashlib.sha256(content).hexdigest() != wanted.sha256:
        raise HeadersError(f"{wanted.url()} has changed: it has another checksum than expected")
    target = folder / wanted.name
    target.write_bytes(content)
    return target


# ---- binary packages ------------------------------------------------------------------------


def debian_program(suite: str, build: Path) -> Path:
    """The fio of the suite's binary package."""
    root = build / f"{suite}-root"
    if not root.exists():
        with fio_headers.scratch_folder(root) as folder:
            for package in _packages(suite, folder):
                _unpack(package, folder / "root")
            (folder / "root").rename(root)
    return _runnable(root / "usr/bin/fio", root, build / f"{suite}-fio")


def _packages(suite: str, folder: Path) -> list[Path]:
    """fio and all that it depends on, as for a system that has no packages yet."""
    line = _index_line(suite).replace("deb-src", "deb", 1)
    environment = fio_headers.private_apt(folder / "apt", [line])
    status = folder / "status"
    status.touch()
    with (folder / "apt" / "apt.conf").open("a") as settings:
        settings.write(f'Dir::State::status "{status}";\n')
    fio_headers.output_of("apt-get", "update", "-qq", env=environment)
    wanted = ("install", "-qq", "--download-only", "--no-install-recommends", "fio")
    fio_headers.output_of("apt-get", *wanted, env=environment)
    return sorted((folder / "apt" / "cache" / "archives").glob("*.deb"))


def ubuntu_program(wanted: Pinned, build: Path) -> Path:
    """Ubuntu's fio, with libraries of Debian."""
    debian_program(_LIBRARIES_OF_UBUNTU, build)
    root = build / wanted.label.replace(" ", "-")
    if not root.exists():
        with fio_headers.scratch_folder(root) as folder:
            _unpack(_download(wanted, folder), folder / "root")
            (folder / "root").rename(root)
    libraries = build / f"{_LIBRARIES_OF_UBUNTU}-root"
    return _runnable(root / "usr/bin/fio", libraries, root / "started")


def _unpack(package: Path, root: Path) -> None:
    subprocess.run(["dpkg-deb", "--extract", str(package), str(root)], check=True)


def _runnable(program: Path, root: Path, folder: Path) -> Path:
    """The program itself if this system has its libraries, else a script that starts it.

    The script takes the loader and all libraries from `root`.
    """
    if subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0:
        return program
    loader = next(path for path in sorted(root.rglob("ld-*.so*")) if not path.is_symlink())
    found = sorted({str(path.parent) for path in root.rglob("*.so.*") if path.is_file()})
    libraries = shlex.quote(":".join(found))
    folder.mkdir(exist_ok=True)
    script = folder / "fio"
    script.write_text(
        "#!/bin/sh\n"
        f'path="${{LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}}"{libraries}\n'
        "unset LD_LIBRARY_PATH\n"
        f'exec {shlex.quote(str(loader))} --library-path "$path" '
        f'{shlex.quote(str(program))} "$@"\n'
    )
    script.chmod(0o755)
    return script

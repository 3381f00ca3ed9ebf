# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds or fetches a configured tree of fio's sources, for its headers.

The engine must be compiled against the headers of the exact fio that will load it. They come from
FIO_SOURCE_DIR, or from the Debian source package of the installed fio. apt-get runs with a
configuration, sources list, lists folder and cache of its own below the build folder, so nothing
of the system's changes. One process, one thread, standard library only: it runs before the virtual
environment exists. It never compiles the engine and never installs anything.

Which options of fio's configure alter the structures that an engine shares with fio?
- struct io_u: a union at its end (3.33) or just before a last pointer (3.41) gains members with
  libaio, posixaio and RDMA. The largest by far is posixaio's struct aiocb, which glibc always has,
  so size and offsets are the same with or without libaio (struct iocb) or RDMA (a pointer).
- struct thread_data: CUDA adds members, after those that an engine uses. It is off unless asked
  for with --enable-cuda, which neither Debian nor we do.
- struct thread_options, fio_file and ioengine_ops depend on no option at all.
So a plain ./configure gives the layout of Debian's binary, and no library's headers are needed.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

APT_HELPER = "/usr/lib/apt/apt-helper"
KEYRINGS = {
    "Debian": Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    "Ubuntu": Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg"),
}
# As automake's test runner has it: what was asked for cannot be had here.
EXIT_UNAVAILABLE = 77
OR_SOURCE_DIR = "or set FIO_SOURCE_DIR to the unpacked sources of your fio"


class HeadersError(Exception):
    """A sentence for people: what could not be done, and what to do next."""


class UnavailableError(HeadersError):
    """The release asked for is not to be had from the archive."""


@dataclass(frozen=True)
class Archive:
    """A suite of a package archive, as apt knows it."""

    uri: str
    suite: str
    component: str
    origin: str

    def source_line(self) -> str:
        keyring = KEYRINGS[self.origin]
        options = f"[signed-by={keyring}] " if keyring.exists() else ""
        return f"deb-src {options}{self.uri} {self.suite} {self.component}\n"


@dataclass(frozen=True)
class SourceFile:
    """One file of a source package, with the checksum from the archive's signed index."""

    uri: str
    name: str
    checksum: str


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def output_of(*command: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """What the command prints; HeadersError with its own words if it fails."""
    try:
        done = subprocess.run(
            command, env=env, cwd=cwd, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise HeadersError(f"cannot run {command[0]}: {error.strerror}") from None
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        # apt names the cause first and what followed from it last
        cause = next((line for line in words if line.startswith("E: ")), words[-1])
        raise HeadersError(f"{Path(command[0]).name} failed: {cause.removeprefix('E: ')}")
    return done.stdout


def installed_release() -> str:
    """What the fio in PATH calls itself, such as fio-3.33."""
    fio = shutil.which("fio")
    if fio is None:
        raise HeadersError("fio is not installed: run make install-packages")
    return output_of(fio, "--version").strip()


def installed_package_version(release: str) -> str:
    """Version of the source package that the fio in PATH was built from."""
    if shutil.which("dpkg-query") is None or shutil.which("apt-get") is None:
        raise HeadersError(f"this system has no apt-get to fetch the sources of {release} with")
    version = output_of("dpkg-query", "-W", "-f", "${source:Version}", "fio")
    if re.split(r"[-+~]", version.split(":")[-1])[0] != release.removeprefix("fio-"):
        raise HeadersError(f"{shutil.which('fio')} is {release}, the fio package is {version}")
    return version


def archives() -> list[Archive]:
    """The distribution's own archives among those that apt is configured for."""
    fields = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)"
    rows = output_of("apt-get", "indextargets", "--format", fields, "Created-By: Packages")
    found = {Archive(*row.split("|")) for row in rows.splitlines()}
    return sorted(
        (archive for archive in found if archive.origin in KEYRINGS),
        key=lambda archive: (archive.suite, archive.component),
    )


def known_archives() -> list[Archive]:
    if shutil.which("apt-get") is None:
        raise UnavailableError("this system has no apt-get")
    if not (found := archives()):
        raise UnavailableError("apt-get has no lists of Debian or Ubuntu: run apt-get update")
    return found


def private_apt(folder: Path, source_lines: list[str]) -> dict[str, str]:
    """An environment in which apt-get uses these sources and writes below folder alone.

    How the machine reaches its archives (proxies and the like) is carried over; its hooks, which
    may touch the system after an update, are not.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("lists/partial", "cache/archives/partial", "parts"):
        (folder / name).mkdir(parents=True)
    (folder / "sources.list").write_text("".join(source_lines))
    (folder / "apt.conf").write_text(
        output_of("apt-config", "dump", "Acquire")
        + f'Dir::Etc::Main "{folder}/no-apt.conf";\n'
        + f'Dir::Etc::Parts "{folder}/parts";\n'
        + f'Dir::Etc::SourceList "{folder}/sources.list";\n'
        + f'Dir::Etc::SourceParts "{folder}/parts";\n'
        + f'Dir::State::Lists "{folder}/lists";\n'
        + f'Dir::Cache "{folder}/cache";\n'
        # root's downloads are made by the user _apt otherwise, who may not write here
        + 'APT::Sandbox::User "root";\n'
    )
    return {**os.environ, "APT_CONFIG": str(folder / "apt.conf"), "LC_ALL": "C"}


def original_tarball(listing: str) -> SourceFile | None:
    """Upstream's tarball in what `apt-get source --print-uris` lists."""
    pattern = r"^'(\S+)' (fio_[^_\s]+\.orig\.tar\.\w+) \d+ (SHA256:\w+)$"
    match = re.search(pattern, listing, re.MULTILINE)
    return SourceFile(*match.groups()) if match else None


def fetch(package: str, release: str, from_archives: list[Archive], folder: Path) -> Path:
    """Downloads upstream's tarball of the source package into folder."""
    env = private_apt(folder / "apt", [archive.source_line() for archive in from_archives])
    try:
        output_of("apt-get", "update", "-qq", env=env)
        listing = output_of("apt-get", "source", "-qq", "--print-uris", package, env=env)
        tarball = original_tarball(listing)
        if tarball is None or not tarball.name.startswith(f"fio_{release[4:]}.orig."):
            found = tarball.name if tarball else "no upstream tarball"
            raise HeadersError(f"{package} has {found}, not that of {release}")
        target = folder / tarball.name
        output_of(APT_HELPER, "download-file", tarball.uri, str(target), tarball.checksum, env=env)
    finally:
        shutil.rmtree(folder / "apt")
    verify(target, tarball.checksum)
    return target


def verify(path: Path, checksum: str) -> None:
    """apt-helper trusts a file that was there before; this does not."""
    if hashlib.sha256(path.read_bytes()).hexdigest() != checksum.removeprefix("SHA256:"):
        path.unlink()
        raise HeadersError(f"{path.name} does not have the checksum of the archive's index")


def unpack(tarball: Path, tree: Path) -> None:
    """Puts what the tarball's one top folder holds at tree, whole or not at all."""
    scratch = tree.with_name(tree.name + ".partial")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    output_of(
        *("tar", "--extract", "--no-same-owner", "--strip-components=1"),
        *("--directory", str(scratch), "--file", str(tarball)),
    )
    scratch.rename(tree)
    tarball.unlink()


def configure(tree: Path) -> None:
    """Runs fio's configure unless config-host.h is there already."""
    if (tree / "config-host.h").exists():
        return
    if not (tree / "configure").exists():
        raise HeadersError(f"{tree} has no configure script: it is not a tree of fio's sources")
    say(f"Configuring {tree}")
    log = tree / "configure.output"
    with log.open("w") as output:
        done = subprocess.run(
            ["sh", "./configure", "--disable-native"],
            cwd=tree,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        (tree / "config-host.h").unlink(missing_ok=True)
        words = log.read_text().strip().splitlines() or ["no message"]
        raise HeadersError(f"configure failed in {tree}: {words[-1]} (all of it: {log})")


def release_of(tree: Path) -> str:
    """What a fio built from the tree calls itself; fio's own script works it out."""
    generator = tree / "FIO-VERSION-GEN"
    if not generator.exists():
        raise HeadersError(f"{tree} has no FIO-VERSION-GEN: it is not a tree of fio's sources")
    output_of("sh", "./FIO-VERSION-GEN", cwd=tree)
    return (tree / "FIO-VERSION-FILE").read_text().removeprefix("FIO_VERSION = ").strip()


def unpacked_tree(build: Path, release: str, package: str, sources: list[Archive]) -> Path:
    """The release's sources below build, fetched if they are not there."""
    tree = build / release
    if not tree.exists():
        say(f"Fetching the sources of {release} ({sources[0].origin}'s source package)")
        build.mkdir(parents=True, exist_ok=True)
        unpack(fetch(package, release, sources, build), tree)
    configure(tree)
    return tree


def tree_of_installed(build: Path) -> Path:
    release = installed_release()
    if (build / release).exists():
        return unpacked_tree(build, release, "fio", [])
    version = installed_package_version(release)
    tree = unpacked_tree(build, release, f"fio={version}", known_archives())
    if release_of(tree) != release:
        raise HeadersError(f"fio is {release}, but its package's sources are {release_of(tree)}")
    return tree


def tree_from_suite(release: str, suite: str, build: Path) -> Path:
    """Another release than the installed one, as the named suite of Debian carries it."""
    if (build / release).exists():
        return unpacked_tree(build, release, "fio", [])
    debian = [archive for archive in known_archives() if archive.origin == "Debian"]
    if not debian:
        raise UnavailableError(f"{release}: no Debian archive is configured here")
    main = next((a for a in debian if a.uri.rstrip("/").endswith("/debian")), debian[0])
    try:
        archive = Archive(main.uri, suite, "main", "Debian")
        return unpacked_tree(build, release, "fio", [archive])
    except HeadersError as error:
        raise UnavailableError(f"{release} cannot be had from Debian {suite}: {error}") from None


def configured_tree(build: Path) -> Path:
    """The tree whose headers the engine is to be compiled with."""
    if chosen := os.environ.get("FIO_SOURCE_DIR"):
        tree = Path(chosen).expanduser().resolve()
        if not (tree / "ioengines.h").exists():
            raise HeadersError(f"FIO_SOURCE_DIR={chosen} holds no sources of fio (no ioengines.h)")
        configure(tree)
        return tree
    try:
        return tree_of_installed(build)
    except HeadersError as error:
        raise HeadersError(f"{error}; {OR_SOURCE_DIR}") from None


def main() -> int:
    parser = argparse.ArgumentParser(description="Print the path of a configured fio source tree.")
    parser.add_argument("--build", type=Path, default=Path("build"), help="folder to fetch into")
    parser.add_argument("--release", help="not the installed one but this, such as fio-3.41")
    parser.add_argument("--suite", default="sid", help="the suite of Debian that has the release")
    chosen = parser.parse_args()
    build = chosen.build.resolve()
    try:
        if chosen.release:
            print(tree_from_suite(chosen.release, chosen.suite, build))
        else:
            print(configured_tree(build))
    except UnavailableError as error:
        say(f"fio_headers: {error}")
        return EXIT_UNAVAILABLE
    except HeadersError as error:
        say(f"fio_headers: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

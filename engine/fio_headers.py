# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds or fetches a configured tree of fio's sources, because the engine needs its headers.

The engine must be compiled against the headers of the exact fio that will load it. They come from
FIO_SOURCE_DIR, from the tree in which that fio was built, or from the source package of the
installed fio, with the patches of Debian or Ubuntu, because a patch may change structures without
changing the release's name. The folder of a fetched tree is named after the full version of its
package. apt-get runs with its own configuration, sources list, lists folder and cache below the
build folder, so the system's files do not change. This file runs as one thread and uses only the
standard library, because it runs before the virtual environment exists. It never compiles the
engine and never installs anything.

Which options of fio's configure alter the structures that an engine shares with fio?
- struct io_u: a union at its end (3.33) or just before a last pointer (3.41) has more members with
  libaio, posixaio and RDMA. By far the largest is posixaio's struct aiocb, which glibc always has,
  so the size and the offsets are the same with and without libaio (struct iocb) and RDMA (a
  pointer).
- struct thread_data: CUDA adds members, but after those that an engine uses. It is off unless
  --enable-cuda is given, which neither Debian nor this file does.
- struct thread_options, fio_file and ioengine_ops depend on no option.
So a plain ./configure gives the layout of Debian's binary, and needs no library's headers.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

KEYRINGS = {
    "Debian": Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    "Ubuntu": Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg"),
}
# How dpkg-query tells that the file of one package lies elsewhere, because another is in its place.
DIVERSION = re.compile(r"(?:local diversion|diversion by (\S+)) (from|to): (.*)")
# The exit status by which automake's test runner knows a test that cannot run here.
EXIT_UNAVAILABLE = 77
UPSTREAM = "https://github.com/axboe/fio"


class HeadersError(Exception):
    """The message is a sentence for people: what failed, and often what to do next."""


class UnavailableError(HeadersError):
    """The archive does not have the chosen release, or this system has no archive."""


@dataclass(frozen=True)
class Archive:
    """One component of one suite of a package archive, as apt knows it."""

    uri: str
    suite: str
    component: str
    origin: str

    def source_line(self) -> str:
        keyring = KEYRINGS[self.origin]
        options = f"[signed-by={keyring}] " if keyring.exists() else ""
        return f"deb-src {options}{self.uri} {self.suite} {self.component}\n"


def in_words(error: OSError) -> str:
    why = error.strerror or str(error)
    return f"{error.filename}: {why}" if error.filename else why


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def output_of(*command: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """Returns what the command prints. If it fails, raises HeadersError with its error message."""
    try:
        done = subprocess.run(
            command, env=env, cwd=cwd, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise HeadersError(f"cannot run {command[0]}: {error.strerror}") from None
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        # apt-get prints the cause first and its consequences last.
        cause = next((line for line in words if line.startswith("E: ")), words[-1])
        raise HeadersError(f"{Path(command[0]).name} failed: {cause.removeprefix('E: ')}")
    return done.stdout


def installed_release(program: str = "fio") -> str:
    """The version that the fio in PATH prints, such as fio-3.33."""
    fio = shutil.which(program)
    if fio is None:
        raise HeadersError(f"{program} is not installed: run make install-packages")
    return output_of(fio, "--version").strip()


def installed_package_version(release: str, program: str = "fio") -> str:
    """The version of the source package that this fio was built from."""
    if shutil.which("dpkg-query") is None or shutil.which("apt-get") is None:
        raise HeadersError(f"the sources of {release} cannot be fetched without dpkg and apt-get")
    path = shutil.which(program) or program
    package = package_of(Path(path).resolve())
    if not package:
        raise HeadersError(f"{path} ({release}) belongs to no package")
    fields = "${source:Package} ${source:Version}"
    source, version = output_of("dpkg-query", "-W", "-f", fields, package).split()
    if source != "fio":
        raise HeadersError(f"{path} ({release}) belongs to the package {package}, not to fio's")
    if upstream_version(version) != release.removeprefix("fio-"):
        raise HeadersError(f"{path} is {release}, but the fio package is {version}")
    return version


def package_of(path: Path) -> str:
    """The package that installed this file; "" if none did."""
    lines = files_of_packages(path)
    found = list(filter(None, map(DIVERSION.fullmatch, lines)))
    diverter = next((each[1] or "" for each in found), "")
    origin = next((each[3] for each in found if each[2] == "from"), str(path))
    if found and origin == str(path):
        return diverter
    if found:  # the file was moved here from its usual place
        lines = files_of_packages(Path(origin))
    usual = [line for line in lines if not DIVERSION.fullmatch(line)]
    names = [name for line in usual for name in line.removesuffix(f": {origin}").split(", ")]
    return next((each for each in names if each != diverter), "")


def files_of_packages(path: Path) -> list[str]:
    """What dpkg-query says of the file. A package may call /usr/bin by its old name /bin."""
    old = Path("/") / path.relative_to("/usr") if path.is_relative_to("/usr") else path
    for name in dict.fromkeys((path, old)):
        with suppress(HeadersError):  # dpkg-query fails if it knows no such file
            said = output_of("dpkg-query", "-S", str(name), env={**os.environ, "LC_ALL": "C"})
            return [line.replace(f": {name}", f": {path}") for line in said.splitlines()]
    return []


def without_epoch(version: str) -> str:
    """The version as it appears in the names of a package's files."""
    return version.split(":")[-1]


def upstream_version(version: str) -> str:
    return re.split(r"[-+~]", without_epoch(version))[0]


def archives() -> list[Archive]:
    """The archives of Debian and Ubuntu themselves, among those that apt is configured for."""
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
    """An environment in which apt-get uses these sources and writes only below folder.

    It copies the settings by which this machine reaches its archives (such as proxies), but not the
    hooks, which may change the system after an update.
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
        # Otherwise root downloads as the user _apt, who may not write here.
        + 'APT::Sandbox::User "root";\n'
    )
    return {**os.environ, "APT_CONFIG": str(folder / "apt.conf"), "LC_ALL": "C"}


def download(package: str, options: list[str], source_lines: list[str], folder: Path) -> Path:
    """Lets apt-get fetch a source package, checked by the signed index; returns its folder."""
    env = private_apt(folder / "apt", source_lines)
    files = folder / "files"
    files.mkdir()
    output_of("apt-get", "update", "-qq", env=env)
    wanted = ("source", "-qq", "--download-only", "--only-source", *options, package)
    output_of("apt-get", *wanted, env=env, cwd=files)
    return files


def only_one(files: Path, pattern: str, release: str) -> Path:
    if found := list(files.glob(pattern)):
        return found[0]
    names = ", ".join(sorted(path.name for path in files.iterdir())) or "nothing"
    raise HeadersError(f"the archive has {names}, but not the sources of {release}")


def fetch_patched(version: str, release: str, source_lines: list[str], tree: Path) -> None:
    """Unpacks the source package at tree and applies its patches. A failure leaves no tree."""
    if shutil.which("dpkg-source") is None:
        raise HeadersError("there is no dpkg-source: install the Debian package dpkg-dev")
    with scratch_folder(tree) as folder:
        try:
            files = download(f"fio={version}", [], source_lines, folder)
        except HeadersError as error:
            raise UnavailableError(str(error)) from None
        dsc = only_one(files, f"fio_{without_epoch(version)}.dsc", release)
        output_of("dpkg-source", "--no-check", "--extract", str(dsc), str(folder / "tree"))
        (folder / "tree").rename(tree)


def fetch_upstream(release: str, source_lines: list[str], tree: Path) -> None:
    """Unpacks upstream's sources at tree, without a distribution's patches."""
    with scratch_folder(tree) as folder:
        files = download("fio", ["--tar-only"], source_lines, folder)
        tarball = only_one(files, f"fio_{release.removeprefix('fio-')}.orig.tar.*", release)
        (folder / "tree").mkdir()
        output_of(
            *("tar", "--extract", "--no-same-owner", "--strip-components=1"),
            *("--directory", str(folder / "tree"), "--file", str(tarball)),
        )
        (folder / "tree").rename(tree)


def fetch_without_patches(build: Path, release: str, source_lines: list[str], why: str) -> Path:
    """Takes upstream's sources of the release instead, because archives keep them for longer.

    A patch may have changed structures. The engine finds that out when the fio loads it.
    """
    tree = build / f"{release}-without-patches"
    if not tree.exists():
        try:
            fetch_upstream(release, source_lines, tree)
        except HeadersError as error:
            raise HeadersError(f"{why}; nor are there sources without its patches") from error
    say(f"{why}; upstream's sources of {release} are used, without the distribution's patches")
    return tree


@contextmanager
def scratch_folder(tree: Path) -> Iterator[Path]:
    """A temporary folder beside the tree, from which the finished tree is moved."""
    tree.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=tree.parent, prefix=".fetched-") as folder:
        yield Path(folder)


def configure(tree: Path) -> None:
    """Runs fio's configure unless config-host.h exists."""
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
        raise HeadersError(f"configure failed in {tree}: {words[-1]} (all output: {log})")


def release_of(tree: Path) -> str:
    """The version that a fio built from the tree prints, according to fio's own script."""
    generator = tree / "FIO-VERSION-GEN"
    if not generator.exists():
        raise HeadersError(f"{tree} has no FIO-VERSION-GEN: it is not a tree of fio's sources")
    output_of("sh", "./FIO-VERSION-GEN", cwd=tree)
    return (tree / "FIO-VERSION-FILE").read_text().removeprefix("FIO_VERSION = ").strip()


def origin_of(tree: Path) -> str:
    """Where the tree comes from, in words for people."""
    changelog = tree / "debian" / "changelog"
    if changelog.exists():
        with changelog.open(errors="replace") as file:
            if version := re.match(r"fio \(([^)]+)\)", file.readline()):
                return f"source package fio {version[1]}"
    return f"sources in {tree}"


def tree_of_installed(build: Path, program: str = "fio") -> Path:
    """The tree of the sources that the installed package was built from."""
    release = installed_release(program)
    version = installed_package_version(release, program)
    tree = build / f"fio_{without_epoch(version)}"
    if not tree.exists():
        found = known_archives()
        package = f"{found[0].origin}'s source package {version}"
        say(f"Fetching the sources of {release} ({package})")
        lines = [archive.source_line() for archive in found]
        try:
            fetch_patched(version, release, lines, tree)
        except UnavailableError as error:
            tree = fetch_without_patches(build, release, lines, f"cannot fetch {package}: {error}")
        except HeadersError as error:
            raise HeadersError(f"cannot fetch {package}: {error}") from None
    configure(tree)
    if release_of(tree) != release:
        raise HeadersError(f"fio is {release}, but its package's sources are {release_of(tree)}")
    return tree


def tree_from_suite(release: str, suite: str, build: Path) -> Path:
    """The tree of upstream's sources of another release, from which a fio can be built.

    It is fetched from the named suite of Debian.
    """
    tree = build / release
    if not tree.exists():
        debian = [archive for archive in known_archives() if archive.origin == "Debian"]
        if not debian:
            raise UnavailableError(f"{release}: apt-get has no package lists of Debian")
        main = next((a for a in debian if a.uri.rstrip("/").endswith("/debian")), debian[0])
        say(f"Fetching the sources of {release} (Debian's {suite})")
        try:
            line = Archive(main.uri, suite, "main", "Debian").source_line()
            fetch_upstream(release, [line], tree)
        except HeadersError as error:
            raise UnavailableError(
                f"{release} cannot be fetched from Debian {suite}: {error}"
            ) from None
    configure(tree)
    return tree


def tree_beside(program: str) -> Path | None:
    """The tree in which this fio was built; None if it lies elsewhere."""
    path = shutil.which(program)
    tree = Path(path).resolve().parent if path else Path()
    files = ("ioengines.h", "FIO-VERSION-GEN", "config-host.h")
    return tree if path and all((tree / name).exists() for name in files) else None


def configured_tree(build: Path, program: str = "fio") -> Path:
    """The tree whose headers the engine is compiled with."""
    if chosen := os.environ.get("FIO_SOURCE_DIR"):
        tree = Path(chosen).expanduser().resolve()
        if not (tree / "ioengines.h").exists():
            raise HeadersError(f"FIO_SOURCE_DIR={chosen} has no sources of fio (no ioengines.h)")
        configure(tree)
        return tree
    if beside := tree_beside(program):
        return beside
    try:
        return tree_of_installed(build, program)
    except HeadersError as error:
        raise HeadersError(f"{error}; {ways_out(program)}") from None


def ways_out(program: str) -> str:
    """What helps if the sources of this fio cannot be had."""
    try:
        release = installed_release(program)
    except HeadersError:
        release = ""
    # Releases, but not builds between them, have names in upstream's repository.
    named = re.fullmatch(r"fio-\d+\.\d+(\.\d+)?", release)
    clone = f" (git clone --depth 1 --branch {release} {UPSTREAM})" if named else ""
    return (
        f"set FIO_SOURCE_DIR to the sources of this fio{clone}, with the patches that it was "
        "built with, or use another fio, such as that of another suite of your distribution or one "
        "that you build yourself"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Print the path of a configured fio source tree.")
    parser.add_argument(
        "--build", type=Path, default=Path("build"), help="folder for fetched sources"
    )
    parser.add_argument("--fio", default="fio", help="the program that will load the engine")
    parser.add_argument(
        "--release", help="another release than the installed one, such as fio-3.41"
    )
    parser.add_argument("--suite", default="sid", help="the suite of Debian that has the release")
    chosen = parser.parse_args()
    build = chosen.build.resolve()
    try:
        if chosen.release:
            print(tree_from_suite(chosen.release, chosen.suite, build))
        else:
            print(configured_tree(build, chosen.fio))
    except UnavailableError as error:
        say(f"fio_headers: {error}")
        return EXIT_UNAVAILABLE
    except HeadersError as error:
        say(f"fio_headers: {error}")
        return 1
    except OSError as error:
        say(f"fio_headers: {in_words(error)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: GPL-2.0-or-later
"""Lays out the installed files of pyfio-virtio in a folder: which file lies where below a prefix.

Everything was built below build/ before. With `bundle`, Python's libraries are in the package's
own folder, lib/pyfio-virtio, and no other program of the system is disturbed. Without it, the
package is among the system's own, as Debian wants it.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from project import ROOT, settings, version

BUILD = ROOT / "build"
ENGINE, BACK_END = "fio_virtio", "vhost_backend"
# fio asks the loader for "fio_virtio". ldconfig looks only at files with a name such as lib*.so,
# and remembers the name inside.
FOUND_BY_LDCONFIG = f"lib{ENGINE}.so"
OWN_FOLDER = Path("lib/pyfio-virtio")
SYSTEM_FOLDER = Path("lib/python3/dist-packages")
SHARED_JOBS = Path("share/pyfio-virtio/jobs")
COMPLETIONS = {
    "bash": "share/bash-completion/completions/pyfio-virtio",
    "zsh": "share/zsh/{zsh}/_pyfio-virtio",
    "fish": "share/fish/vendor_completions.d/pyfio-virtio.fish",
}
# A user's own libraries and files in the current folder must not take the place of ours. Flags say
# so and no variable, because the user's own programs, which --restart-with or a job starts, would
# inherit it.
LAUNCHER = """\
#!/usr/bin/python3 -sP
# SPDX-License-Identifier: GPL-2.0-or-later
import sys

from pyfio_virtio.__main__ import main

sys.exit(main())
"""
# A bundle has a virtual environment, so each process of its Python finds the libraries by itself.
BUNDLE_LAUNCHER = """\
#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
own=$(realpath "$0")
exec "${own%/*/*}/lib/pyfio-virtio/bin/python3" -I -m pyfio_virtio "$@"
"""


def fill(into: Path, prefix: Path, libdir: Path, bundle: Path | None) -> None:
    python = OWN_FOLDER if bundle else SYSTEM_FOLDER
    if bundle:
        shutil.copytree(bundle, into / python, ignore=shutil.ignore_patterns("bin", ".ready"))
    add_package(into, python)
    add_engine(into, python, libdir, is_searched=prefix == Path("/usr"))
    add_command(into / "bin" / "pyfio-virtio", BUNDLE_LAUNCHER if bundle else LAUNCHER)
    add_library(into, prefix, libdir)
    add_documents(into, "vendor-completions" if bundle is None else "site-functions")
    if bundle:
        add_environment(into / OWN_FOLDER)
        compile_python(into / python / "pyfio_virtio")
    set_modes(into)


def add_package(into: Path, python: Path) -> None:
    """The Python files and the data that pyproject.toml names; the same as in a wheel."""
    source, target = ROOT / "pyfio_virtio", into / python / "pyfio_virtio"
    rules = settings()["tool"]["setuptools"]
    data = _matches(source, rules["package-data"]["pyfio_virtio"])
    others = _matches(source, rules["exclude-package-data"]["pyfio_virtio"])
    for path in {*_python_files(source), *data} - others:
        place = path.relative_to(source)
        if place.parts[0] != "jobs":
            _copy(path, target / place)
    for job in (ROOT / "jobs").iterdir():
        _copy(job, into / SHARED_JOBS / job.name)
    _link(into, python / "pyfio_virtio" / "jobs", SHARED_JOBS)
    add_metadata(into / python)


def _matches(folder: Path, patterns: list[str]) -> set[Path]:
    return {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}


def _python_files(source: Path) -> list[Path]:
    """Also those behind symbolic links, such as analysis."""
    return [
        Path(place, name)
        for place, folders, names in os.walk(source, followlinks=True)
        for name in names
        if name.endswith(".py") and "__pycache__" not in place
    ]


def add_metadata(python: Path) -> None:
    """By it, the command knows its version, and pip that the package is there."""
    about = settings()["project"]
    folder = python / f"pyfio_virtio-{about['version']}.dist-info"
    folder.mkdir(parents=True)
    needed = "".join(f"Requires-Dist: {each}\n" for each in about["dependencies"])
    (folder / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n"
        f"Summary: {about['description']}\nRequires-Python: {about['requires-python']}\n{needed}"
    )
    (folder / "INSTALLER").write_text("make install\n")


def add_engine(into: Path, python: Path, libdir: Path, is_searched: bool) -> None:
    """Python loads the engine from its package, and fio from `libdir`. If the loader searches
    `libdir` without ldconfig, the file lies in Python's package and fio has a link to it. Debian
    has this link in a package of its own, which depends on one fio."""
    lib = python / "pyfio_virtio" / "lib"
    own, for_fio = lib / ENGINE, libdir / ENGINE
    file = own if is_searched else libdir / FOUND_BY_LDCONFIG
    _copy(BUILD / "lib" / BACK_END, into / lib / BACK_END)
    _copy(BUILD / "lib" / ENGINE, into / file)
    for name in {own, for_fio} - {file}:
        _link(into, name, file)


def add_command(target: Path, text: str) -> None:
    target.parent.mkdir(parents=True)
    target.write_text(text)
    target.chmod(0o755)


def add_environment(folder: Path) -> None:
    """The Python of the bundle: compiled libraries fit one version only."""
    version = "python{}.{}".format(*sys.version_info[:2])
    python = Path(sys.base_prefix, "bin", version)
    packages = folder / "lib" / version / "site-packages"
    packages.mkdir(parents=True)
    (packages / "pyfio-virtio.pth").write_text(f"{os.path.relpath(folder, packages)}\n")
    (folder / "pyvenv.cfg").write_text(
        f"home = {python.parent}\ninclude-system-site-packages = false\n"
    )
    (folder / "bin").mkdir()
    (folder / "bin" / "python3").symlink_to(python)


def set_modes(folder: Path) -> None:
    """Everybody may read all files, also if the umask under which they were built forbids it."""
    for place, _, names in os.walk(folder):
        Path(place).chmod(0o755)
        for path in (Path(place, name) for name in names):
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def add_library(into: Path, prefix: Path, libdir: Path) -> None:
    sonames = re.findall(r'^LIBRARY_SONAME = "(.*)"', _read("engine/build.py"), re.MULTILINE)
    library = libdir / sonames[0]
    _copy(BUILD / "lib" / "libpyfio_virtio.so", into / library)
    _link(into, libdir / "libpyfio_virtio.so", library)
    for header in ("pyfio_virtio.h", "pyfio_virtio_version.h"):
        _copy(ROOT / "engine" / "library" / header, into / "include" / header)
    text = _read("engine/pyfio-virtio.pc.in")
    text = text.replace("@PREFIX@", _for_pkg_config(prefix))
    text = text.replace("@LIBDIR@", _for_pkg_config(libdir))
    text = text.replace("@VERSION@", version())
    described = into / libdir / "pkgconfig" / "pyfio-virtio.pc"
    described.parent.mkdir(parents=True, exist_ok=True)
    described.write_text(text)


def add_documents(into: Path, zsh: str) -> None:
    for page in sorted((BUILD / "man").glob("*.[1-9]")):
        _copy(page, into / "share" / "man" / f"man{page.suffix[1:]}" / page.name)
    for shell, place in COMPLETIONS.items():
        if (file := BUILD / "completions" / shell).is_file():
            _copy(file, into / place.format(zsh=zsh))


def compile_python(folder: Path) -> None:
    """Users who may not write there start as quickly as root."""
    subprocess.run([sys.executable, "-m", "compileall", "-q", folder], check=True)


def _for_pkg_config(path: Path) -> str:
    """pkg-config reads paths as a shell does."""
    return re.sub(r"[^\w./+:,=@~-]", r"\\\g<0>", str(path))


def _read(name: str) -> str:
    return (ROOT / name).read_text()


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o644)


def _link(into: Path, name: Path, to: Path) -> None:
    """A relative link, so that the whole prefix can be moved."""
    path = into / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(os.path.relpath(to, name.parent))

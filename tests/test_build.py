# SPDX-License-Identifier: GPL-2.0-or-later
"""What make builds, and when it builds again.

The shared object is looked at as it lies in build/lib. Rebuilding is tried on a copy of the tree
whose engine is a few lines long; the copy borrows the virtual environment and fio's headers.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import fio_headers
import pytest

ROOT = Path(__file__).resolve().parent.parent
ENGINE = ROOT / "build" / "lib" / "fio_virtio"

TINY_API = "unsigned int engine_default_sleepy_poll_us(void);\n"
TINY_ENGINE = """
#include "api.h"
unsigned int engine_default_sleepy_poll_us(void) { return SLEEPY_POLL_DEFAULT; }
"""
# A process of its own: two shared objects of one module name cannot live in one.
SHOW_DEFAULT = """
import sys
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import module_from_spec
loader = ExtensionFileLoader("fio_virtio", sys.argv[1])
module = module_from_spec(ModuleSpec("fio_virtio", loader, origin=sys.argv[1]))
loader.exec_module(module)
print(module.lib.engine_default_sleepy_poll_us())
"""


# engine/build.py in a Python that calls itself free-threaded.
BUILD_FREE_THREADED = """
import runpy, sys, sysconfig
sysconfig.get_config_vars()["Py_GIL_DISABLED"] = 1
sys.argv = ["engine/build.py", "--output", sys.argv[1], "back-end"]
sys.path.insert(0, "engine")
runpy.run_path("engine/build.py", run_name="__main__")
"""


def output_of(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_only_the_two_entry_points_are_exported() -> None:
    listing = output_of("nm", "--dynamic", "--defined-only", ENGINE)
    assert {line.split()[-1] for line in listing.splitlines()} == {
        "get_ioengine",
        "PyInit_fio_virtio",
    }


def test_what_only_the_other_host_has_is_weak_or_bound_lazily() -> None:
    listing = output_of("nm", "--dynamic", "--undefined-only", ENGINE)
    strong = re.findall(r"^\s+U (\w+)$", listing, re.MULTILINE)
    assert [symbol for symbol in strong if not symbol.startswith(("Py", "_Py"))] == []
    flags = output_of("readelf", "--dynamic", ENGINE)
    assert "BIND_NOW" not in flags
    assert not re.search(r"FLAGS_1.*NOW", flags)


def test_neither_python_nor_dpdk_is_needed() -> None:
    libraries = re.findall(r"NEEDED.*\[(.*)\]", output_of("readelf", "--dynamic", ENGINE))
    assert set(libraries) <= {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2"}


def test_nobody_takes_it_for_a_program() -> None:
    for path in (ENGINE, ENGINE.with_name("vhost_backend")):
        assert path.stat().st_mode & 0o111 == 0


def test_fio_loads_it_by_name() -> None:
    environment = {**os.environ, "LD_LIBRARY_PATH": str(ENGINE.parent)}
    done = subprocess.run(
        ["fio", "--enghelp=fio_virtio"], env=environment, capture_output=True, text=True, check=True
    )
    assert "sleepy_poll" in done.stdout


@pytest.mark.parametrize(("release", "suite"), [("fio-3.39", "trixie"), ("fio-3.41", "sid")])
def test_it_compiles_for_other_releases(release: str, suite: str, tmp_path: Path) -> None:
    try:
        tree = fio_headers.tree_from_suite(release, suite, ROOT / "build")
    except fio_headers.UnavailableError as error:
        pytest.skip(str(error))
    build = f"engine/build.py --output {tmp_path}/fio_virtio front-end --fio-tree {tree}"
    done = subprocess.run(
        [sys.executable, *build.split()], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@dataclass(frozen=True)
class Checkout:
    """A copy of the tree, with a tiny engine."""

    folder: Path

    @property
    def engine(self) -> Path:
        return self.folder / "build" / "lib" / "fio_virtio"

    @property
    def source(self) -> Path:
        return self.folder / "engine" / "tiny.c"

    @property
    def fio_tree(self) -> Path:
        [tree] = (self.folder / "build").glob("fio_*")
        return tree

    def run_make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("FIO_SOURCE_DIR", "MAKEFLAGS", "MAKELEVEL", "SLEEPY_POLL", "V")
        }
        return subprocess.run(
            ["make", str(self.engine.relative_to(self.folder)), *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def make(self, *arguments: str) -> str:
        done = self.run_make(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def default_sleepy_poll(self) -> int:
        return int(output_of(sys.executable, "-c", SHOW_DEFAULT, self.engine))


def borrow_venv(venv: Path) -> None:
    """Everything of the real one but the mark that says it is up to date, lest it be remade."""
    venv.mkdir()
    for entry in (ROOT / "build" / "venv").iterdir():
        if entry.name != ".ready":
            (venv / entry.name).symlink_to(entry)
    (venv / ".ready").touch()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    for name in ("Makefile", "pyproject.toml", "setup.py", "tools"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, tmp_path / name)
    for name in ("engine/fio", "build"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copy2(ROOT / "engine" / "fio" / "compat.h", tmp_path / "engine" / "fio")
    for path in (ROOT / "engine").glob("*.py"):
        shutil.copy2(path, tmp_path / "engine")
    (tmp_path / "engine" / "api.h").write_text(TINY_API)
    (tmp_path / "engine" / "internals.cdef").write_text("")
    borrow_venv(tmp_path / "build" / "venv")
    tree = fio_headers.tree_of_installed(ROOT / "build")
    (tmp_path / "build" / tree.name).symlink_to(tree)
    copy_of_tree = Checkout(tmp_path)
    copy_of_tree.source.write_text(TINY_ENGINE)
    return copy_of_tree


def test_building_twice_does_nothing(checkout: Checkout) -> None:
    assert "Compiling build/lib/fio_virtio" in checkout.make()
    built = checkout.engine.stat().st_mtime_ns
    assert checkout.make() == ""
    assert checkout.engine.stat().st_mtime_ns == built


def test_a_changed_source_rebuilds_the_engine_alone(checkout: Checkout) -> None:
    checkout.make()
    checkout.source.touch()
    assert checkout.make().splitlines() == [
        f"Compiling build/lib/fio_virtio for {checkout.fio_tree.name}"
    ]


def test_sleepy_poll_is_baked_in_and_rebuilds(checkout: Checkout) -> None:
    checkout.make()
    assert checkout.default_sleepy_poll() == 0
    assert "Compiling" in checkout.make("SLEEPY_POLL=20")
    assert checkout.default_sleepy_poll() == 20
    assert checkout.make("SLEEPY_POLL=20") == ""
    assert "Compiling" in checkout.make()
    assert checkout.default_sleepy_poll() == 0


def test_fio_source_dir_rebuilds(checkout: Checkout) -> None:
    checkout.make()
    tree = checkout.fio_tree
    assert "Compiling" in checkout.make(f"FIO_SOURCE_DIR={tree}")
    assert checkout.make(f"FIO_SOURCE_DIR={tree}") == ""


def test_a_named_fio_is_built_for_with_the_sources_beside_it(checkout: Checkout) -> None:
    tree = checkout.folder / "it's another"
    shutil.copytree(checkout.fio_tree, tree, ignore=shutil.ignore_patterns("*.o", ".git", "fio"))
    (tree / "fio").write_text("#!/bin/sh\necho fio-3.33\n")
    (tree / "fio").chmod(0o755)
    line = f"FIO={tree}/fio"
    assert f"Compiling build/lib/fio_virtio for {tree.name}" in checkout.make(line)
    assert checkout.make(line) == ""
    assert "Compiling" in checkout.make()


def test_a_patched_fio_source_dir_rebuilds(checkout: Checkout) -> None:
    tree = checkout.folder / "patched"
    shutil.copytree(checkout.fio_tree, tree, ignore=shutil.ignore_patterns("*.o", ".git"))
    checkout.make(f"FIO_SOURCE_DIR={tree}")
    (tree / "thread_options.h").touch()
    assert "Compiling" in checkout.make(f"FIO_SOURCE_DIR={tree}")


def test_another_version_of_fios_package_rebuilds(checkout: Checkout) -> None:
    checkout.make()
    wanted = checkout.folder / "build" / "fio-wanted"
    wanted.write_text(wanted.read_text().replace("fio\t", "fio\t0:"))
    assert "Compiling" in checkout.make()


@pytest.mark.parametrize("value", ["-1", "fast", "1000001"])
def test_a_senseless_sleepy_poll_is_refused(checkout: Checkout, value: str) -> None:
    done = checkout.run_make(f"SLEEPY_POLL={value}")
    assert done.returncode != 0
    assert done.stderr.startswith(f"build: SLEEPY_POLL={value}: ")
    assert not checkout.engine.exists()


def test_a_folder_without_fio_is_refused(checkout: Checkout) -> None:
    done = checkout.run_make(f"FIO_SOURCE_DIR={checkout.folder}")
    assert done.returncode != 0
    assert f"FIO_SOURCE_DIR={checkout.folder} has no sources of fio" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_compiler_is_heard_when_it_fails(checkout: Checkout) -> None:
    checkout.make()
    checkout.source.write_text(TINY_ENGINE + "syntax error\n")
    done = checkout.run_make()
    assert done.returncode != 0
    assert "tiny.c:4" in done.stderr
    assert "Traceback" not in done.stderr
    # What was built before stays whole, for those who use it.
    assert checkout.default_sleepy_poll() == 0


def test_a_symbol_that_python_lacks_must_be_weak(checkout: Checkout) -> None:
    call = "void log_err(void);\nvoid engine_complain(void);\n"
    checkout.source.write_text(
        TINY_ENGINE + call + 'void __attribute__((visibility("default"))) engine_complain(void)\n'
        "{ log_err(); }\n"
    )
    done = checkout.run_make()
    assert done.returncode != 0
    assert "log_err" in done.stderr
    assert "weak" in done.stderr


def path_without(program: str, folder: Path) -> str:
    """A PATH with what packages.sh looks for, but for one program."""
    folder.mkdir()
    (folder / "python3").symlink_to(Path(sys.executable).resolve())
    names = ("sh", "id", "gcc", "make", "fio", "qemu-storage-daemon", "apt-get", "dpkg-source")
    for name in names:
        found = shutil.which(name)
        if name != program and found:
            (folder / name).symlink_to(found)
    return str(folder)


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="this system has no apt-get")
@pytest.mark.parametrize(
    ("program", "package"), [("fio", "fio"), ("make", "make"), ("dpkg-source", "dpkg-dev")]
)
def test_what_is_missing_is_named_with_its_remedy(
    program: str, package: str, checkout: Checkout
) -> None:
    done = subprocess.run(
        ["tools/packages.sh", "check"],
        cwd=checkout.folder,
        env={"PATH": path_without(program, checkout.folder / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"Missing: {package}." in done.stderr
    remedy = "apt-get update && apt-get install --yes --no-install-recommends"
    assert f"sudo sh -c '{remedy} {package}'" in done.stderr


def test_a_free_threaded_python_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BUILD_FREE_THREADED, str(tmp_path / "vhost_backend")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("build: this Python is free-threaded")
    assert not any(tmp_path.iterdir())


def test_the_version_is_the_projects() -> None:
    from pyfio_virtio.engine import engine

    with (ROOT / "pyproject.toml").open("rb") as file:
        assert engine.version() == tomllib.load(file)["project"]["version"]
    assert engine.fio_release() == fio_headers.installed_release()


@pytest.mark.parametrize("name", ["analysis", "jobs", "engine_sources"])
def test_a_link_that_became_a_text_file_is_not_installed(name: str, tmp_path: Path) -> None:
    """git without symbolic links writes such files, and the package would lack a folder."""
    shutil.copy(ROOT / "setup.py", tmp_path)
    (tmp_path / "pyfio_virtio").mkdir()
    (tmp_path / "pyfio_virtio" / name).write_text(f"../{name}")
    ended = subprocess.run(
        [sys.executable, "setup.py", "--name"], cwd=tmp_path, capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert f"pyfio_virtio/{name} must be a symbolic link" in ended.stderr

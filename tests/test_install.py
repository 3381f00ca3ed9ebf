# SPDX-License-Identifier: GPL-2.0-or-later
"""`make install` and `make uninstall`: which files there are before, between and afterwards.

Python's libraries, which take long to copy, are replaced by a small folder; the command finds the
real ones where the tests find them.
"""

import os
import site
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pyfio_virtio.engine import engine
from tests.conftest import ROOT

# The sanitizers' engines lie elsewhere, and a library for programs in C is not made with them.
pytestmark = pytest.mark.skipif(
    engine.folder() != ROOT / "build" / "lib", reason="the usual engine is what is installed"
)
Install = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    (folder / "some_library").mkdir(parents=True)
    (folder / "some_library" / "__init__.py").write_text("")
    return folder


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return tmp_path / "a prefix"


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    subprocess.run(["make", "-s", "build/lib/libpyfio_virtio.so"], cwd=ROOT, check=True)


@pytest.fixture
def install(prefix: Path, bundle: Path) -> Install:
    def run(
        action: str = "install", *more: str, wrapper: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        own = ["--bundle", str(bundle)] if action == "install" else []
        program = [sys.executable, str(ROOT / "tools" / "installer.py"), action]
        line = [*wrapper, *program, "--prefix", str(prefix), *own, *more]
        return subprocess.run(line, capture_output=True, text=True, cwd=ROOT, timeout=60)

    return run


def files(folder: Path) -> set[str]:
    found = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return {name for name in found if not name.endswith(".pyc")}


def test_the_installed_command_uses_the_installed_package(install: Install, prefix: Path) -> None:
    assert install().returncode == 0
    packages = site.getsitepackages()[0]
    done = subprocess.run(
        [prefix / "bin" / "pyfio-virtio", "doctor"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": packages},
        cwd=prefix,
        capture_output=True,
        text=True,
    )
    own = prefix / "lib" / "pyfio-virtio" / "pyfio_virtio"
    assert str(own.name) in done.stdout + done.stderr
    assert (own / "lib" / "fio_virtio").resolve() == prefix / "lib" / "libfio_virtio.so"
    assert (own / "jobs").resolve() == prefix / "share" / "pyfio-virtio" / "jobs"


def test_fio_loads_the_engine_with_the_variable_of_the_last_line(
    install: Install, prefix: Path
) -> None:
    said = install().stdout.splitlines()[-1]
    setting = said.partition("set: ")[2]
    asked = ["sh", "-c", f"unset LD_LIBRARY_PATH; {setting}; fio --enghelp=fio_virtio"]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert "sleepy_poll" in done.stdout


def test_uninstall_leaves_what_the_user_has(install: Install, prefix: Path) -> None:
    (prefix / "lib").mkdir(parents=True)
    (prefix / "lib" / "of_the_user").write_text("")
    before = files(prefix)
    assert install().returncode == 0
    assert install("uninstall").returncode == 0
    assert files(prefix) == before


def test_uninstall_twice_says_that_nothing_is_there(install: Install) -> None:
    install()
    assert install("uninstall").returncode == 0
    again = install("uninstall")
    assert again.returncode == 1
    assert "nothing to uninstall" in again.stderr


def test_a_second_install_changes_no_file_and_is_uninstalled_whole(
    install: Install, prefix: Path
) -> None:
    install()
    once = files(prefix)
    assert install().returncode == 0
    assert files(prefix) == once
    install("uninstall")
    assert not prefix.exists() or files(prefix) == set()


def test_a_newer_version_removes_files_that_it_lacks(
    install: Install, prefix: Path, bundle: Path
) -> None:
    (bundle / "some_library" / "old.py").write_text("")
    install()
    old = prefix / "lib" / "pyfio-virtio" / "some_library" / "old.py"
    assert old.exists()
    (bundle / "some_library" / "old.py").unlink()
    install()
    assert not old.exists()


def test_a_file_of_somebody_else_is_never_replaced(install: Install, prefix: Path) -> None:
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin" / "pyfio-virtio").write_text("of pip")
    done = install()
    assert done.returncode == 1
    assert "was not installed by make install" in done.stderr
    assert files(prefix) == {"bin", "bin/pyfio-virtio"}


def test_a_list_that_names_files_elsewhere_is_refused(install: Install, prefix: Path) -> None:
    install()
    listed = prefix / "lib" / "pyfio-virtio" / "installed-files"
    listed.write_text(f"{listed.read_text()}../outside\n")
    (prefix.parent / "outside").write_text("")
    done = install("uninstall")
    assert done.returncode == 1
    assert "names files outside" in done.stderr
    assert (prefix.parent / "outside").exists()


def test_destdir_is_put_before_each_path(install: Install, prefix: Path, tmp_path: Path) -> None:
    done = install("install", "--destdir", str(tmp_path / "root"))
    assert (done.returncode, done.stdout) == (0, "")
    moved = Path(f"{tmp_path / 'root'}{prefix}")
    assert (moved / "bin" / "pyfio-virtio").exists()
    assert not prefix.exists()
    described = (moved / "lib" / "pkgconfig" / "pyfio-virtio.pc").read_text()
    assert str(tmp_path / "root") not in described


def test_a_prefix_that_cannot_be_written_is_named(install: Install, prefix: Path) -> None:
    prefix.write_text("a file")
    done = install()
    assert done.returncode == 1
    assert str(prefix) in done.stderr

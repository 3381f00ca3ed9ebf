# SPDX-License-Identifier: GPL-2.0-or-later
"""`make install` and `make uninstall`: which files there are before, between and afterwards.

Python's libraries, which take long to copy, are replaced by a small folder; the command finds the
real ones where the tests find them.
"""

import contextlib
import errno
import itertools
import os
import re
import shlex
import shutil
import site
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import give_back
import installer
import pytest

from pyfio_virtio.engine import engine
from tests.conftest import ROOT

# The sanitizers' engines lie elsewhere, and a library for programs in C is not made with them.
pytestmark = pytest.mark.skipif(
    engine.folder() != ROOT / "build" / "lib", reason="the usual engine is what is installed"
)
Install = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    subprocess.run(["make", "-s", "build/lib/libpyfio_virtio.so"], cwd=ROOT, check=True)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path)


def make_bundle(where: Path) -> Path:
    library = where / "bundle" / "some_library"
    library.mkdir(parents=True)
    (library / "__init__.py").write_text("")
    return library.parent


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return tmp_path / "prefix"


def run_installer(action: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *("sh", "-c", 'umask 077; exec "$@"', "sh"),
            *(sys.executable, str(ROOT / "tools" / "installer.py"), action, *words),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )


@pytest.fixture
def install(prefix: Path, bundle: Path) -> Install:
    def run(action: str = "install", *more: str) -> subprocess.CompletedProcess[str]:
        own = ["--bundle", str(bundle)] if action == "install" else []
        return run_installer(action, "--prefix", str(prefix), *own, *more)

    return run


@dataclass(frozen=True)
class Installed:
    prefix: Path
    said: str

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Runs the installed command in the prefix, with the libraries that the tests have."""
        [packages] = self.prefix.glob("lib/pyfio-virtio/lib/python3*/site-packages")
        (packages / "of_the_tests.pth").write_text(site.getsitepackages()[0])
        return subprocess.run(
            [self.prefix / "bin" / "pyfio-virtio", *arguments],
            env={"PATH": os.environ["PATH"], **more},
            cwd=self.prefix,
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """One installation, which is only read, below a relative prefix with a space and a quote, with
    an umask that keeps files from all others."""
    folder = tmp_path_factory.mktemp("installed")
    bundle = make_bundle(folder)
    for path in (bundle, *bundle.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    prefix = folder / "it's a prefix"
    done = run_installer(
        *("install", "--prefix", os.path.relpath(prefix, ROOT), "--bundle", str(bundle))
    )
    assert (done.returncode, done.stderr) == (0, "")
    return Installed(prefix, done.stdout)


def files(folder: Path) -> set[str]:
    found = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return {name for name in found if not name.endswith(".pyc")}


def test_all_users_may_use_what_is_installed(installed: Installed) -> None:
    for path in (installed.prefix, *installed.prefix.rglob("*")):
        needed = 0o555 if path.is_dir() or path.parent.name == "bin" else 0o444
        assert path.stat().st_mode & needed == needed, path


def test_pkg_config_finds_the_library(installed: Installed) -> None:
    asked = ["pkg-config", "--cflags", "--libs", "pyfio-virtio"]
    path = {**os.environ, "PKG_CONFIG_PATH": str(installed.prefix / "lib" / "pkgconfig")}
    done = subprocess.run(asked, env=path, capture_output=True, text=True, check=True)
    flags = {f"-I{installed.prefix}/include", f"-L{installed.prefix}/lib"}
    assert flags <= set(shlex.split(done.stdout))


def test_fio_loads_the_engine_with_the_variable_of_the_last_line(installed: Installed) -> None:
    setting = installed.said.splitlines()[-1].partition("set: ")[2]
    asked = ["sh", "-c", f"unset LD_LIBRARY_PATH; {setting}; fio --enghelp=fio_virtio"]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert "sleepy_poll" in done.stdout


def test_the_installed_command_uses_the_installed_package(installed: Installed) -> None:
    own = installed.prefix / "lib" / "pyfio-virtio" / "pyfio_virtio"
    done = installed.run("env")
    assert (done.returncode, done.stderr) == (0, "")
    assert shlex.quote(str(own / "lib")) in done.stdout
    assert (own / "lib" / "fio_virtio").resolve() == installed.prefix / "lib" / "libfio_virtio.so"
    assert (own / "jobs").resolve() == installed.prefix / "share" / "pyfio-virtio" / "jobs"


def test_modules_of_the_user_are_not_ours(installed: Installed, tmp_path: Path) -> None:
    """Also not in the built-in back-end, which is a Python of its own."""
    for name in ("pyfio_virtio", "click", "cffi", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('of the user')")
    job = "[job]\nioengine=fio_virtio\nrw=read\nsize=1M\n"
    (tmp_path / "job.fio").write_text(job)
    words = ("run", str(tmp_path / "job.fio"), "--backend", "builtin", "--storage", "null")
    done = installed.run(*words, PYTHONPATH=str(tmp_path), HOME=str(tmp_path))
    assert "of the user" not in done.stdout + done.stderr
    assert done.returncode == 0


def test_programs_that_the_command_starts_inherit_no_variable_of_python(
    installed: Installed, tmp_path: Path
) -> None:
    (tmp_path / "fio").write_text(
        f"#!/bin/sh\nenv > '{tmp_path}/inherited'\nexec '{shutil.which('fio')}' \"$@\"\n"
    )
    (tmp_path / "fio").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    installed.run("doctor", PATH=path, PYTHONPATH="of_the_user")
    inherited = (tmp_path / "inherited").read_text()
    assert re.findall("^PYTHON.*", inherited, re.MULTILINE) == ["PYTHONPATH=of_the_user"]


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
    assert shlex.quote(str(prefix / "bin" / "pyfio-virtio")) in done.stderr
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


def test_what_uses_the_libraries_of_the_system_is_uninstalled_too(prefix: Path) -> None:
    done = run_installer("install", "--prefix", str(prefix))
    assert (done.returncode, done.stderr) == (0, "")
    assert (prefix / "lib" / "python3" / "dist-packages" / "pyfio_virtio").is_dir()
    assert run_installer("uninstall", "--prefix", str(prefix)).returncode == 0
    assert not prefix.exists() or files(prefix) == set()


def test_a_package_of_debian_has_no_list(prefix: Path, tmp_path: Path) -> None:
    done = run_installer("install", "--prefix", str(prefix), "--destdir", str(tmp_path / "root"))
    assert done.returncode == 0
    assert not list(tmp_path.rglob("installed-files"))


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


def test_what_root_makes_in_a_clone_belongs_to_its_owner(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give files to others")
    (tmp_path / "build" / "man").mkdir(parents=True)
    (tmp_path / "build" / "man" / "page").write_text("")
    (tmp_path / "build" / "passwd").symlink_to("/etc/passwd")
    os.chown(tmp_path, 12345, 12345)
    give_back.give_back(tmp_path)
    assert {path.lstat().st_uid for path in tmp_path.rglob("*")} == {12345}
    assert Path("/etc/passwd").stat().st_uid == 0


@pytest.mark.parametrize("target", ["install", "deb", "run"])
@pytest.mark.parametrize("status", [0, 1])
def test_what_root_builds_belongs_to_the_owner_of_the_clone_also_if_it_fails(
    target: str, status: int, tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give files to others")
    clone, python = tmp_path / "clone", tmp_path / "python"
    shutil.copytree(ROOT / "tools", clone / "tools")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, clone)
    (clone / "tools" / "packages.sh").write_text("#!/bin/sh\nmkdir -p build\n")
    for name in ("fio_headers.py", "library/pyfio_virtio.map"):
        (clone / "engine" / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / "engine" / name).touch()
    for path in (clone, *clone.rglob("*")):
        os.chown(path, 12345, 12345)
    python.write_text(
        f'#!/bin/sh\ncase $1 in tools/give_back.py) exec {sys.executable} "$@"; esac\n'
        f"touch build/by-$(basename $1)\nexit {status}\n"
    )
    python.chmod(0o755)
    line = ["make", target, "SYSTEM_PYTHON=yes", f"PYTHON={python}", f"PREFIX={tmp_path}/prefix"]
    done = subprocess.run(line, cwd=clone, capture_output=True, text=True, timeout=30)
    assert (done.returncode == 0) == (status == 0 and target != "run")  # no program to run
    last = {"install": "installer.py", "deb": "deb.py", "run": "build.py"}[target]
    assert status or (clone / "build" / f"by-{last}").exists(), done.stderr
    assert {path.lstat().st_uid for path in clone.rglob("*")} == {12345}


# ---- what stops in the middle ------------------------------------------------------------------

STEPS = (
    (shutil, "copy2"),
    (Path, "mkdir"),
    (Path, "replace"),
    (Path, "unlink"),
    (Path, "write_text"),
)
STAGED = ("bin/program", "lib/library", "share/a/page", "share/b/page")


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    folder = tmp_path / "staged"
    for name in STAGED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


@contextlib.contextmanager
def stopped_at(step: tuple[Any, str], number: int, reason: BaseException) -> Iterator[list[int]]:
    """Stops this call of the function after it has done its work. The list has one item for each
    call that was made."""
    owner, name = step
    usual, calls = getattr(owner, name), []

    def stopping(*arguments: object, **more: object) -> object:
        done = usual(*arguments, **more)
        calls.append(1)
        if len(calls) == number:
            raise reason
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, stopping)
        yield calls


@pytest.mark.parametrize("reason", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step[1])
@pytest.mark.parametrize("is_newer", [False, True])
@pytest.mark.parametrize("then", ["uninstall", "install"])
def test_an_installation_that_stops_anywhere_can_be_continued_and_undone(
    step: tuple[Any, str],
    reason: BaseException,
    is_newer: bool,
    then: str,
    staged: Path,
    tmp_path: Path,
) -> None:
    for number in itertools.count(1):
        prefix = installer.Prefix(tmp_path / f"prefix {number}", "")
        prefix.now.mkdir()
        (prefix.now / "of_the_user").write_text("")
        if is_newer:
            (staged / "lib" / "old").write_text("")
            installer.install(prefix, staged, keeps_list=True)
            (staged / "lib" / "old").unlink()
        with stopped_at(step, number, reason) as calls, contextlib.suppress(BaseException):
            installer.install(prefix, staged, keeps_list=True)
        if len(calls) < number:
            break
        assert not list(prefix.now.rglob(f"*{installer.TEMPORARY}"))
        if then == "install":
            installer.install(prefix, staged, keeps_list=True)
            assert {*STAGED} == {*STAGED, "lib/old"} & files(prefix.now)
        with contextlib.suppress(installer.InstallError):  # nothing to uninstall
            installer.uninstall(prefix)
        left = {name for name in files(prefix.now) if (prefix.now / name).is_file()}
        assert left == {"of_the_user"}
    assert number > 1


def test_all_files_of_a_version_without_a_list_are_named_in_one_command(
    staged: Path, tmp_path: Path
) -> None:
    prefix = installer.Prefix(tmp_path / "it's a prefix", "")
    installer.install(prefix, staged, keeps_list=False)
    with pytest.raises(
        installer.InstallError, match="an older version, which kept no list"
    ) as said:
        installer.install(prefix, staged, keeps_list=True)
    subprocess.run(["sh", "-c", f"rm {str(said.value).rpartition('rm ')[2]}"], check=True)
    installer.install(prefix, staged, keeps_list=True)


def test_a_failure_names_the_file_that_could_not_be_written(staged: Path, tmp_path: Path) -> None:
    prefix = installer.Prefix(tmp_path / "prefix", "")
    full = OSError(errno.ENOSPC, "No space left on device", str(staged / STAGED[0]))
    with (
        stopped_at((shutil, "copy2"), 1, full),
        pytest.raises(installer.InstallError, match=f"{prefix.now / STAGED[0]}: No space left"),
    ):
        installer.install(prefix, staged, keeps_list=True)

# SPDX-License-Identifier: GPL-2.0-or-later
"""builds/: which build of the engine goes with a fio, and what happens if there is none."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pyfio_virtio.builds import building, builds, cache
from pyfio_virtio.engine import engine
from pyfio_virtio.errors import MachineError, PyfioVirtioError
from pyfio_virtio.fio import fio
from pyfio_virtio.fio.fio import Fio
from pyfio_virtio.machine import folders
from tests.conftest import ROOT
from tests.waiting import wait_until

OWN = ROOT / "build" / "lib"


@pytest.fixture(autouse=True)
def in_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an empty cache. No build is named."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(engine.FOLDER_VARIABLE, raising=False)
    monkeypatch.delenv("FIO_SOURCE_DIR", raising=False)
    monkeypatch.setattr(builds, "_chosen", {})
    return cache.of_version()


@pytest.fixture
def for_python_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's own engine was built without fio's headers."""
    monkeypatch.setattr(engine, "fio_release", lambda: "")


def put(release: str, name: str = "00000000", content: bytes | None = None) -> Path:
    """Puts a build into the cache: that of this checkout, or another file."""
    folder = cache.make() / f"{release}-{name}"
    folder.mkdir()
    if content is None:
        shutil.copy(OWN / engine.NAME, folder)
    else:
        (folder / engine.NAME).write_bytes(content)
    return folder


def other_fio(folder: Path) -> Fio:
    path = folder / "other-fio"
    path.write_text("#!/bin/sh\necho fio-3.99\n")
    path.chmod(0o755)
    return fio.find(str(path))


def test_the_packages_own_is_taken_if_it_fits() -> None:
    assert builds.folder(fio.find()) == OWN


def test_a_build_that_is_named_is_the_only_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(engine.fio_release())
    monkeypatch.setenv(engine.FOLDER_VARIABLE, str(OWN))
    assert builds.folder(fio.find()) == OWN
    with pytest.raises(MachineError, match=r"it is fio-3\.99, and the engine was built for"):
        builds.folder(other_fio(tmp_path))


@pytest.mark.usefixtures("for_python_alone")
def test_a_build_in_the_cache_is_found() -> None:
    found = fio.find()
    folder = put(found.release)
    assert builds.folder(found) == folder
    assert cache.listed() == [folder.name]


@pytest.mark.usefixtures("for_python_alone")
def test_a_build_that_fio_does_not_load_is_passed_over() -> None:
    found = fio.find()
    folder = put(found.release)
    put(found.release, "11111111", b"no engine")
    assert builds.folder(found) == folder


def test_without_an_engine_the_command_that_builds_one_is_named(tmp_path: Path) -> None:
    found = other_fio(tmp_path)
    with pytest.raises(builds.NoEngineError, match=f"build-engine --fio {found.path}"):
        builds.folder(found)


@pytest.mark.usefixtures("for_python_alone")
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_cache_that_others_can_change_is_not_used(depth: int, in_cache: Path) -> None:
    found = fio.find()
    put(found.release)
    (in_cache, *in_cache.parents)[depth].chmod(0o777)
    with pytest.raises(builds.NoEngineError):
        builds.folder(found)
    with pytest.raises(MachineError, match=r"will not use .* set XDG_CACHE_HOME"):
        building.build(found, print)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_the_cache_of_another_user_is_passed_over(tmp_path: Path) -> None:
    """sudo may keep the variables of the user who calls it."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(theirs))
        assert theirs not in cache.root().parents


def test_a_fio_of_no_package_needs_sources(tmp_path: Path, in_cache: Path) -> None:
    told: list[str] = []
    with pytest.raises(
        MachineError, match=r"belongs to no package; set FIO_SOURCE_DIR .* fio"
    ) as e:
        builds.folder(other_fio(tmp_path), told.append)
    assert "\n" not in str(e.value)
    assert told == [
        f"there is no engine for fio-3.99 ({tmp_path}/other-fio); {building.TAKES}",
    ]
    assert list(in_cache.iterdir()) == []


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exit 1", "it printed nothing"),
        ("echo 'a.c:1: error: it is wrong' >&2; echo more >&2; exit 1", "a.c:1: error"),
        ("echo 'as: x.o: No space left on device' >&2; exit 1", "No space left on device"),
    ],
)
def test_a_compiler_that_fails_is_quoted(
    script: str, why: str, tmp_path: Path, in_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", compiler(tmp_path, script))
    with pytest.raises(PyfioVirtioError, match="cannot build the engine for /") as e:
        building.build(fio.find(), print)
    assert why in str(e.value) or script == "exit 1"
    assert list(in_cache.iterdir()) == []


def test_a_python_that_ignores_the_environment_builds_without_it(tmp_path: Path) -> None:
    """An installed command starts its Python like this."""
    (tmp_path / "argparse.py").write_text("raise SystemExit('the module of PYTHONPATH')")
    done = subprocess.run(
        [sys.executable, "-I", "-m", "pyfio_virtio", "build-engine", "--sources", tmp_path],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "CC": compiler(tmp_path, "exit 0")},
        capture_output=True,
        text=True,
    )
    assert done.stderr.count("\n") == 1
    assert f"FIO_SOURCE_DIR={tmp_path} has no sources of fio" in done.stderr


def test_without_a_compiler_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(PyfioVirtioError, match=r"cannot run no-such-compiler: .* package gcc"):
        building.build(fio.find(), print)


@pytest.mark.usefixtures("for_python_alone")
def test_of_two_builders_one_takes_what_the_other_built() -> None:
    found = fio.find()
    work = cache.make() / f"building-{found.release}"
    descriptor = folders.claim(work)
    assert descriptor is not None

    def end() -> None:
        put(found.release)
        os.close(descriptor)

    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        threading.Thread(target=end).start()

    (work / "left over").mkdir()
    folder = building.build(found, tell)
    assert folder.name == f"{found.release}-00000000"
    assert told == [f"another process builds the engine for {found.release}; waiting for it"]
    assert not work.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_build_that_is_interrupted_leaves_nothing(
    number: signal.Signals, tmp_path: Path, in_cache: Path
) -> None:
    started = tmp_path / "started"
    slow = compiler(tmp_path, f"echo $$ > {started}.new; mv {started}.new {started}; sleep 1000")
    build = subprocess.Popen(
        [sys.executable, "-m", "pyfio_virtio", "build-engine", "--sources", "."],
        cwd=ROOT,
        env={**os.environ, "CC": slow},
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(started.exists)
    build.send_signal(number)
    _, said = build.communicate(timeout=30)
    wait_until(lambda: not Path(f"/proc/{int(started.read_text())}").exists())
    if number == signal.SIGKILL:  # the next builder removes what is left in the cache
        assert (build.returncode, said) == (-number, "")
        return
    assert build.returncode == 128 + number
    assert said.strip() == "pyfio-virtio: interrupted"
    assert list(in_cache.iterdir()) == []


def compiler(folder: Path, script: str) -> str:
    path = folder / "cc"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077])
def test_every_umask_makes_a_cache_that_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new" / "cache"))
    before = os.umask(umask)
    try:
        made = put("fio-3.99")
    finally:
        os.umask(before)
    assert cache.of_release("fio-3.99") == [made]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_nothing_is_made_in_a_folder_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    monkeypatch.setenv("XDG_CACHE_HOME", str(theirs / ".cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.make().is_relative_to(tmp_path / ".cache")
    assert list(theirs.iterdir()) == []


def test_an_engine_that_is_removed_meanwhile_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept, removed = put("fio-3.99"), put("fio-3.99", "11111111")
    shutil.rmtree(removed)
    monkeypatch.setattr(Path, "iterdir", lambda _: iter([removed, kept]))
    assert cache.of_release("fio-3.99") == [kept]

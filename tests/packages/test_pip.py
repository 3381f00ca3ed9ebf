# SPDX-License-Identifier: GPL-2.0-or-later
"""The sdist and the wheel, installed with pip into clean virtual environments of clean systems.

The engine is compiled without optimisation here, because this takes a tenth of the time and the
tests do not measure.
"""

import os
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.packages.chroots import SHARED, Chroot
from tests.packages.conftest import OpenChroot, asked

PACKAGES = ("fio", "python3-venv", "gcc", "libc6-dev", "python3-dev", "dpkg-dev")
COMPILER = "/usr/bin/x86_64-linux-gnu-gcc-*"
LISTS = "/var/lib/apt/lists"
QUICK = {"CC": f"{SHARED}/quick-gcc"}
SMALL = "run -- --runtime=0 --number_ios=8 --size=64k"
BUILT = "it is built now"


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, the wheel of this machine, and the compiler."""
    folder = tmp_path_factory.mktemp("dist")
    quick = folder / "quick-gcc"
    quick.write_text('#!/bin/sh\nexec gcc "$@" -O0 -fno-lto\n')
    quick.chmod(0o755)
    line = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder)]
    subprocess.run(line, cwd=ROOT, env={**os.environ, "CC": str(quick)}, check=True)
    return folder


@pytest.fixture(scope="module")
def clean(open_chroot: OpenChroot, dist: Path) -> Chroot:
    return with_dependencies(open_chroot("bookworm", *PACKAGES), dist)


def with_dependencies(machine: Chroot, dist: Path) -> Chroot:
    """The machine with these files, and with the libraries that the package depends on."""
    machine.put(*dist.iterdir())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (machine.shared / "needed.txt").write_text("\n".join(project["dependencies"]))
    pip = "/opt/needed/bin/pip install -q --no-compile"
    succeed(machine, f"python3 -m venv /opt/needed && {pip} -r {SHARED}/needed.txt")
    return machine


def succeed(machine: Chroot, command: str) -> str:
    done = machine.run(command, environment=QUICK)
    assert done.status == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def install(machine: Chroot, name: str, what: str) -> str:
    """Installs into a virtual environment of this name. Returns what setup.py had to say."""
    packages = "lib/python3*/site-packages"
    succeed(
        machine,
        f"python3 -m venv /opt/{name} && cd /opt/{name}/{packages} && "
        f"echo /opt/needed/{packages} > needed.pth",
    )
    said = succeed(machine, f"/opt/{name}/bin/pip install -v --no-compile {what}")
    lines = map(str.strip, said.splitlines())
    return "\n".join(line for line in lines if line.startswith("pyfio-virtio: "))


def command(machine: Chroot, name: str, words: str) -> tuple[int, str]:
    """Runs our command. Its status and all that it says."""
    done = machine.run(f"cd /tmp && /opt/{name}/bin/pyfio-virtio {words}", environment=QUICK)
    return done.status, done.stdout + done.stderr


@contextmanager
def without(machine: Chroot, path: str) -> Iterator[None]:
    """The machine has no such files meanwhile."""
    succeed(machine, f"mkdir /opt/aside && mv {path} /opt/aside/")
    try:
        yield
    finally:
        succeed(machine, f"mv /opt/aside/* {path.rpartition('/')[0]}/ && rmdir /opt/aside")


@asked
def test_without_a_compiler_what_needs_no_engine_works(clean: Chroot) -> None:
    with without(clean, COMPILER):
        assert "there is no engine in this package" in install(clean, "tools", f"{SHARED}/*.tar.gz")
        succeed(clean, "cd /tmp && fio --name=a --ioengine=null --size=1M --output-format=json "
                "--output=a.json")  # fmt: skip
        for words in ("--help", "job --rw randwrite -o a.fio", "report a.json -o a.html"):
            assert command(clean, "tools", words)[0] == 0, words
        for words, remedy in (
            ("backend start", "install pyfio-virtio again where there are a C compiler"),
            ("env", "pyfio-virtio build-engine --fio /usr/bin/fio"),
            (SMALL, "install the Debian package gcc"),
        ):
            done = clean.run(f"/opt/tools/bin/pyfio-virtio {words}")
            assert done.status == 3, words
            assert remedy in done.stderr.splitlines()[-1]


def test_without_fios_headers_python_has_an_engine_and_the_first_run_builds_one(
    clean: Chroot,
) -> None:
    with without(clean, f"{LISTS}/*"):
        said = install(clean, "python", f"{SHARED}/*.tar.gz")
        assert "is for Python alone, because apt-get has no lists" in said
        line = "/opt/python/bin/pyfio-virtio"
        disk = f"{line} backend start --socket /tmp/d && {line} probe /tmp/d && {line} verify"
        assert "blk" in succeed(clean, f"{disk} -s /tmp/d -i 10 -S 64k; {line} backend stop --all")
        status, said = command(clean, "python", SMALL)
        assert status == 3
        assert BUILT in said.splitlines()[0]
        assert "set FIO_SOURCE_DIR to the sources of this fio" in said.splitlines()[-1]
    status, said = command(clean, "python", SMALL)
    assert status == 0, said
    assert BUILT in said
    status, said = command(clean, "python", SMALL)
    assert status == 0, said
    assert BUILT not in said


def needs_liburing(dist: Path) -> bool:
    """The wheel was made where liburing-dev is."""
    [wheel] = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        return b"liburing.so.2" in files.read("pyfio_virtio/lib/vhost_backend")


@asked
def test_a_wheel_of_another_machine_needs_no_compiler(clean: Chroot, dist: Path) -> None:
    here = subprocess.run(["fio", "--version"], capture_output=True, text=True).stdout
    if succeed(clean, "fio --version") != here:
        pytest.skip("this machine has another fio than Debian 12, and the wheel is for that")
    with without(clean, COMPILER):
        install(clean, "wheel", f"{SHARED}/*.whl")
        status, said = command(clean, "wheel", SMALL)
        if needs_liburing(dist):
            assert status
            assert "install the package that has liburing.so.2" in said
            succeed(clean, "apt-get -qq --yes install liburing2")
            status, said = command(clean, "wheel", SMALL)
    assert status == 0, said
    assert BUILT not in said


@asked
@pytest.mark.parametrize("what", ["sdist", "clone"])
def test_with_all_that_is_needed_the_package_has_the_engine(what: str, clean: Chroot) -> None:
    if what == "clone":
        line = ["git", "clone", "-q", "--no-hardlinks", str(ROOT), str(clean.shared / "clone")]
        subprocess.run(line, check=True)
    source = f"{SHARED}/clone" if what == "clone" else f"{SHARED}/*.tar.gz"
    assert install(clean, what, source) == ""
    status, said = command(clean, what, SMALL)
    assert status == 0, said
    assert BUILT not in said


@asked
def test_a_fio_that_is_not_of_the_package_is_not_taken_for_it(clean: Chroot) -> None:
    install(clean, "python", f"{SHARED}/*.tar.gz")
    succeed(clean, "ln -sf /usr/bin/fio /root/fio; rm -rf /root/.cache/pyfio-virtio")
    headers = "/opt/python/lib/python3*/site-packages/pyfio_virtio/engine_sources/fio_headers.py"
    find = f"python3 {headers} --build /root/trees --fio"
    assert "/root/trees/fio_3.33-3" in succeed(clean, f"{find} /root/fio")
    succeed(clean, "dpkg-divert --local --rename --add /usr/bin/fio && "
            "cp /usr/bin/fio.distrib /usr/bin/fio")  # fmt: skip
    try:
        done = clean.run(f"{find} /usr/bin/fio")
        assert done.status == 1
        assert "/usr/bin/fio (fio-3.33) belongs to no package" in done.stderr
        assert "/root/trees/fio_3.33-3" in succeed(clean, f"{find} /usr/bin/fio.distrib")
    finally:
        succeed(clean, "rm /usr/bin/fio && dpkg-divert --rename --remove /usr/bin/fio")


@asked
def test_debian_13_can_use_the_fio_of_another_suite(open_chroot: OpenChroot, dist: Path) -> None:
    """A mirror may lack the sources of its fio. Of sid's it has at least upstream's."""
    machine = with_dependencies(open_chroot("trixie", *PACKAGES), dist)
    install(machine, "python", f"{SHARED}/*.tar.gz")
    status, said = command(machine, "python", SMALL)
    assert BUILT in said
    if status:
        assert status == 3, said
        assert "set FIO_SOURCE_DIR to the sources of this fio (git clone" in said.splitlines()[-1]
        assert "or use another fio" in said.splitlines()[-1]
    succeed(
        machine,
        "sed 's/trixie/sid/' /etc/apt/sources.list > /etc/apt/sources.list.d/sid.list && "
        "apt-get -qq update && apt-get -qq --yes --no-install-recommends install -t sid fio",
    )
    status, said = command(machine, "python", SMALL)
    assert status == 0, said
    assert BUILT in said

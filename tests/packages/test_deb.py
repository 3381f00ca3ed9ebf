# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's packages: built, checked, installed, used and removed in clean systems."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.packages import chroots
from tests.packages.conftest import OpenChroot, asked

NOT_COPIED = ("--exclude=./build", "--exclude=./.git", "--exclude=__pycache__", "--exclude=*_cache")
PACKAGES = {"pyfio-virtio", "pyfio-virtio-engine", "libpyfio-virtio0", "libpyfio-virtio-dev"}
# Makes a package of a newer fio, which is the old one with another version in its program, and an
# archive with it.
NEW_FIO = "/var/cache/archive/fio.deb"
MAKE_NEW_FIO = f"""
set -e
mkdir -p /root/fio/DEBIAN /root/fio/usr/bin /var/cache/archive
cd /root/fio
sed 's/fio-3\\.33/fio-3.99/g' /usr/bin/fio > usr/bin/fio
chmod +x usr/bin/fio
cat > DEBIAN/control <<END
Package: fio
Version: 3.99-1
Architecture: $(dpkg --print-architecture)
Maintainer: t <t@t>
Description: t
END
dpkg-deb --build . {NEW_FIO}
cd /var/cache/archive
(cat /root/fio/DEBIAN/control
echo Filename: ./fio.deb
echo Size: $(stat -c %s fio.deb)
echo SHA256: $(sha256sum < fio.deb | cut -d ' ' -f 1)) > Packages
echo 'deb [trusted=yes] file:/var/cache/archive ./' > sources.list
"""
WITH_ARCHIVE = "-o Dir::Etc::SourceList=/var/cache/archive/sources.list"
# A shell's function, because a back-end ends with the command of the chroot that started it.
WITH_DISK = """
set -e
pyfio-virtio backend start --disk-size 64M --socket /tmp/vhost.0 >/run/started
trap 'pyfio-virtio backend stop --all >/run/stopped' EXIT
"""
# What bash does when TAB is pressed after "pyfio-virtio swe".
BASH_COMPLETES = r"""
. /usr/share/bash-completion/bash_completion
_completion_loader pyfio-virtio
function=$(complete -p pyfio-virtio | sed 's/.*-F \([^ ]*\) .*/\1/')
COMP_WORDS=(pyfio-virtio swe) COMP_CWORD=1
$function pyfio-virtio swe
echo "${COMPREPLY[*]}"
"""


def build_needs() -> list[str]:
    """The packages that tools/packages.sh installs for `make deb`."""
    control = (ROOT / "debian" / "control").read_text()
    field = re.search(r"^Build-Depends:\n((?: .*\n)+)", control, re.MULTILINE)
    assert field is not None
    names = [line.split()[0].rstrip(",") for line in field[1].splitlines()]
    return [name.replace("debhelper-compat", "debhelper") for name in names]


def python_libraries() -> list[str]:
    """Debian's packages of the libraries that pyproject.toml names."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        wanted = tomllib.load(file)["project"]["dependencies"]
    return [f"python3-{re.split(r'[<>=]', each)[0]}" for each in wanted]


BUILDER = (*build_needs(), "build-essential", "lintian")
LINTIAN = (
    "lintian --allow-root --display-info --fail-on error,warning,info "
    "/root/tree/build/deb/*.changes"
)
# What is there before ours: what it depends on, and what a user's shell and programs need.
USER = (
    *("bookworm", "fio", "liburing2", *python_libraries()),
    *("bash-completion", "gcc", "libc6-dev", "man-db", "pkgconf"),
)


def succeeds(where: chroots.Chroot, command: str) -> str:
    done = where.run(command, 600)
    assert done.status == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def put_tree(builder: chroots.Chroot) -> None:
    """Copies this checkout to /root/tree."""
    tar = ["tar", "-C", str(ROOT), *NOT_COPIED, "-cf", str(builder.shared / "tree.tar"), "."]
    subprocess.run(tar, check=True, timeout=60)
    succeeds(builder, f"mkdir /root/tree && tar -C /root/tree -xf {chroots.SHARED}/tree.tar")


def words(where: chroots.Chroot, command: str) -> str:
    return succeeds(where, f"({command}) 2>&1")


def told(said: str) -> str:
    """What our packages say among the words of dpkg or apt."""
    found = re.search(r"^pyfio-virtio(-engine)?: .*\n.*$", said, re.MULTILINE)
    return found[0] if found else ""


@pytest.fixture(scope="module")
def _user_base() -> Iterator[None]:
    """Makes the users' system while the packages are built."""

    def make() -> None:
        with chroots.base(*USER):
            pass

    with ThreadPoolExecutor(1) as pool:
        pool.submit(make)  # a failure comes again where the base is used
        yield


@pytest.fixture(scope="module")
def builder(open_chroot: OpenChroot, _user_base: None) -> chroots.Chroot:
    """Has the packages in /root/tree/build/deb."""
    opened = open_chroot("bookworm", *BUILDER)
    put_tree(opened)
    succeeds(opened, f"cd /root/tree && make deb && cp build/deb/*.deb {chroots.SHARED}")
    return opened


@pytest.fixture(scope="module")
def packages(builder: chroots.Chroot) -> dict[str, Path]:
    """The built files by the names of their packages."""
    return {path.name.partition("_")[0]: path for path in builder.shared.glob("*.deb")}


@pytest.fixture(scope="module")
def user(open_chroot: OpenChroot, packages: dict[str, Path]) -> chroots.Chroot:
    """A user's Debian 12 that sees our packages in /run/shared, and has installed none."""
    opened = open_chroot(*USER)
    opened.put(*(packages[name] for name in PACKAGES))
    return opened


def test_lintian_has_nothing_to_say(builder: chroots.Chroot) -> None:
    assert succeeds(builder, LINTIAN) == ""


def depends(builder: chroots.Chroot, package: str) -> set[str]:
    field = succeeds(builder, f"dpkg-deb -f /root/tree/build/deb/{package}_*.deb Depends")
    return {re.sub("-api-min .*", "", each) for each in field.strip().split(", ")}


def test_the_engine_depends_on_its_fio_and_the_command_on_each_library_of_python(
    builder: chroots.Chroot,
) -> None:
    version = succeeds(builder, "dpkg-query -W -f '${Version}' fio")
    assert f"fio (= {version})" in depends(builder, "pyfio-virtio-engine")
    assert depends(builder, "pyfio-virtio") >= {"fio", *python_libraries()}


def test_apt_finds_all_that_it_needs_in_a_clean_debian(
    open_chroot: OpenChroot, packages: dict[str, Path]
) -> None:
    clean = open_chroot("bookworm")
    clean.put(packages["pyfio-virtio"], packages["pyfio-virtio-engine"])
    planned = succeeds(clean, f"apt-get -s --no-install-recommends install {chroots.SHARED}/*.deb")
    installed = re.findall("^Inst (\\S+)", planned, re.MULTILINE)
    assert {"pyfio-virtio", "fio", "liburing2", *python_libraries()} <= set(installed)


def test_make_install_as_root_is_found_by_plain_fio_and_removed_whole(
    builder: chroots.Chroot,
) -> None:
    """With what the packages were built from, and without Python's libraries."""
    succeeds(
        builder,
        "cd /root && mkdir none unpacked tree/build/lib && "
        "for each in tree/build/deb/*virtio*_*.deb; do dpkg-deb -x $each unpacked; done && "
        "cp unpacked/usr/lib/*/libpyfio_virtio.so "
        "unpacked/usr/lib/python3/dist-packages/pyfio_virtio/lib/* tree/build/lib",
    )
    state = "find / -xdev -not -path '/root/*' | sort; ldconfig -p"
    installer = "python3 /root/tree/tools/installer.py"
    before = succeeds(builder, f"ldconfig; {state}")
    said = succeeds(builder, f"{installer} install --prefix /usr/local --bundle /root/none")
    assert "fio finds the engine" in said
    assert "sleepy_poll" in succeeds(builder, "env -i /usr/bin/fio --enghelp=fio_virtio")
    succeeds(builder, f"{installer} uninstall --prefix /usr/local")
    assert succeeds(builder, state) == before


class TestUse:
    """These tests follow one another in one system, as a user's steps do."""

    def test_an_older_version_is_installed(self, user: chroots.Chroot) -> None:
        succeeds(user, "find / -xdev | sort > /root/before; ldconfig -p > /root/loader")
        succeeds(
            user,
            f"dpkg-deb -R {chroots.SHARED}/pyfio-virtio_*.deb /root/old && cd /root/old && "
            "sed -i 's/^Version: .*/Version: 0.0.1/' DEBIAN/control && "
            "touch usr/lib/python3/dist-packages/pyfio_virtio/of_older_version.py && "
            "dpkg-deb --build . /root/old.deb && "
            "apt-get -qq --yes --no-install-recommends install /root/old.deb",
        )

    def test_one_apt_command_upgrades_and_installs_all(self, user: chroots.Chroot) -> None:
        succeeds(
            user,
            "apt-get -qq --yes --no-install-recommends install "
            f"{chroots.SHARED}/*pyfio-virtio*.deb",
        )
        left = succeeds(user, "find / -xdev -name '*of_older_version*' -not -path '/root/*'")
        assert left == ""

    def test_plain_fio_knows_the_engine_without_any_variable(self, user: chroots.Chroot) -> None:
        assert "sleepy_poll" in succeeds(user, "env -i /usr/bin/fio --enghelp=fio_virtio")

    def test_plain_fio_runs_a_job_of_the_command_line(self, user: chroots.Chroot) -> None:
        ended = succeeds(
            user,
            f"{WITH_DISK} fio --name=t --ioengine=fio_virtio --filename=/tmp/vhost.0 --thread "
            "--rw=randread --bs=4k --number_ios=100",
        )
        assert "err= 0" in ended

    def test_plain_fio_runs_the_installed_job_file(self, user: chroots.Chroot) -> None:
        ended = succeeds(
            user,
            f"{WITH_DISK} sed s/^runtime=10/runtime=1/ /usr/share/pyfio-virtio/jobs/virtio.fio "
            "> /run/job && fio /run/job",
        )
        assert "err= 0" in ended

    def test_the_command_runs_an_installed_job(self, user: chroots.Chroot) -> None:
        ended = succeeds(user, "cd / && pyfio-virtio run virtio --disk-size 64M -- --runtime=1")
        assert "IOPS" in ended

    def test_a_sweep_becomes_a_report_with_the_libraries_of_debian(
        self, user: chroots.Chroot
    ) -> None:
        succeeds(
            user,
            "cd /root && pyfio-virtio sweep --iodepth 1,8 --repeats 2 --quick --disk-size 64M "
            "-o swept && pyfio-virtio report swept",
        )
        assert "<svg" in succeeds(user, "cat /root/swept/report.html && rm -r /root/swept")

    def test_doctor_finds_nothing_missing(self, user: chroots.Chroot) -> None:
        found = succeeds(user, "COLUMNS=200 pyfio-virtio doctor")
        assert "/usr/lib/python3/dist-packages/pyfio_virtio/lib" in found

    def test_manual_pages_are_found(self, user: chroots.Chroot) -> None:
        pages = "1 pyfio-virtio-sweep 7 fio_virtio 3 pyfio_device_read"
        assert len(succeeds(user, f"man -w {pages}").splitlines()) == 3
        assert "sleepy_poll" in succeeds(user, "man fio_virtio")

    def test_bash_completes_commands(self, user: chroots.Chroot) -> None:
        (user.shared / "complete").write_text(BASH_COMPLETES)
        assert succeeds(user, f"bash {chroots.SHARED}/complete") == "sweep\n"

    def test_programs_in_python_read_and_write(self, user: chroots.Chroot) -> None:
        program = (
            "import pyfio_virtio\n"
            'with pyfio_virtio.open("/tmp/vhost.0") as disk:\n'
            '    disk.pwrite(b"hello", 1000)\n'
            "    print(bytes(disk.pread(5, 1000)))\n"
        )
        assert succeeds(user, f"{WITH_DISK} python3 -c '{program}'") == "b'hello'\n"

    def test_programs_in_c_are_compiled_against_the_library(self, user: chroots.Chroot) -> None:
        ended = succeeds(
            user,
            f"{WITH_DISK} pyfio-virtio backend start --disk-size 64M --socket /tmp/vhost.1 "
            ">/run/started && cd /usr/share/doc/libpyfio-virtio-dev/examples && "
            "cc copy_blocking.c $(pkg-config --cflags --libs pyfio-virtio) -o /run/copy && "
            "/run/copy /tmp/vhost.0 /tmp/vhost.1",
        )
        assert ended == f"{64 << 20} bytes copied\n"

    def test_a_fio_that_dpkg_replaced_is_told_of_and_refuses_the_engine(
        self, user: chroots.Chroot
    ) -> None:
        succeeds(user, f"cd /root && apt-get -qq download fio && {MAKE_NEW_FIO}")
        said = words(user, f"dpkg -i {NEW_FIO}")  # looks at no package that needs the old one
        assert "(this engine was built for fio-3.33 and fio-3.99 loads it)" in told(said)
        refused = user.run("fio --name=t --ioengine=fio_virtio --filename=/run/no.sock --size=1m")
        assert refused.status != 0
        assert "fio-3.99 loads it" in refused.stderr + refused.stdout

    def test_nothing_is_told_of_a_fio_that_loads_the_engine(self, user: chroots.Chroot) -> None:
        for same in ("the old fio", "the same fio"):
            assert told(words(user, "dpkg -i /root/fio_*.deb")) == "", same
        assert "sleepy_poll" in succeeds(user, "fio --enghelp=fio_virtio")

    def test_apt_removes_the_engine_before_another_fio_comes_but_not_the_command(
        self, user: chroots.Chroot
    ) -> None:
        succeeds(user, f"apt-get -qq {WITH_ARCHIVE} update")
        kept = succeeds(user, f"apt-get -s {WITH_ARCHIVE} upgrade")
        assert "kept back:\n  fio\n" in kept
        said = words(user, f"apt-get -qq --yes {WITH_ARCHIVE} install fio")
        assert told(said).startswith("pyfio-virtio-engine: fio does not find the engine fio_virtio")
        assert "fio does not load" not in said
        assert "Removing pyfio-virtio-engine " in said
        assert "Removing pyfio-virtio " not in said
        succeeds(user, f"{WITH_DISK} pyfio-virtio probe /tmp/vhost.0")
        run = user.run("pyfio-virtio run virtio")
        assert "there is no engine for fio-3.99 (/usr/bin/fio); it is built now" in run.stderr

    def test_apt_mends_it(self, user: chroots.Chroot) -> None:
        said = words(
            user,
            "apt-get -qq --yes --allow-downgrades install "
            f"/root/fio_*.deb {chroots.SHARED}/pyfio-virtio-engine_*.deb",
        )
        assert told(said) == ""
        assert "sleepy_poll" in succeeds(user, "fio --enghelp=fio_virtio")

    def test_a_fio_that_does_not_answer_in_time_is_not_judged(self, user: chroots.Chroot) -> None:
        said = words(
            user,
            "cd /usr/bin && mv fio /root/real-fio && printf '#!/bin/sh\\nsleep 9\\n' >fio && "
            "chmod +x fio && sed 's/timeout 10/timeout 0.1/' "
            "/var/lib/dpkg/info/pyfio-virtio.postinst | sh -es triggered; mv /root/real-fio fio",
        )
        assert said == ""

    def test_fio_can_be_removed(self, user: chroots.Chroot) -> None:
        assert told(words(user, "dpkg --force-depends --remove fio")) == ""
        succeeds(user, "dpkg -i /root/fio_*.deb")

    def test_nothing_is_left_after_the_removal(self, user: chroots.Chroot) -> None:
        succeeds(user, f"apt-get -qq --yes purge {' '.join(PACKAGES)}")
        left = succeeds(
            user,
            "find / -xdev | sort > /root/after; ldconfig -p > /root/loader.after; "
            "diff /root/loader /root/loader.after && diff /root/before /root/after | "
            "grep '^[<>]' | grep -vE ' /(root|tmp|var/(cache|log|lib/(apt|dpkg)))(/|$)' | "
            "grep -vE ' /usr/share/python3/.*__pycache__' | "
            "grep -vP 'dist-packages/(?!pyfio_virtio/)(.*/)?__pycache__' || true",
        )
        assert left == ""


@asked
def test_two_builds_in_different_folders_and_of_older_files_are_equal(
    builder: chroots.Chroot,
) -> None:
    """Also where packages of an earlier build lie, and where make builds for another fio."""
    succeeds(
        builder,
        "cp -a /root/tree /root/another && cd /root/another && "
        "find engine pyfio_virtio jobs CHANGELOG.md -type f -exec touch -d 2020-01-01 {} + && "
        "SOURCE_DATE_EPOCH=$(stat -c %Y /root/tree/CHANGELOG.md) "
        "make deb FIO=/bin/false LIBDIR=lib64 PREFIX=/opt && "
        "for each in build/deb/*.deb; do cmp $each /root/tree/$each || exit 1; done",
    )

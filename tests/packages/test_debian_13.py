# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's packages on Debian 13, as far as its archive has what they need.

An archive may lack the sources of Debian 13's fio. Then a newer fio takes its place, whose
sources it has at least without Debian's patches.
"""

import pytest

from tests.packages import chroots
from tests.packages.conftest import OpenChroot, asked
from tests.packages.test_deb import (
    BUILDER,
    LINTIAN,
    WITH_DISK,
    put_tree,
    python_libraries,
    succeeds,
)

pytestmark = asked
INSTALL = "apt-get -qq --yes --no-install-recommends install"
FIO_OF_SID = f"""
sed s/trixie/sid/ /etc/apt/sources.list > /etc/apt/sources.list.d/sid.list
apt-get -qq update && {INSTALL} -t sid fio
"""


@pytest.fixture(scope="module")
def system(open_chroot: OpenChroot) -> chroots.Chroot:
    """It has the packages in /root/tree/build/deb, for one of two fios."""
    system = open_chroot("trixie", *BUILDER, *python_libraries())
    put_tree(system)
    built = system.run("cd /root/tree && make deb", 600)
    if built.status:
        assert "set FIO_SOURCE_DIR to the sources of this fio" in built.stderr.splitlines()[0]
        succeeds(system, FIO_OF_SID)
        built = system.run("cd /root/tree && make deb", 600)
    if built.status:
        pytest.skip(f"the archive has no sources of fio: {built.stderr.splitlines()[0]}")
    return system


def test_lintian_has_nothing_to_say(system: chroots.Chroot) -> None:
    assert succeeds(system, LINTIAN) == ""


def test_the_packages_work_with_its_python_and_libraries(system: chroots.Chroot) -> None:
    succeeds(system, f"{INSTALL} /root/tree/build/deb/pyfio-virtio*.deb")
    assert "sleepy_poll" in succeeds(system, "env -i /usr/bin/fio --enghelp=fio_virtio")
    job = "--name=t --ioengine=fio_virtio --filename=/tmp/vhost.0 --thread --number_ios=9 --size=1M"
    assert "err= 0" in succeeds(system, f"{WITH_DISK} fio {job}")
    assert "IOPS" in succeeds(system, "pyfio-virtio run virtio --disk-size 64M -- --runtime=1")
    sweep = "pyfio-virtio sweep --iodepth 1,8 --repeats 2 --quick --disk-size 64M -o swept"
    succeeds(
        system, f"cd /root && {sweep} && pyfio-virtio report swept && grep '<svg' swept/*.html"
    )


def test_apt_says_that_packages_for_another_fio_do_not_fit(system: chroots.Chroot) -> None:
    """Debian 12's would be refused like this. The command alone fits."""
    succeeds(
        system,
        "apt-get -qq --yes purge pyfio-virtio-engine && cd /root && "
        "dpkg-deb -R tree/build/deb/pyfio-virtio-engine_*.deb other && "
        "sed -i 's/fio (= [^)]*)/fio (= 3.33-3)/' other/DEBIAN/control && dpkg-deb -b other .",
    )
    refused = system.run("apt-get -s install /root/pyfio-virtio-engine_*.deb")
    assert refused.status != 0
    assert "pyfio-virtio-engine : Depends: fio (= 3.33-3) but" in refused.stdout
    assert "IOPS" in succeeds(system, "pyfio-virtio run virtio --disk-size 64M -- --runtime=1")

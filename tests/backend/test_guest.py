# SPDX-License-Identifier: GPL-2.0-or-later
"""A front-end that is not ours: a Linux guest in QEMU uses the disks like any other disks."""

import shutil
from pathlib import Path

import pytest

from tests.backend import guest
from tests.backend.conftest import StartBuiltin

# For each disk: a file system, a file, its checksum from the disk itself, room given back.
SCRIPT = """
use_disk() {
    for wait in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/$1 ] || sleep 1; done
    echo "$1: $(cat /sys/block/$1/size) sectors"
    mke2fs -b 4096 /dev/$1 > /dev/null || return
    mount -t ext4 /dev/$1 /mnt || return
    dd if=/dev/urandom of=/mnt/file bs=1M count=16 2> /dev/null || return
    written=$(sha256sum < /mnt/file)
    sync; umount /mnt || return
    echo 3 > /proc/sys/vm/drop_caches
    mount -t ext4 /dev/$1 /mnt || return
    [ "$(sha256sum < /mnt/file)" = "$written" ] || return
    rm /mnt/file; sync; fstrim /mnt || return
    umount /mnt && echo "$1: passed"
}
use_disk vda
use_disk sda
use_disk sdb
dmesg | grep "I/O error" && echo "errors"
"""


@pytest.fixture(scope="module")
def linux(tmp_path_factory: pytest.TempPathFactory) -> guest.Guest:
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("no qemu-system-x86_64 (Debian: apt install qemu-system-x86)")
    try:
        return guest.make(tmp_path_factory.mktemp("guest"), SCRIPT)
    except (guest.NoGuestError, FileNotFoundError) as error:
        pytest.skip(f"no kernel for a guest: {error}")


@pytest.mark.timeout(guest.TIMEOUT_S + 60)
@pytest.mark.parametrize("serve", ["event", "adaptive"])
def test_a_linux_guest_keeps_files_on_blk_and_scsi(
    backend: StartBuiltin, linux: guest.Guest, tmp_path: Path, serve: str
) -> None:
    blk = backend(serve=serve, size_bytes=64 << 20, queue_count=2)
    scsi = backend(
        serve=serve,
        device="scsi",
        lun_count=2,
        storage=f"file:{tmp_path / 'disk'}",
        size_bytes=64 << 20,
    )
    printed = guest.boot(
        linux,
        [
            *("-chardev", f"socket,id=blk,path={blk.settings.socket_path}"),
            *("-device", "vhost-user-blk-pci,chardev=blk,num-queues=2"),
            *("-chardev", f"socket,id=scsi,path={scsi.settings.socket_path}"),
            *("-device", "vhost-user-scsi-pci,chardev=scsi,num_queues=1"),
        ],
    )
    for disk in ("vda", "sda", "sdb"):
        assert f"{disk}: 131072 sectors" in printed, printed
        assert f"{disk}: passed" in printed, printed
    assert "errors" not in printed, printed
    for started in (blk, scsi):
        counted = started.statistics()
        assert int(counted["bytes_written"]) >= 16 << 20
        assert int(counted["flushes"]) > 0
        assert int(counted["discards"]) > 0
        assert counted["broken_rings"] == 0

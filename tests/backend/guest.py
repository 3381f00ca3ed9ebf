# SPDX-License-Identifier: GPL-2.0-or-later
"""A Linux guest for tests: makes its kernel and initramfs from Debian's packages, and runs it.

The packages are downloaded with apt-get into the folder that the caller names, and nothing is
installed. The guest runs one script and powers off; tests check what it printed.
"""

import gzip
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

META_PACKAGE = "linux-image-cloud-amd64"
MODULES = ("virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod")
# Ample: about half a minute is usual.
TIMEOUT_S = 300


class NoGuestError(Exception):
    """Why there can be no guest here."""


@dataclass(frozen=True)
class Guest:
    kernel: Path
    initramfs: Path


def run(*command: str, folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoGuestError(f"{command[0]} {command[1]}: {done.stderr.strip()[-200:]}")
    return done.stdout


def unpack_packages(folder: Path) -> Path:
    """Downloads the kernel and a static busybox; returns where they are unpacked."""
    depends = run("apt-cache", "depends", META_PACKAGE, folder=folder)
    found = re.search(r"Depends: (linux-image-\S+)", depends)
    if not found:
        raise NoGuestError(f"apt knows no {META_PACKAGE}: run apt-get update")
    run("apt-get", "download", found[1], "busybox-static", folder=folder)
    for package in folder.glob("*.deb"):
        run("dpkg-deb", "-x", str(package), "root", folder=folder)
    return folder / "root"


def module_paths(root: Path, names: Sequence[str]) -> list[Path]:
    """The modules with all that they depend on, in the order in which to load them."""
    files = {path.stem.replace("-", "_"): path for path in root.rglob("*.ko")}
    ordered: list[Path] = []

    def add(name: str) -> None:
        path = files.get(name.replace("-", "_"))
        if path is None or path in ordered:  # built into the kernel, or there already
            return
        needed = re.search(rb"\0depends=([^\0]*)", path.read_bytes())
        for other in needed[1].decode().split(",") if needed else []:
            add(other)
        ordered.append(path)

    for name in names:
        add(name)
    return ordered


def cpio_entry(name: str, mode: int, contents: bytes, number: int) -> bytes:
    """One file in the "newc" form: Linux, Documentation/driver-api/early-userspace."""
    fields = (number, mode, 0, 0, 1, 0, len(contents), 0, 0, 0, 0, len(name) + 1, 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return pad_to_4(header) + pad_to_4(contents)


def pad_to_4(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def cpio_entries(files: dict[str, bytes], folders: Sequence[str]) -> Iterator[bytes]:
    number = 0
    for folder in folders:
        number += 1
        yield cpio_entry(folder, 0o040755, b"", number)
    for name, contents in files.items():
        number += 1
        yield cpio_entry(name, 0o100755, contents, number)
    yield cpio_entry("TRAILER!!!", 0, b"", number + 1)


def make(folder: Path, script: str) -> Guest:
    """A guest whose init loads the modules, runs the script in busybox and powers off."""
    root = unpack_packages(folder)
    modules = module_paths(root, MODULES)
    load = "\n".join(f"insmod /modules/{path.name}" for path in modules)
    init = f"""#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
{load}
{script}
poweroff -f
"""
    files = {"init": init.encode(), "bin/busybox": (root / "bin/busybox").read_bytes()}
    files |= {f"modules/{path.name}": path.read_bytes() for path in modules}
    archive = b"".join(cpio_entries(files, ("bin", "dev", "proc", "sys", "mnt", "modules")))
    initramfs = folder / "initramfs"
    initramfs.write_bytes(gzip.compress(archive, 1))
    return Guest(next((root / "boot").glob("vmlinuz-*")), initramfs)


def boot(guest: Guest, devices: Sequence[str]) -> str:
    """Runs the guest to its end; returns what it printed."""
    command = [
        # By emulation: it works everywhere, and KVM does not wherever there is a /dev/kvm.
        *("qemu-system-x86_64", "-accel", "tcg", "-m", "512M"),
        *("-object", "memory-backend-memfd,id=memory,size=512M,share=on"),
        *("-machine", "q35,memory-backend=memory", "-nodefaults", "-no-reboot"),
        *("-display", "none", "-serial", "stdio", "-kernel", str(guest.kernel)),
        *("-initrd", str(guest.initramfs), "-append", "console=ttyS0 quiet panic=-1"),
        *devices,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout

# SPDX-License-Identifier: GPL-2.0-or-later
"""The chroots in which packages are tested: clean, thrown away, and without traces on the host."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packages import chroots
from tests.packages.conftest import OpenChroot
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def clean(open_chroot: OpenChroot) -> chroots.Chroot:
    return open_chroot("bookworm")


def test_a_command_sees_a_clean_debian(clean: chroots.Chroot) -> None:
    done = clean.run(". /etc/os-release; echo $VERSION_CODENAME; ls -A /home; exit 3")
    assert (done.status, done.stdout) == (3, "bookworm\n")


def test_what_a_command_writes_is_there_for_the_next_one_but_not_in_the_base(
    clean: chroots.Chroot,
) -> None:
    clean.run("echo kept > /root/file")
    assert clean.run("cat /root/file").stdout == "kept\n"
    with chroots.base("bookworm") as base:
        assert not (base / "root/file").exists()


def test_files_are_handed_over(clean: chroots.Chroot, tmp_path: Path) -> None:
    (tmp_path / "from_host").write_text("for the chroot")
    clean.put(tmp_path / "from_host")
    done = clean.run(f"cat {chroots.SHARED}/from_host; echo back > {chroots.SHARED}/back")
    assert done.stdout == "for the chroot"
    assert (clean.shared / "back").read_text() == "back\n"


def test_it_has_its_own_processes_and_leaves_none(clean: chroots.Chroot) -> None:
    done = clean.run("setsid sleep 7654 & cat /proc/[0-9]*/comm")
    assert set(done.stdout.split()) <= {"sh", "cat", "sleep", "setsid"}
    assert "7654" not in _command_lines()


def test_apt_reaches_its_archive(clean: chroots.Chroot) -> None:
    done = clean.run("apt-get -qq update && apt-get -s install fio | grep '^Inst fio '")
    assert done.status == 0, done.stderr


def test_a_command_that_does_not_end_is_ended(clean: chroots.Chroot) -> None:
    with pytest.raises(TimeoutError, match="did not end within"):
        clean.run("setsid sleep 7655", limit_s=0.5)
    wait_until(lambda: "7655" not in _command_lines())


def test_a_killed_test_leaves_no_process_and_no_mount(clean: chroots.Chroot) -> None:
    program = """
from tests.packages.chroots import chroot
with chroot("bookworm") as clean:
    print(clean.root, flush=True)
    clean.run("exec sleep 7656")
"""
    line = [sys.executable, "-c", program]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        root = process.stdout.readline().strip()
        wait_until(lambda: "7656" in _command_lines(b"sleep\0"))
        os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: "7656" not in _command_lines())
    assert root not in Path("/proc/self/mounts").read_text()
    chroots._remove(Path(root).parent)


def _command_lines(start: bytes = b"") -> str:
    lines = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if line.startswith(start) and b"\0sleep " not in line and b"clean.run" not in line:
            lines.append(line.replace(b"\0", b" ").decode(errors="replace"))
    return "\n".join(lines)

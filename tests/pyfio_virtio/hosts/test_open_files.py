# SPDX-License-Identifier: GPL-2.0-or-later
"""hosts/open_files.py, in a process of its own, because a limit that was lowered stays low."""

import subprocess
import sys

_MAKE_ROOM = """
import resource
from pyfio_virtio.errors import MachineError
from pyfio_virtio.hosts.open_files import make_room
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
try:
    make_room({hosts})
except MachineError as error:
    print(error)
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def said(soft: int, hard: int, hosts: int) -> list[str]:
    code = _MAKE_ROOM.format(soft=soft, hard=hard, hosts=hosts)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_the_limit_is_raised_as_far_as_the_hosts_need() -> None:
    assert said(100, 2000, hosts=32) == ["320 2000"]


def test_a_limit_that_is_high_enough_stays() -> None:
    assert said(400, 2000, hosts=32) == ["400 2000"]


def test_too_many_hosts_for_the_limit_are_refused() -> None:
    sentence, limits = said(100, 319, hosts=32)
    assert sentence.startswith("cannot use 32 hosts: they need 320 open files, and 319 are allowed")
    assert limits == "100 319"

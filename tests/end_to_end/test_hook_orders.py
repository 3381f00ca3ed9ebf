# SPDX-License-Identifier: GPL-2.0-or-later
"""No order of fio's hooks crashes, fails a request, or leaves anything behind: hook_orders.c."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from pyfio_virtio.engine import engine
from tests.conftest import ROOT, Fio, StartBackend

SOURCE = Path(__file__).with_name("hook_orders.c")
TREE = ROOT / "build" / "fio-tree"

pytestmark = pytest.mark.skipif(
    not TREE.exists(), reason="there is no build/fio-tree, which says where fio's headers are"
)


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An engine for fio that calls the hooks of ours."""
    target = tmp_path_factory.mktemp("hooks") / "hook_orders"
    tree = TREE.read_text().strip()
    headers = ("-isystem", tree, "-include", f"{tree}/config-host.h")
    command = ["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-g", "-fPIC", "-shared", "-Wall", "-Wextra"]
    without_sanitizer = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    subprocess.run(
        [*command, *headers, str(SOURCE), "-o", str(target)], check=True, env=without_sanitizer
    )
    return target


class Orders:
    def __init__(self, fio: Fio, stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fio, self.stand_in, self.monkeypatch = fio, stand_in, monkeypatch

    def run(self, thread: int, files: Sequence[str], *, may_fail: bool = False) -> list[str]:
        """What the orders say; they ended, and fio after them."""
        settings = {
            "ENGINE": engine.folder() / engine.NAME,
            "LENGTH": 2,
            "RANDOM": 100,
            "SEED": 1,
            "FAILURES": int(may_fail),
        }
        for key, value in settings.items():
            self.monkeypatch.setenv(f"HOOK_{key}", str(value))
        run = self.fio(
            ":".join(files),
            filename=":".join(files),
            ioengine=f"external:{self.stand_in}",
            thread=thread or None,
            rw="read",
            create_serialize=0,
        )
        assert run.status == 1, f"fio ended with {run.status}: {run.stderr[-2000:]}"
        return [line for line in run.stderr.splitlines() if line.startswith("hooks: ")]


@pytest.fixture
def orders(fio: Fio, stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> Orders:
    return Orders(fio, stand_in, monkeypatch)


@pytest.mark.parametrize("thread", [0, 1])
def test_orders_on_one_device(disk: StartBackend, orders: Orders, thread: int) -> None:
    assert orders.run(thread, [disk().socket]) == ["hooks: done, with requests"]


@pytest.mark.parametrize("thread", [0, 1])
def test_orders_on_two_devices(builtin: StartBackend, orders: Orders, thread: int) -> None:
    files = [builtin().socket, builtin().socket]
    assert orders.run(thread, files) == ["hooks: done, with requests"]


@pytest.mark.parametrize("thread", [0, 1])
@pytest.mark.parametrize("missing", [0, 1])
def test_orders_on_two_devices_one_of_which_is_not_there(
    builtin: StartBackend, orders: Orders, private: Path, thread: int, missing: int
) -> None:
    files = [builtin().socket]
    files.insert(missing, str(private / "not-there"))
    assert orders.run(thread, files) == ["hooks: done, without"]


@pytest.mark.parametrize("thread", [0, 1])
@pytest.mark.parametrize(
    "fault", ["error:every=2", "bad-id:every=3", "hang-up:every=101", "wrong-reply:every=97"]
)
def test_orders_on_a_device_that_fails_now_and_then(
    builtin: StartBackend, orders: Orders, thread: int, fault: str
) -> None:
    socket = builtin(options=(f"fault={fault}",)).socket
    said = orders.run(thread, [socket], may_fail=True)
    assert said == ["hooks: done, with requests"]

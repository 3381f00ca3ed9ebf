# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine's face to Python: what this build is, and errors of each thread. engine/api.h."""

import errno
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from pyfio_virtio.engine import engine
from tests.engine.blk_backend import open_device
from tests.engine.shared_object import ffi, lib, sentence

ROOT = Path(__file__).resolve().parents[2]


def test_the_version_is_the_projects() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        assert engine.version() == tomllib.load(file)["project"]["version"]


def test_a_thread_that_never_failed_has_no_message() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(sentence).result() == ""


def test_every_thread_has_its_own_message() -> None:
    together = Barrier(4)

    def fail(number: int) -> str:
        assert open_device(f"/none/{number}")[0] == -errno.ENOENT
        together.wait()  # until all have failed
        return sentence()

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(fail, range(4)))
    assert [text.split(":")[0] for text in found] == [f"/none/{number}" for number in range(4)]


def test_a_failure_in_another_thread_leaves_the_message() -> None:
    open_device("/none/mine")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(open_device, "/none/theirs").result()
    assert sentence().startswith("/none/mine:")


def test_success_leaves_the_last_message() -> None:
    open_device("/none/before")
    memory = ffi.new("struct memory *")
    lib.memory_init(memory, lib.HUGEPAGES_OFF)
    lib.memory_close(memory)
    assert sentence().startswith("/none/before:")


def test_closing_no_device_is_harmless() -> None:
    lib.device_close(ffi.NULL)

# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of the engine share: a connection to a scripted back-end."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.engine.scripted_backend import Script, ScriptedBackend
from tests.engine.shared_object import CData, ffi, lib, sentence
from tests.engine.vhost_requests import TIMEOUT_MS, Connect
from tests.open_descriptors import descriptors
from tests.waiting import wait_until


@pytest.fixture
def connect(private: Path) -> Iterator[Connect]:
    """connect(script): a struct vhost_user that is connected to a back-end that runs script.

    Whatever happened, both sides together leave no descriptor open.
    """
    before = descriptors()
    with ExitStack() as stack:

        def start(script: Script) -> CData:
            backend = stack.enter_context(ScriptedBackend(private / "disk.sock", script))
            vu = ffi.new("struct vhost_user *")
            code = lib.vhost_user_connect(vu, backend.path.encode(), TIMEOUT_MS)
            stack.callback(lib.vhost_user_close, vu)
            assert code == 0, sentence()
            return vu

        yield start
    wait_until(lambda: descriptors() == before, f"{before} open files")

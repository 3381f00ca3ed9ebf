# SPDX-License-Identifier: GPL-2.0-or-later
"""The built-in back-end in threads of the test's process: `backend(**settings)` starts one.

Settings are those of pyfio_virtio.backend_engine.Settings, less the socket. All end with the test.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from pyfio_virtio.backend_engine import BuiltinBackend, Settings

StartBuiltin = Callable[..., BuiltinBackend]


@pytest.fixture
def backend() -> Iterator[StartBuiltin]:
    """Starts back-ends; a folder of their own keeps the sockets' paths short."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="backend-"))
        count = 0

        def start(**settings: str | int) -> BuiltinBackend:
            nonlocal count
            count += 1
            chosen: dict[str, Any] = {"size_bytes": 1 << 20, **settings}
            path = f"{folder}/{count}.sock"
            return stack.enter_context(BuiltinBackend(Settings(path, **chosen)))

        yield start

# SPDX-License-Identifier: GPL-2.0-or-later
"""The built-in back-end in threads of the test's process: `backend(**settings)` starts one.

Settings are those of pyfio_virtio.backend_engine.Settings, less the socket. All end with the test.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pyfio_virtio.backend_engine import BuiltinBackend, Settings

StartBuiltin = Callable[..., BuiltinBackend]


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for the name of a socket."""
    with tempfile.TemporaryDirectory(prefix="backend-") as folder:
        yield Path(folder)


@pytest.fixture
def backend(short_folder: Path) -> Iterator[StartBuiltin]:
    """Starts back-ends."""
    with ExitStack() as stack:
        count = 0

        def start(**settings: str | int) -> BuiltinBackend:
            nonlocal count
            count += 1
            chosen: dict[str, Any] = {"size_bytes": 1 << 20, **settings}
            path = f"{short_folder}/{count}.sock"
            return stack.enter_context(BuiltinBackend(Settings(path, **chosen)))

        yield start

# SPDX-License-Identifier: GPL-2.0-or-later
"""The C library, installed once for the tests of this folder."""

import sys
from pathlib import Path

import pytest

from tests.engine.library.installed import run


@pytest.fixture(scope="session")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds include/ and lib/."""
    folder = tmp_path_factory.mktemp("prefix")
    # Python's libraries need not be copied.
    run("make", "install", f"PREFIX={folder}", "SYSTEM_PYTHON=1", f"PYTHON={sys.executable}")
    return folder

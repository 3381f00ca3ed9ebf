# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests that install what users install, into clean systems. They take minutes, so they run only
where they are asked for by name: `make test-packages`, or pytest tests/packages/..."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.packages import chroots

FOLDER = Path(__file__).resolve().parent
# Debian's packages come over the network.
TIMEOUT_S = 900

asked = pytest.mark.skipif(
    "ALL" not in os.environ, reason="takes minutes, so ask for it: make test-packages ALL=1"
)
OpenChroot = Callable[..., chroots.Chroot]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    asked = [Path(argument.split("::")[0]).resolve() for argument in config.args]
    is_asked_for = any(each == FOLDER or FOLDER in each.parents for each in asked)
    return None if is_asked_for else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if FOLDER in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.fixture(scope="module")
def open_chroot() -> Iterator[OpenChroot]:
    """`open_chroot("bookworm", "fio")` is chroots.chroot(), until the module's last test."""
    with ExitStack() as stack:

        def opened(suite: str, *packages: str) -> chroots.Chroot:
            try:
                return stack.enter_context(chroots.chroot(suite, *packages))
            except chroots.NoChrootError as error:
                pytest.skip(str(error))

        yield opened

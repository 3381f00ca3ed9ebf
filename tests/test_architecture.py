# SPDX-License-Identifier: GPL-2.0-or-later
"""ARCHITECTURE.md: names that exist, and the barriers as ring/virtq.h has them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "ARCHITECTURE.md").read_text()
PLACES = ("", "engine", "engine/backend", "pyfio_virtio", "analysis", "tests")


def rooms_named(folder: str) -> set[str]:
    """What the table of a folder's rooms names."""
    table = TEXT.partition(f"| room of {folder}/ |")[2].partition("\n\n")[0]
    return set(re.findall(r"^\| `(\w+)/` \|", table, re.MULTILINE))


def rooms_of(folder: Path) -> set[str]:
    inner = [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    return {path.name for path in inner} - {"__pycache__", "examples", "lib"}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([\w/]+\.(?:c|h|py|md))`", TEXT))))
def test_every_file_that_is_named_exists(name: str) -> None:
    assert any((ROOT / place / name).is_file() for place in PLACES)


@pytest.mark.parametrize("folder", ["engine", "engine/backend", "pyfio_virtio"])
def test_every_room_is_named(folder: str) -> None:
    assert rooms_named(folder) == rooms_of(ROOT / folder)


@pytest.mark.parametrize("letter", "ABCD")
def test_each_barrier_is_told(letter: str) -> None:
    assert f"\n| {letter} |" in TEXT
    assert f" * {letter} |" in (ROOT / "engine" / "ring" / "virtq.h").read_text()

# SPDX-License-Identifier: GPL-2.0-or-later
"""ARCHITECTURE.md: names that exist, and the barriers as ring/virtq.h has them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "ARCHITECTURE.md").read_text()
PLACES = ("", "engine", "pyfio_virtio", "analysis", "tests")


def parts() -> list[str]:
    """What the table of files names."""
    table = TEXT.partition("## Files and directions")[2].partition("Nothing below")[0]
    cells = [line.split("|")[2] for line in table.splitlines() if line.startswith("| ")]
    return [name for cell in cells for name in re.findall(r"`([\w.]+)`", cell)]


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([\w/]+\.(?:c|h|py|md))`", TEXT))))
def test_every_file_that_is_named_exists(name: str) -> None:
    assert any((ROOT / place / name).is_file() for place in PLACES)


def test_every_part_of_the_engine_is_named() -> None:
    named = {name.partition(".")[0] for name in parts()}
    files = [*(ROOT / "engine").glob("*.c"), *(ROOT / "engine").glob("*.h")]
    assert {path.stem for path in files} == named


@pytest.mark.parametrize("letter", "ABCD")
def test_each_barrier_is_told(letter: str) -> None:
    assert f"\n| {letter} |" in TEXT
    assert f" * {letter} |" in (ROOT / "engine" / "ring/virtq.h").read_text()

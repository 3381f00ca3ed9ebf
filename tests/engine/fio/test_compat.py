# SPDX-License-Identifier: GPL-2.0-or-later
"""fio/compat.h alone knows how releases of fio differ, and says which one is the oldest."""

import re
import subprocess
import sys
from pathlib import Path

import fio_headers
import pytest

from pyfio_virtio.fio import fio
from tests.engine import fio_trees
from tests.engine.fio_trees import ENGINE, ROOT, rewrite

COMPAT = ENGINE / "fio" / "compat.h"
OTHERS = [path for path in sorted(ENGINE.rglob("*.[ch]")) if path != COMPAT]
ROW = re.compile(r"^ \* (\d\d)      (\d+| {2,3}) +3\.(\d\d) ", re.MULTILINE)


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: str(path.relative_to(ENGINE)))
def test_no_other_file_knows_a_release(path: Path) -> None:
    found = re.search(r"FIO_IOOPS_VERSION|FIO_SERVER_VER|\b3\.[2-4]\d\b", path.read_text())
    assert found is None


def test_the_rows_of_the_table_are_in_order() -> None:
    rows = [(int(row[1]), int(row[3])) for row in ROW.finditer(COMPAT.read_text())]
    assert len(rows) >= 7
    assert rows == sorted(rows)


def test_the_command_takes_the_releases_that_the_engine_takes() -> None:
    oldest = re.search(r'^#define OLDEST_FIO_RELEASE "(\d+)\.(\d+)"$', COMPAT.read_text(), re.M)
    assert oldest
    assert (int(oldest[1]), int(oldest[2])) == fio.OLDEST


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The headers of the installed fio, to be changed."""
    return fio_trees.copy_of_installed(tmp_path / "fio")


def build(tree: Path, target: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "engine/build.py", "--output", str(target), "front-end"]
    return subprocess.run(
        [*command, "--fio-tree", str(tree)], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_a_fio_that_is_too_old_is_refused_in_one_sentence(tree: Path, tmp_path: Path) -> None:
    header = tree / "ioengines.h"
    rewrite(header, re.sub(r"(FIO_IOOPS_VERSION\s+)\d+", r"\g<1>29", header.read_text()))
    refused = build(tree, tmp_path / "fio_virtio")
    assert refused.returncode == 1
    assert re.fullmatch(
        r"build: fio-\S+ in \S+ is too old for the engine, which needs fio 3\.28 or later\n",
        refused.stderr,
    )


@pytest.mark.parametrize("release", ["fio-3.41-15-gabcdef-dirty", "fio-3.39-vendor1", "fio-3.41"])
def test_a_tree_of_ones_own_may_bear_any_version(release: str, tree: Path, tmp_path: Path) -> None:
    (tree / "version").write_text(release)
    assert fio_headers.release_of(tree) == release
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\necho {release}\n")
    script.chmod(0o755)
    assert fio.find(str(script)).release == release

# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands under bad conditions: each ends in time, with a sentence, and leaves nothing behind.

`make conditions` crosses every command with every condition. Here are those that have failed.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from tests.pyfio_virtio.cli.conditions import COMMANDS, CONDITIONS, can_mount, carry_out, check

# The condition, the command, its exit status, and a part of what it says.
TABLE = [
    ("a full stdout", "results list", 1, "cannot write to standard output: No space left"),
    ("a full stdout", "run", 1, "cannot write to standard output: No space left"),
    ("a full stderr", "run", 0, ""),
    ("closed streams", "run", 0, ""),
    ("a reader that leaves", "run", 0, ""),
    ("a full folder", "job -o", 2, "cannot write new.fio: No space left"),
    ("a full folder", "results export -o", 2, "cannot write new.csv: No space left"),
    ("a full folder", "sweep --save", 2, "cannot write new.toml: No space left"),
    ("a full folder", "plot", 2, "cannot write new.png: No space left"),
    ("a full folder", "sweep", 1, "cannot write results to new: No space left"),
    ("a read-only folder", "job -o", 2, "cannot write new.fio: Read-only file system"),
    ("a full state folder", "run", 1, "job.fio: No space left"),
    ("a read-only state folder", "doctor", 1, "Read-only file system"),
    ("a long TMPDIR", "doctor", 1, "cannot use the socket path"),
    ("no /proc", "run", 3, "/proc is not mounted"),
    ("few descriptors", "run", 1, "did not start"),
    ("little memory", "report", 3, "cannot analyse results: memory is limited to 195 MiB"),
    ("KOI8", "results list", 0, ""),
    ("a fio that prints no UTF-8", "run", 3, "it is not fio"),
    ("a fio that prints without end", "run", 3, "it printed more than"),
    ("a fio that leaves a child", "run", 3, "it is not fio"),
    ("a fio that ends and leaves a child", "run", 0, ""),
    ("a fio that ends at once", "run --json", 1, "fio printed no results"),
    ("a fio that crashes", "run", 139, "fio was ended by signal 11"),
]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="pv-"))
    yield made
    shutil.rmtree(made)


def skip_without_mounts(condition: str) -> None:
    if CONDITIONS[condition].needs_mounts and not can_mount():
        pytest.skip("this user may not mount file systems in a namespace")


@pytest.mark.parametrize(("condition", "command", "status", "words"), TABLE)
def test_a_bad_condition_is_told(
    folder: Path, condition: str, command: str, status: int, words: str
) -> None:
    skip_without_mounts(condition)
    case = Path(tempfile.mkdtemp(dir=folder))
    seen = carry_out(case, command, CONDITIONS[condition])
    check(seen, command)
    assert seen.status == status, seen
    assert words in seen.stdout + seen.stderr, seen


if "EVERY_CONDITION" in os.environ:

    @pytest.mark.parametrize(("condition", "command"), list(product(CONDITIONS, COMMANDS)))
    def test_every_command_under_every_condition(
        folder: Path, condition: str, command: str
    ) -> None:
        skip_without_mounts(condition)
        check(
            carry_out(Path(tempfile.mkdtemp(dir=folder)), command, CONDITIONS[condition]), command
        )

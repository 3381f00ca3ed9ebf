# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory is allocated before the back-end serves it."""

import subprocess
from pathlib import Path

import pytest

from tests.backend.conftest import Start
from tests.backend.disk_requests import BLK_OK, BLK_READ, BLK_WRITE, blk
from tests.backend.frontend import TIMEOUT_S, Frontend
from tests.backend.test_storage import end

MIB = 1 << 20
SIZE = 100 * MIB  # no multiple of what a thread fills
THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def resident_bytes(process: subprocess.Popen[str]) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def page_faults(process: subprocess.Popen[str]) -> int:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[7])


@pytest.mark.parametrize("cpus", ["", "0"])
def test_memory_is_there_before_it_is_served(start: Start, cpus: str) -> None:
    assert resident_bytes(start("--size", str(SIZE), "--cpus", cpus)) >= SIZE


def on_huge_pages(process: subprocess.Popen[str]) -> int:
    rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    return int(rollup.split("AnonHugePages:")[1].split()[0]) * 1024


@pytest.mark.skipif(
    not THP.exists() or "[never]" in THP.read_text(), reason="this kernel gives no huge pages"
)
def test_huge_waits_for_huge_pages(start: Start) -> None:
    process = start("--size", str(SIZE), "--populate", "huge")
    assert on_huge_pages(process) >= SIZE // 2  # memory may be too fragmented for all of them


def test_what_is_served_takes_no_page_fault(start: Start, path: str) -> None:
    process = start("--size", str(SIZE), "--serve", "event")
    with Frontend(path) as frontend:
        # The client's memory is new to the back-end, and so has its page faults first.
        for sector in (0, 8):
            blk(frontend, BLK_WRITE, sector, bytes(65536))
        before = page_faults(process)
        for at in range(MIB, SIZE, MIB):
            assert blk(frontend, BLK_WRITE, at // 512, bytes(65536)).status == BLK_OK
        assert page_faults(process) - before < 100


def test_off_fills_it_as_it_is_used(start: Start, path: str) -> None:
    process = start("--size", str(SIZE), "--populate", "off")
    before = resident_bytes(process)
    assert before < SIZE
    with Frontend(path) as frontend:
        assert blk(frontend, BLK_WRITE, 0, b"x" * 65536).status == BLK_OK
        assert blk(frontend, BLK_READ, 0, in_bytes=65536).data == b"x" * 65536
    assert resident_bytes(process) - before < MIB


def test_a_disk_beyond_half_of_the_free_memory_is_filled_as_it_is_used(
    start: Start, path: str
) -> None:
    process = start("--size", "1T")
    with Frontend(path) as frontend:
        assert blk(frontend, BLK_WRITE, (1 << 40) // 512 - 1, b"x" * 512).status == BLK_OK
    assert resident_bytes(process) < SIZE
    assert "1 TiB of memory are more than half of the" in end(process)


@pytest.mark.parametrize("populate", ["auto", "on", "off", "huge"])
def test_null_storage_has_nothing_to_fill(start: Start, populate: str) -> None:
    process = start("--storage", "null", "--size", "1T", "--populate", populate)
    assert resident_bytes(process) < SIZE
    assert end(process) == ""


def test_a_new_file_that_is_mapped_has_its_blocks(start: Start, short_folder: Path) -> None:
    disk = short_folder / "disk"
    start("--storage", f"memory:{disk}", "--size", str(SIZE))
    assert disk.stat().st_blocks * 512 >= SIZE


def test_holes_of_a_file_that_is_there_stay_holes(start: Start, short_folder: Path) -> None:
    disk = short_folder / "disk"
    with disk.open("wb") as file:
        file.truncate(SIZE)
    start("--storage", f"memory:{disk}", "--size", str(SIZE))
    assert disk.stat().st_blocks * 512 < MIB


def test_a_wish_that_there_is_not_is_refused(start: Start) -> None:
    process = start("--populate", "perhaps")
    _, said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode != 0
    assert "invalid choice: 'perhaps'" in said

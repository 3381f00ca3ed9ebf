# SPDX-License-Identifier: GPL-2.0-or-later
"""bench/level.py: half seconds out of fio's log, how they stand to the median, and the table."""

import configparser
from dataclasses import replace
from pathlib import Path

import pytest

from bench import level, run
from bench.level import HALVES, Level
from bench.run import Cores, turns
from tests.conftest import ROOT

EVEN = Level((100.0,) * HALVES, 50.0)
WAVERS = Level((90.0, 110.0) * (HALVES // 2), 50.0)
SLOW_AT_FIRST = Level((20.0, *(100.0,) * (HALVES - 1)), 500.0)


def log(*lines: tuple[int, int, int]) -> str:
    return "".join(f"{at_ms}, {iops}, {direction}, 0, 0\n" for at_ms, iops, direction in lines)


def test_reads_and_writes_of_a_half_second_are_added() -> None:
    found = level.halves(log((500, 10, 0), (500, 20, 1), (1001, 30, 0), (1002, 40, 1)))
    assert found[:2] == (30.0, 70.0)


def test_what_comes_after_the_halves_is_left_out() -> None:
    lines = [(500 * half + 3, half, 0) for half in range(1, HALVES + 3)]
    assert level.halves(log(*lines)) == tuple(map(float, range(1, HALVES + 1)))


def test_a_half_is_set_beside_the_median_of_its_run() -> None:
    assert [SLOW_AT_FIRST.ratio(half) for half in (0, 1)] == [0.2, 1.0]
    assert SLOW_AT_FIRST.lowest == 0.2
    assert EVEN.lowest == 1.0


def test_the_load_is_that_of_the_first_job() -> None:
    job = configparser.ConfigParser(allow_no_value=True)
    job.read(ROOT / "jobs" / "virtio.fio")
    assert level.comparison().on_any_core
    assert level.RUNTIME_S > int(job["virtio"]["runtime"]) == HALVES / 2
    for side in level.comparison().sides:
        for name in ("rw", "bs", "iodepth"):
            assert side.options[name] == job["virtio"][name]


def test_the_two_threads_have_the_same_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pair_loop").touch()
    monkeypatch.setattr(run, "LOOPS", tmp_path)
    peer = level.comparison().sides[-1]
    assert run.loop_command(peer, 2.0)[2:] == ["128", str(1 << 30), "2000", "4096", "randrw"]


def test_one_disk_is_filled_as_it_is_used() -> None:
    options = [getattr(side.disk, "options", ()) for side in level.comparison().sides]
    assert options.count(("populate=off",)) == 1


def test_the_table_has_a_line_for_each_disk() -> None:
    measured = [[SLOW_AT_FIRST, EVEN, EVEN, EVEN, WAVERS]] * 5
    lines = level.table(measured).splitlines()
    assert len(lines) == 3 + len(level.DISKS)
    assert lines[2].split(" | ")[1].startswith("0.20 (0.20 to 0.20")
    assert lines[2].split(" | ")[5] == "95 of 100"
    assert lines[3].split(" | ")[1:] == [
        *("1.00 (1.00 to 1.00, 94%)", *["1.00"] * 3),
        *("100 of 100", "0.00 (0.00 to 0.00, 94%)", "100", "50 |"),
    ]


def test_a_spread_stands_beside_that_of_the_two_threads() -> None:
    """A disk whose halves differ four times as much as the threads' has 4."""
    lines = level.table([[SLOW_AT_FIRST, EVEN, EVEN, EVEN, WAVERS]] * 5).splitlines()
    assert WAVERS.spread == 0.2
    assert lines[2].split(" | ")[6].startswith("4.00 (4.00 to 4.00")
    assert lines[-1].split(" | ")[6] == "1"


def test_a_real_run_has_its_halves(tmp_path: Path) -> None:
    disk = replace(level.MEMORY, size_bytes=16 << 20)
    base = replace(level.comparison().base, disk=disk)
    alone = replace(level.comparison(), base=base, others=(), runtime_s=1.5)
    with turns(tmp_path / "level", Cores(0, 0)) as running:
        [[(record, folder)]] = running.kept_rounds(alone, 1)
        measured = level.level_of(record, folder, count=2)
    assert len(measured.halves) == 2
    assert all(measured.halves)
    assert measured.p99_us

# SPDX-License-Identifier: GPL-2.0-or-later
"""bench/instructions.py: what callgrind's file says, and differences of it."""

import pytest

from bench import instructions
from bench.instructions import Count, PerIo
from pyfio_virtio.errors import PyfioVirtioError

PROFILE = """\
# callgrind format
version: 1
positions: line
events: Ir
summary: 124

ob=(1) /usr/bin/fio
fl=(1) fio.c
fn=(1) td_io_queue
10 20
cob=(2) /somewhere/build/lib/fio_virtio
cfi=(2) engine/fio/engine.c
cfn=(2) hook_queue
calls=1 54
+1 100
* 3

ob=(2)
fl=(2)
fn=(2)
54 70
fi=(3) engine/ring/virtq.h
-3 25
fe=(2)
cob=(3) /usr/lib/libc.so.6
cfi=(4)
cfn=(3) memmove
calls=1 0
+9 5
+1 1

ob=(3)
fl=(4) ???
fn=(3)
0 5

totals: 124
"""


def test_all_instructions_are_told_from_ours_whatever_file_they_come_from() -> None:
    assert instructions.parse(PROFILE.splitlines()) == (124, 96)


def test_a_profile_without_costs_is_refused() -> None:
    with pytest.raises(PyfioVirtioError, match="no costs"):
        instructions.parse(["nothing"])


def run(ios: int, looks: int) -> Count:
    own = 700 + 150 * ios + 30 * looks
    return Count(ios, looks, 5_000 + 750 * ios + own, own)


def test_runs_on_slow_back_ends_tell_what_an_empty_look_takes() -> None:
    assert instructions.per_look(run(10, 50), run(10, 90)) == pytest.approx(30)


def test_where_nobody_looks_in_vain_there_is_nothing_to_leave_out() -> None:
    assert instructions.per_look(run(1000, 5), run(1000, 5)) == 0
    assert instructions.per_look(run(1000, 5), run(1000, 9)) == 0


def test_empty_looks_are_left_out_of_what_an_io_takes() -> None:
    found = instructions.per_io("x", run(10, 3), run(30, 8), 30)
    assert (found.total, found.own) == pytest.approx((900, 150))
    assert found.empty_look == pytest.approx(30)


def test_an_engine_that_never_looks_needs_two_runs() -> None:
    found = instructions.per_io("null", Count(10, 0, 5_700, 0), Count(30, 0, 7_100, 0), 0)
    assert found.total == pytest.approx(70)


def test_each_line_says_what_is_added_to_fio() -> None:
    null, ours = PerIo("null", 700, 0, 0), PerIo("ours", 900, 150, 30)
    last = instructions.table([(null, ours)]).splitlines()[-1]
    assert last == "| ours | 700 | 900 | 200 | 150 | 30 |"


def test_both_engines_are_counted_at_one_depth() -> None:
    for null, ours in instructions.sides():
        assert null.options["iodepth"] == ours.options["iodepth"]

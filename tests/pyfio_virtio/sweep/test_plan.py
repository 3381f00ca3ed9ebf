# SPDX-License-Identifier: GPL-2.0-or-later
"""sweep/plan.py: which points there are, and in which order they run."""

from collections import Counter

import pytest

from pyfio_virtio.errors import UsageError
from pyfio_virtio.results.record import MEASURED, NULL, TWIN
from pyfio_virtio.sweep.plan import Choice, choices, order, ways, with_rates
from pyfio_virtio.sweep.settings import Settings

ENGINE_OPTIONS = {"wait", "sleepy_poll", "event_idx"}


def asked(settings: Settings) -> list[Choice]:
    return [each for each in choices(settings, ENGINE_OPTIONS) if each.role == MEASURED]


def test_sleeping_and_waiting_make_up_one_axis() -> None:
    assert ways(("0", "20"), ("busy", "event")) == [
        {"wait": "event"},
        {"wait": "sleepy", "sleepy_poll": "20"},
        {"wait": "busy"},
    ]


def test_a_sleep_that_is_no_number_is_refused() -> None:
    with pytest.raises(UsageError, match="sleepy_poll=long is not a number of microseconds"):
        ways(("long",), ())


def test_a_grid_has_every_combination() -> None:
    options = {"sleepy_poll": ("0", "100"), "iodepth": ("1", "32", "128"), "bs": ("4k", "64k")}
    points = asked(Settings(options=options))
    assert len(set(points)) == len(points) == 12


def test_one_at_a_time_varies_each_axis_from_the_first_values() -> None:
    options = {"sleepy_poll": ("0", "100"), "iodepth": ("1", "32", "128")}
    points = asked(Settings(options=options, one_at_a_time=True))
    places = [(point.get("wait"), point.get("iodepth")) for point in points]
    assert places == [("event", "1"), ("sleepy", "1"), ("event", "32"), ("event", "128")]


def test_without_axes_the_depth_varies() -> None:
    assert [each.get("iodepth") for each in asked(Settings())] == ["1", "32", "128"]


@pytest.mark.parametrize("option", ["bsrange", "bssplit"])
def test_a_point_has_no_size_that_fio_does_not_use(option: str) -> None:
    points = asked(Settings(options={option: ("4k-8k", "8k-16k"), "iodepth": ("1",)}))
    assert [point.get(option) for point in points] == ["4k-8k", "8k-16k"]
    assert not any("bs" in dict(point.options) for point in points)


def test_a_replay_has_no_direction_and_size_of_its_own() -> None:
    [point] = asked(Settings(options={"read_iolog": ("log",), "iodepth": ("1",)}))
    assert {name for name, _ in point.options} == {"iodepth", "numjobs", "read_iolog"}


def test_two_options_for_the_size_are_refused() -> None:
    options = {"bs": ("4k",), "bssplit": ("4k/50:8k/50",)}
    with pytest.raises(UsageError, match="bs and bssplit set the same value; use bs or bssplit"):
        asked(Settings(options=options))


def test_other_engines_do_without_the_engine_s_own_options() -> None:
    options = {"sleepy_poll": ("0", "100"), "event_idx": ("on", "off"), "iodepth": ("1", "8")}
    points = asked(Settings(options=options, engines=("virtio", "io_uring"), serve=("poll",)))
    others = [each for each in points if each.engine == "io_uring"]
    assert len(points) == 8 + 2
    assert {each.serve for each in others} == {None}
    assert not any(name in ENGINE_OPTIONS for each in others for name, _ in each.options)


def test_controls_are_a_twin_of_the_first_point_and_the_null_engine() -> None:
    first, *_, twin, null = choices(Settings(options={"wait": ("busy",)}), ENGINE_OPTIONS)
    assert (twin.role, twin.options) == (TWIN, first.options)
    assert (null.role, null.engine, null.get("wait")) == (NULL, "null", "")


def test_controls_can_be_left_out() -> None:
    assert {each.role for each in choices(Settings(controls=False), ())} == {MEASURED}


def test_rates_are_walked_by_what_was_asked_for_only() -> None:
    every = choices(Settings(), ())
    rated = with_rates(every, (50, 100))
    assert [each.rate_percent for each in rated] == [50, 100] * 3
    assert {each.role for each in rated} == {MEASURED}


def test_an_axis_without_a_value_is_refused() -> None:
    with pytest.raises(UsageError, match="no value for bs"):
        choices(Settings(options={"bs": ()}), ())


def test_a_grid_beyond_reason_is_refused_before_it_is_made() -> None:
    many = tuple(map(str, range(1, 200)))
    with pytest.raises(UsageError, match="39601 points"):
        choices(Settings(options={"iodepth": many, "rwmixread": many}), ())


# ---- order ------------------------------------------------------------------------------

POINTS = asked(Settings(options={"iodepth": ("1", "2", "4", "8", "16")}))


@pytest.mark.parametrize("how", ["interleaved", "random", "sequential"])
def test_every_point_has_every_repeat_once(how: str) -> None:
    runs = order(POINTS, range(1, 5), how, 1)
    assert Counter((run.choice, run.repeat) for run in runs) == {
        (point, repeat): 1 for point in POINTS for repeat in range(1, 5)
    }


@pytest.mark.parametrize("how", ["interleaved", "random"])
def test_a_seed_decides_the_order(how: str) -> None:
    orders = [order(POINTS, range(1, 5), how, seed) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_interleaved_runs_go_round_by_round_in_changing_order() -> None:
    runs = order(POINTS, range(1, 5), "interleaved", 1)
    assert [run.repeat for run in runs] == [1] * 5 + [2] * 5 + [3] * 5 + [4] * 5
    rounds = {tuple(run.choice for run in runs[start : start + 5]) for start in (0, 5, 10, 15)}
    assert len(rounds) > 1


def test_further_rounds_leave_the_earlier_ones_as_they_were() -> None:
    few = order(POINTS, range(1, 3), "interleaved", 1)
    assert order(POINTS, range(1, 6), "interleaved", 1)[: len(few)] == few


def test_sequential_runs_repeat_a_point_before_the_next() -> None:
    runs = order(POINTS, range(1, 3), "sequential", 1)
    assert [run.choice for run in runs[:4]] == [POINTS[0], POINTS[0], POINTS[1], POINTS[1]]


def test_values_with_one_meaning_are_one_point() -> None:
    points = asked(Settings(options={"bs": ("4k", "4096", "8k"), "iodepth": ("8", "0x8")}))
    kept = {(point.get("bs"), point.get("iodepth")) for point in points}
    assert kept == {("4k", "8"), ("8k", "8")}


def test_if_the_meaning_of_k_varies_all_values_are_kept() -> None:
    options = {"bs": ("4k", "4096"), "kb_base": ("1000", "1024"), "iodepth": ("8",)}
    assert {point.get("bs") for point in asked(Settings(options=options))} == {"4k", "4096"}

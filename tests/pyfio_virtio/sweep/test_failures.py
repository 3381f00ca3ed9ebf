# SPDX-License-Identifier: GPL-2.0-or-later
"""sweep/failures.py: when runs that fail in a row stop a sweep."""

import pytest

from pyfio_virtio.results.record import NULL, TWIN, Point
from pyfio_virtio.sweep.failures import Failures
from pyfio_virtio.sweep.job import Wanted
from pyfio_virtio.sweep.plan import Choice
from pyfio_virtio.sweep.points import Planned

POINT = Point("[sweep]\n", "fio_virtio", "1", "fio-3.33", "null", "1")


def point(rw: str, iodepth: int, engine: str = "virtio", role: str = "measured") -> Planned:
    options = (("rw", rw), ("iodepth", str(iodepth)), ("bs", "4k"))
    return Planned(Choice(engine, options, role=role), POINT, Wanted())


W1, W8, R1, R8 = (point(rw, depth) for rw in ("randwrite", "randread") for depth in (1, 8))
NULL_POINT = point("randwrite", 1, "null", NULL)
SWEEP = (W1, W8, R1, R8, NULL_POINT)
ONE = point("randread", 1)
Runs = list[tuple[Planned, str | None]]


def stops_after(points: tuple[Planned, ...], runs: Runs) -> int | None:
    """After how many runs the sweep stops; None: it goes to its end."""
    failures = Failures(points)
    whys = [bool(failures.why_stop(planned, error)) for planned, error in runs]
    return whys.index(True) + 1 if any(whys) else None


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        pytest.param([(W1, "x"), (R8, "x")], 2, id="nothing in common"),
        pytest.param([(W1, "x"), (W8, "x"), (R1, "x")], 3, id="no longer in common"),
        pytest.param([(W1, "x"), (W8, "x"), (W1, "x"), (W8, "x")], None, id="writes alone"),
        pytest.param([(W1, "x"), (W1, "x"), (W1, "x")], None, id="one point alone"),
        pytest.param([(W1, "x"), (R1, None), (R8, "x")], None, id="a success between"),
        pytest.param([(W1, "x"), (R8, "y")], None, id="other words"),
        pytest.param([(W1, "offset 17"), (R8, "offset 5")], 2, id="other numbers"),
        pytest.param([(W1, "x"), (NULL_POINT, None), (R8, "x")], 3, id="null between"),
        pytest.param([(R1, None), (W1, "x"), (R8, "x")], 3, id="after a success"),
    ],
)
def test_a_failure_repeats_if_the_points_have_nothing_in_common(
    runs: Runs, expected: int | None
) -> None:
    assert stops_after(SWEEP, runs) == expected


def test_the_runs_of_the_only_point_are_compared_with_each_other() -> None:
    assert stops_after((ONE,), [(ONE, "x"), (ONE, "x")]) == 2
    twin = point("randread", 1, role=TWIN)
    assert stops_after((ONE, twin, NULL_POINT), [(ONE, "x"), (NULL_POINT, None), (twin, "x")]) == 3

# SPDX-License-Identifier: GPL-2.0-or-later
"""The picture of a restart test."""

from typing import Any

import numpy as np
import pytest

from pyfio_virtio.analysis import restarts, style


def result(*, wrong: int = 0, failure: str = "", stalls: int = 2) -> dict[str, Any]:
    one = {
        "stall_p50_ns": 80_000_000,
        "stall_worst_ns": 90_000_000,
        "outage_ns": 85_000_000,
        "errors": 0,
    }
    every = [
        {**one, "began_s": n + 0.5, "outage_began_s": n + 0.5, "wrong": wrong if n else 0}
        for n in range(stalls)
    ]
    return {
        "iops": {"interval_s": 0.01, "operations": [1000, 0, 500] * 100},
        "restarts": every,
        "total": {"wrong": wrong, "errors": 0},
        "failure": failure,
        "backend": {"name": "a back-end"},
        "settings": {"block_bytes": 4096, "iodepth": 8, "threads": 2, "read_percent": 50.0},
    }


@pytest.mark.parametrize(
    ("drawn", "words"),
    [
        (result(), "80 ms (median), 90 ms at worst; no acknowledged write was lost"),
        (result(wrong=3), "3 blocks lost an acknowledged write"),
        (result(failure="it died"), "the test ended early"),
        (result(stalls=0, failure="it died"), "No restart was measured"),
    ],
)
def test_the_title_says_what_was_found(drawn: dict[str, Any], words: str) -> None:
    assert words in style.finding_of(restarts.draw(drawn).axes[0])


def test_a_label_beside_a_restart_says_what_was_lost() -> None:
    axes = restarts.draw(result(wrong=3)).axes[0]
    assert [text.get_text() for text in axes.texts if "wrong" in text.get_text()] == [
        "90 ms\n3 wrong"
    ]


def test_the_samples_keep_their_sum() -> None:
    drawn = result()
    drawn["iops"]["operations"] = [7] * 5000
    line = restarts.draw(drawn).axes[0].get_lines()[0]
    assert np.unique(line.get_ydata()).tolist() == [700]

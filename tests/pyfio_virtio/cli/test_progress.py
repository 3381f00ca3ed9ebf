# SPDX-License-Identifier: GPL-2.0-or-later
"""cli/progress.py: what a sweep says while it runs, without a terminal."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from pyfio_virtio.cli.progress import Lines, duration
from pyfio_virtio.results.record import Record
from tests.pyfio_virtio.results.test_record import RECORD

POINT: Any = SimpleNamespace(choice=SimpleNamespace(label="virtio iodepth=4"))
FAILED = replace(RECORD, error="it died")


def said(capsys: pytest.CaptureFixture[str], run_s: float, ended: list[Record]) -> list[str]:
    """What is printed if each run takes so many seconds."""
    now = 0.0
    lines = Lines(lambda: now)
    lines.expect(len(ended))
    for repeat, record in enumerate(ended, 1):
        lines.begin(POINT, repeat)
        now += run_s
        lines.end(record)
    return capsys.readouterr().err.splitlines()


def test_a_line_comes_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, 7, [RECORD] * 12) == [
        "pyfio-virtio: 5 of 12 runs are done; about 49 s left",
        "pyfio-virtio: 10 of 12 runs are done; about 14 s left",
    ]


def test_a_short_sweep_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, 1, [RECORD] * 12) == []


def test_the_end_is_told_by_another_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, 40, [RECORD]) == []


def test_a_failed_run_is_told_at_once_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, 20, [FAILED, RECORD, RECORD]) == [
        "pyfio-virtio: failed: repeat 1: virtio iodepth=4: it died",
        "pyfio-virtio: 2 of 3 runs are done, 1 failed; about 20 s left",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(200, "about 3 min 20 s"), (7300, "about 2 h 1 min")]
)
def test_a_duration_reads_as_people_say_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text

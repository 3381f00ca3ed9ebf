# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables on wide and narrow terminals: cli/tables.py."""

import io

import pytest
from rich.console import Console

from pyfio_virtio.cli import tables

COLUMNS = ["restart", "p50 of stall", "errors"]
ROWS = [["1", "413.1 ms", "0"], ["at the end", "", "2"]]


def printed(monkeypatch: pytest.MonkeyPatch, width: int) -> list[str]:
    out = io.StringIO()

    def console(highlight: bool) -> Console:
        return Console(
            file=out, force_terminal=True, width=width, color_system=None, highlight=highlight
        )

    monkeypatch.setattr(tables, "Console", console)
    tables.print_table(COLUMNS, ROWS)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_a_table_has_a_line_for_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    assert printed(monkeypatch, 60)[1].split() == ["1", "413.1", "ms", "0"]


def test_text_continues_in_the_next_line_before_words_are_broken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = printed(monkeypatch, 30)
    assert lines[0].split() == ["p50", "of"]
    assert lines[1].split() == ["restart", "stall", "errors"]


def test_on_a_terminal_that_would_break_words_rows_are_lists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert printed(monkeypatch, 24) == [
        "restart: 1",
        "  p50 of stall: 413.1 ms",
        "  errors: 0",
        "restart: at the end",
        "  errors: 2",
    ]

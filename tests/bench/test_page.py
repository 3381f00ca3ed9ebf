# SPDX-License-Identifier: GPL-2.0-or-later
"""bench/page.py: the tables of the page are those of the stored results."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench import page
from bench.__main__ import ABOUT, FOLDER
from bench.page import Result, Row

ROW = Row("iodepth 1", "ours", "fio's libaio", "1.20 (1.10 to 1.30)")
RESULT = Result(
    name="peers",
    about="beside others",
    date="2026-01-02T03:04:05+00:00",
    commit="abc1234",
    quick=False,
    conditions="2 CPUs",
    rows=(ROW,),
    text=("| a |", "| --- |", "| 1 |"),
)
EMPTY = (
    "words\n\n<!-- summary -->\n<!-- end of summary -->\n\n<!-- peers -->\n<!-- end of peers -->\n"
)


def test_the_page_shows_what_is_stored() -> None:
    """Otherwise run `make bench`, or page.update() after a change of the page's form."""
    shown = (FOLDER / page.PAGE).read_text()
    assert page.page(shown, page.read(FOLDER)) == shown


def test_each_name_has_its_place_on_the_page() -> None:
    shown = (FOLDER / page.PAGE).read_text()
    assert [name for name in ABOUT if shown.count(f"<!-- {name} -->") != 1] == []


def test_a_row_says_on_which_commit_and_when_it_was_measured() -> None:
    row = "| peers | iodepth 1 | ours | fio's libaio | 1.20 (1.10 to 1.30) | abc1234 "
    assert f"{row}| 2026-01-02 03:04 |\n" in page.page(EMPTY, {"peers": RESULT})


@pytest.mark.parametrize(
    ("ratio", "is_doubted"),
    [
        ("0.82 (0.28 to 2.41)", True),
        ("1.00 (0.01 to 90.00)", True),
        ("1.02 (0.00 to 1.04)", True),
        ("0.89 (0.65 to 1.23)", False),  # narrow enough: there is no large difference
        ("0.17 (0.03 to 0.92)", False),  # wide, but ours is slower
        ("1.50 (2 rounds)", False),
    ],
)
def test_an_interval_that_says_nothing_is_called_so(ratio: str, is_doubted: bool) -> None:
    result = replace(RESULT, rows=(replace(ROW, ratio=ratio),), text=(f"| {ratio} | 3 |",))
    shown = page.page(EMPTY, {"peers": result})
    assert shown.count(f"| {ratio} *cannot tell* |") == (2 if is_doubted else 0)
    assert shown.count(f"| {ratio} |") == (0 if is_doubted else 2)


def test_old_tables_give_way_and_words_stay() -> None:
    old = page.page(EMPTY, {"peers": replace(RESULT, text=("an old table",))})
    new = page.page(old, {"peers": RESULT})
    assert "an old table" not in new
    assert new == page.page(EMPTY, {"peers": RESULT})
    assert new.startswith("words\n")
    assert "| 1 |\n\n2 CPUs.\n" in new


def test_what_was_not_measured_is_not_claimed() -> None:
    assert "Not measured on this code" in page.page(EMPTY, {})


def test_a_quick_result_is_called_so() -> None:
    shown = page.page(EMPTY, {"peers": replace(RESULT, quick=True)})
    assert "03:04 (quick) |" in shown
    assert "2 CPUs; quick: few rounds of short runs." in shown


def test_a_name_without_a_place_gets_one() -> None:
    shown = page.page(EMPTY, {"files": replace(RESULT, name="files")})
    assert "### files: beside others\n\n<!-- files -->\n\n| a |" in shown


def test_a_result_is_stored_beside_the_page(tmp_path: Path) -> None:
    (tmp_path / page.PAGE).write_text(EMPTY)
    page.update(tmp_path, RESULT)
    assert page.read(tmp_path) == {"peers": RESULT}
    assert (tmp_path / page.PAGE).read_text() == page.page(EMPTY, {"peers": RESULT})

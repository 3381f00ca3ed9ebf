# SPDX-License-Identifier: GPL-2.0-or-later
"""markdown.py: texts from data stay texts."""

import pytest

from pyfio_virtio.analysis import markdown


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", r"a\|b"),
        ("<script>", "&lt;script&gt;"),
        ("*bold* `code` [link](url)", r"\*bold\* \`code\` \[link\](url)"),
        ("_run_ of p99_ns", r"\_run\_ of p99_ns"),
        ("two\nlines", "two lines"),
        ("@all #12 &amp;", r"&#64;all \#12 &amp;amp;"),
        ("a\\b", r"a\\b"),
        ("-10% ± 2.5 µs", "-10% ± 2.5 µs"),
    ],
)
def test_markup_is_escaped(text: str, escaped: str) -> None:
    assert markdown.escape(text) == escaped


def test_a_table_has_a_line_for_each_row() -> None:
    text = markdown.table(("a|b", "c"), [("1\n2", "|")])
    assert text == "| a\\|b | c |\n| --- | --- |\n| 1 2 | \\| |"


def test_a_fence_is_longer_than_those_inside() -> None:
    assert markdown.fence("a ``` b") == "````\na ``` b\n````"

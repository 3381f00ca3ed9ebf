# SPDX-License-Identifier: GPL-2.0-or-later
"""Markdown, as pull requests show it: texts from data, which must not become markup, and tables.

All functions are pure, so any thread may call them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# An underscore inside a word, as in p99_ns, is no markup.
_MARKUP = re.compile(r"[\\`*\[\]|~#$]|(?<![^\W_])_|_(?![^\W_])")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"})


def escape(text: str) -> str:
    """A text on one line, which is shown as it is: no markup, HTML, table cell or mention."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split())).translate(_ENTITIES)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; its texts are escaped."""
    lines = [headings, ["---"] * len(headings)]
    texts = [[escape(cell) for cell in row] for row in rows]
    return "\n".join(
        f"| {' | '.join(cells)} |"
        for cells in ([escape(cell) for cell in lines[0]], lines[1], *texts)
    )


def fence(text: str) -> str:
    """A block of code, whose marks are longer than those in the text."""
    longest = max((len(each) for each in re.findall(r"`+", text)), default=0)
    marks = "`" * max(3, longest + 1)
    return f"{marks}\n{text}\n{marks}"

# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of bench/README.md, made of the results in bench/results/.

A result is what a bench of one name leaves for the page: its table, the rows for the table at the
page's head, and when and on which commit it was measured. The words of the page are written by
hand; what stands between two marks is replaced. All functions are pure, except read(), which reads
the results, and update(), which writes one result and the page.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pyfio_virtio import files

PAGE, RESULTS = "README.md", "results"
SUMMARY = "summary"
_FORM = "<!-- {} -->\n\n{}\n<!-- end of {} -->"
_COLUMNS = ("name", "conditions", "ours", "beside", "ratio", "commit", "date")
_QUICK = "quick: few rounds of short runs"
# A ratio as outcome.ratio_text() writes it.
_RATIO = re.compile(r"\d+\.\d+ \((?P<low>\d+\.\d+) to (?P<high>\d+\.\d+)\)")
# An interval that contains 1 says little if its ends differ by a larger factor.
_TOO_WIDE = 2.0
_DOUBT = " *cannot tell*"


@dataclass(frozen=True)
class Row:
    """A row of the table at the page's head: ours beside a peer."""

    conditions: str
    ours: str
    peer: str
    ratio: str  # with its interval


@dataclass(frozen=True)
class Result:
    """What a bench of one name found."""

    name: str
    about: str
    date: str
    commit: str
    quick: bool
    conditions: str  # under which it was measured, in one line
    rows: tuple[Row, ...]
    text: tuple[str, ...]  # the lines of its table and of what is said below

    @property
    def measured(self) -> str:
        """The date, for people."""
        return self.date[:16].replace("T", " ") + (" (quick)" if self.quick else "")


def result_of(stored: Mapping[str, Any]) -> Result:
    """The result in NAME.json of a bench's folder, without its runs."""
    environment = stored["environment"]
    return Result(
        name=stored["name"],
        about=stored["about"],
        date=environment["date"],
        commit=environment["commit"],
        quick=environment["quick"],
        conditions=stored["conditions"],
        rows=tuple(Row(**row) for row in stored["rows"]),
        text=tuple(stored["text"].splitlines()),
    )


def summary(results: Mapping[str, Result]) -> str:
    """The table at the page's head."""
    lines: list[Sequence[str]] = [_COLUMNS, ["---"] * len(_COLUMNS)]
    for each in results.values():
        for row in each.rows:
            where = (each.commit, each.measured)
            ratio = doubted(row.ratio)
            lines.append([each.name, row.conditions, row.ours, row.peer, ratio, *where])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def section(result: Result | None, name: str) -> str:
    """What the page shows of one name."""
    if result is None:
        return f"Not measured on this code: `make bench BENCH={name}`.\n"
    quick = f"; {_QUICK}" if result.quick else ""
    text = [doubted(line) for line in result.text]
    return "\n".join([*text, "", f"{result.conditions}{quick}."]) + "\n"


def doubted(text: str) -> str:
    """The text, with a word beside each ratio whose interval is too wide to say anything."""
    return _RATIO.sub(lambda found: found[0] + (_DOUBT if _is_too_wide(found) else ""), text)


def _is_too_wide(found: re.Match[str]) -> bool:
    low, high = float(found["low"]), float(found["high"])
    return low <= 1 <= high and high > _TOO_WIDE * low


def page(text: str, results: Mapping[str, Result]) -> str:
    """The page with the tables of these results. A name without a place gets one at the end."""
    for name, result in results.items():
        if f"<!-- {name} -->" not in text:
            text += f"\n### {name}: {result.about}\n\n{_FORM.format(name, '', name)}\n"
    for name in re.findall(r"^<!-- end of (.+) -->$", text, re.MULTILINE):
        found = results.get(name)
        text = _replaced(text, name, summary(results) if name == SUMMARY else section(found, name))
    return text


def _replaced(text: str, name: str, inner: str) -> str:
    between = re.compile(
        rf"^<!-- {re.escape(name)} -->$.*?^<!-- end of {re.escape(name)} -->$",
        re.MULTILINE | re.DOTALL,
    )
    return between.sub(lambda _: _FORM.format(name, inner, name), text)


# ---- files ---------------------------------------------------------------------------


def read(folder: Path) -> dict[str, Result]:
    """The results that are stored in the folder of the page, by name."""
    found = {}
    for path in sorted((folder / RESULTS).glob("*.json")):
        stored = json.loads(path.read_text())
        rows = tuple(Row(**row) for row in stored["rows"])
        found[path.stem] = Result(**{**stored, "rows": rows, "text": tuple(stored["text"])})
    return found


def update(folder: Path, result: Result) -> None:
    """Stores the result in the folder of the page, and shows it there."""
    (folder / RESULTS).mkdir(exist_ok=True)
    text = json.dumps(asdict(result), indent=1, ensure_ascii=False) + "\n"
    files.replace(folder / RESULTS / f"{result.name}.json", text)
    shown = folder / PAGE
    files.replace(shown, page(shown.read_text(), read(folder)))

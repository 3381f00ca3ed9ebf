# SPDX-License-Identifier: GPL-2.0-or-later
"""The rows of a sweep as a text for other programs: CSV, JSON, or one object on each line.

Owns the formats and how a file's name chooses one. Pure; any thread may call it. A line of the CSV
is a run, because many programs read lines: line ends inside a cell, as in a job file, are written
as \\n. JSON has them as they are.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from pyfio_virtio.errors import UsageError
from pyfio_virtio.results.record import Row

CSV, JSON, JSON_LINES = "csv", "json", "jsonl"


def text(rows: Sequence[Row], kind: str) -> str:
    """All rows in this format, with the end of the last line."""
    return _WRITERS[kind](rows)


def kind_of(path: Path) -> str:
    """The format that the name of a file asks for."""
    kind = path.suffix.lower().removeprefix(".")
    if kind not in _WRITERS:
        raise UsageError(
            f"cannot export to {path}",
            "its name does not say the format",
            "name a .csv, .json or .jsonl file, or use --csv or --json",
        )
    return kind


def _csv(rows: Sequence[Row]) -> str:
    file = io.StringIO()
    cells = [{name: _cell(value) for name, value in _flat(row).items()} for row in rows]
    columns = dict.fromkeys(name for row in cells for name in row)
    writer = csv.DictWriter(file, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(cells)
    return file.getvalue()


def _flat(row: Row) -> Row:
    return {name: value for name, value in row.items() if not isinstance(value, list)}


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    return value.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").replace("\n", "\\n")


def json_text(data: object, indent: int | None = 1) -> str:
    """Any data as JSON, which knows neither NaN nor infinity: they become null."""
    return json.dumps(_finite(data), indent=indent, allow_nan=False) + "\n"


def _finite(data: object) -> object:
    if isinstance(data, Mapping):
        return {name: _finite(value) for name, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def _json_lines(rows: Sequence[Row]) -> str:
    return "".join(json_text(row, None) for row in rows)


_WRITERS: Mapping[str, Callable[[Sequence[Row]], str]] = MappingProxyType(
    {CSV: _csv, JSON: json_text, JSON_LINES: _json_lines}
)

# SPDX-License-Identifier: GPL-2.0-or-later
"""Stored inputs: a text file for each target, with one input on each line.

A line is the input's name, a space, and its bytes in hexadecimal digits. A name begins with where
the input comes from: `run-` was recorded (record.py), `hand-` was written by hand, `reach-` reaches
code that no other input reaches (search.py), and `found-` once broke something.
"""

from collections.abc import Mapping
from pathlib import Path

Seeds = dict[str, bytes]


def read(path: Path) -> Seeds:
    if not path.exists():
        return {}
    pairs = (line.partition(" ") for line in path.read_text().splitlines())
    return {name: bytes.fromhex(digits) for name, _, digits in pairs}


def write(path: Path, seeds: Mapping[str, bytes]) -> None:
    path.parent.mkdir(exist_ok=True)
    lines = [f"{name} {seeds[name].hex()}\n" for name in sorted(seeds)]
    path.write_text("".join(lines))

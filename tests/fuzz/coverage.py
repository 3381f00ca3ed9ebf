# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts which lines and functions of the project's files inputs reach, with clang's counters."""

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.programs import BUILD, FuzzError, Target


@dataclass(frozen=True)
class Coverage:
    """Of one file."""

    file: str
    lines: int
    lines_reached: int
    functions: int
    functions_reached: int
    missed: tuple[int, ...]  # the lines that begin a region that no input reaches

    def describe(self) -> str:
        percent = 100 * self.lines_reached // max(self.lines, 1)
        lines = f"lines {self.lines_reached} of {self.lines} ({percent} %)"
        return f"{self.file}: {lines}, functions {self.functions_reached} of {self.functions}"


def _tool(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FuzzError(f"{command[0]} failed: {done.stderr.strip()}")
    return done.stdout


def _missed(segments: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """llvm-cov's segments: line, column, count, whether there is a count, whether it begins."""
    missed = {
        line
        for line, _, count, is_counted, begins, *_ in segments
        if is_counted and begins and not count
    }
    return tuple(sorted(missed))


def measure(target: Target, program: Path, inputs: Sequence[Path]) -> list[Coverage]:
    """Of the files at which the target aims."""
    raw, merged = BUILD / f"{target.name}.profraw", BUILD / f"{target.name}.profdata"
    environment = {**os.environ, "LLVM_PROFILE_FILE": str(raw)}
    replayed = subprocess.run(
        [program, *inputs], env=environment, capture_output=True, text=True, check=False
    )
    if replayed.returncode:
        raise FuzzError(f"{program} failed: {replayed.stderr.strip()}")
    _tool("llvm-profdata", "merge", "-sparse", str(raw), "-o", str(merged))
    sources = [str(target.side.folder / name) for name in target.aims]
    exported = _tool("llvm-cov", "export", f"-instr-profile={merged}", str(program), *sources)
    raw.unlink()
    files = json.loads(exported)["data"][0]["files"]
    return [_coverage(target, file) for file in files]


def _coverage(target: Target, file: dict) -> Coverage:  # type: ignore[type-arg]
    lines, functions = file["summary"]["lines"], file["summary"]["functions"]
    return Coverage(
        str(Path(file["filename"]).relative_to(target.side.folder)),
        lines["count"],
        lines["covered"],
        functions["count"],
        functions["covered"],
        _missed(file["segments"]),
    )

# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts which lines and functions inputs reach: of C by clang's counters, of Python by tracing."""

import importlib
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from tests.fuzz.programs import BUILD, ROOT, FuzzError, Target
from tests.fuzz.texts import Text


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


# ---- Python ----------------------------------------------------------------------------


def measure_text(text: Text, inputs: Sequence[Path]) -> list[Coverage]:
    """The same for a target in Python. Lines that run at import do not count."""
    files = {sys.modules[name].__file__ or "" for name in _modules(text)}
    seen: dict[str, set[int]] = {file: set() for file in files}

    def trace(frame: FrameType, event: str, _: Any) -> Any:  # noqa: ANN401 - as sys has it
        lines = seen.get(frame.f_code.co_filename)
        if lines is None:
            return None
        lines.add(frame.f_lineno if event == "line" else frame.f_code.co_firstlineno)
        return trace

    sys.settrace(trace)
    try:
        for path in inputs:
            text.run(path.read_bytes())
    finally:
        sys.settrace(None)
    return [_coverage_of_module(Path(file), lines) for file, lines in sorted(seen.items())]


def _modules(text: Text) -> list[str]:
    names = [name.removesuffix(".py").replace("/", ".") for name in text.aims]
    return [importlib.import_module(name).__name__ for name in names]


def _functions(code: CodeType) -> Iterator[CodeType]:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            if inner.co_flags & inspect.CO_OPTIMIZED:  # the others are the bodies of classes
                yield inner
            yield from _functions(inner)


def _coverage_of_module(file: Path, seen: set[int]) -> Coverage:
    functions = list(_functions(compile(file.read_text(), str(file), "exec")))
    lines = {
        line
        for function in functions
        for _, _, line in function.co_lines()
        if line and line != function.co_firstlineno
    }
    return Coverage(
        str(file.relative_to(ROOT)),
        len(lines),
        len(lines & seen),
        len(functions),
        sum(function.co_firstlineno in seen for function in functions),
        tuple(sorted(lines - seen)),
    )

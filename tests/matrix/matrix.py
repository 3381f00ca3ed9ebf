# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds fios and an engine for each, runs them, and shows that all other pairs are refused.

`make matrix` calls it. It builds below build/matrix and keeps what it built. It writes the tables
of docs/fio-releases.md anew if it tried all suites and sources of its own list, nothing failed, and
no result would be lost.
"""

import argparse
import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import fio_headers
from fio_headers import HeadersError
from rich.console import Console
from rich.table import Table

from tests.matrix import sources, trials
from tests.matrix.trials import Pair

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build" / "matrix"
PAGE = ROOT / "docs" / "fio-releases.md"
# build.py says this of sources that it refuses, which is no failure.
TOO_OLD = "is too old for the engine"
MISSING = "Sources that cannot be used"
NOT_HAD = "cannot be had"
BEGIN, END = "<!-- make matrix: begin -->\n", "<!-- make matrix: end -->\n"
Row = tuple[str, ...]


@dataclass(frozen=True)
class Engine:
    """One tree of sources: the fio and the engine that were built from it."""

    release: str
    origin: str
    tree: Path
    pair: Pair

    def number(self, header: str, name: str) -> str:
        found = re.search(rf"\b{name}\s*=?\s*(\d+)", (self.tree / header).read_text())
        return found[1] if found else "?"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# ---- building -------------------------------------------------------------------------------


def _run(command: Sequence[str], log: Path) -> None:
    """Raises HeadersError with the last line that the command wrote."""
    with log.open("w") as output:
        done = subprocess.run(
            command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        words = log.read_text(errors="replace").strip().splitlines() or ["no message"]
        raise HeadersError(words[-1])


def _build_fio(tree: Path) -> Path:
    fio_headers.configure(tree)
    jobs = f"-j{os.cpu_count()}"
    # fio's makefiles must not see the variables of ours.
    clean = ("env", "-u", "MAKEFLAGS", "-u", "MAKELEVEL", "-u", "FIO_SOURCE_DIR")
    _run([*clean, "make", "-C", str(tree), jobs, "fio"], BUILD / f"{tree.name}.make-output")
    return tree / "fio"


def build(tree: Path, origin: str) -> Engine:
    fio_headers.configure(tree)
    release = fio_headers.release_of(tree)
    folder = BUILD / f"{tree.name}-engine"
    say(f"Building an engine for {release} ({origin})")
    command = [sys.executable, "engine/build.py", "--output", str(folder / "fio_virtio")]
    _run([*command, "front-end", "--fio-tree", str(tree)], BUILD / f"{tree.name}.build-output")
    say(f"Building {release}")
    return Engine(release, origin, tree, Pair(_build_fio(tree), folder))


@dataclass(frozen=True)
class Candidate:
    """Sources that may be had."""

    label: str
    kind: str  # "suite", "upstream" or "tree"
    name: str

    def fetch(self) -> Path:
        if self.kind == "suite":
            return sources.debian_sources(self.name, BUILD)
        if self.kind == "upstream":
            wanted = next(each for each in sources.UPSTREAM if each.label == self.name)
            return sources.upstream_sources(wanted, BUILD)
        tree = Path(self.name).expanduser().resolve()
        if not (tree / "ioengines.h").exists():
            raise HeadersError(f"{self.name} has no sources of fio (no ioengines.h)")
        return tree


def candidates(suites: Sequence[str], trees: Sequence[str]) -> Iterator[Candidate]:
    for each in sources.UPSTREAM:
        yield Candidate(f"Ubuntu's {each.name}", "upstream", each.label)
    for suite in suites:
        yield Candidate(f"Debian {suite}", "suite", suite)
    for tree in trees:
        yield Candidate(tree, "tree", tree)


def build_all(wanted: Sequence[Candidate]) -> tuple[list[Engine], list[Row]]:
    """The engines, and what could not be had, is too old or failed to build, with the reason."""
    names: dict[Path, list[str]] = {}
    missing: list[Row] = []
    for each in wanted:
        try:
            names.setdefault(each.fetch(), []).append(each.label)
        except (HeadersError, OSError) as error:
            missing.append((each.label, _in_words(str(error))))
    engines: list[Engine] = []
    for tree, labels in names.items():
        try:
            engines.append(build(tree, ", ".join(labels)))
        except (HeadersError, OSError) as error:
            reason = _in_words(str(error))
            judged = reason if TOO_OLD in reason else f"FAILED to build: {reason}"
            missing.append((", ".join(labels), judged))
    return sorted(engines, key=lambda engine: engine.release), missing


def _in_words(text: str) -> str:
    """Without what is only true of this machine and this day, such as the archive's address."""
    text = re.sub(r" in /\S+", "", text.removeprefix("build: "))
    text = re.sub(r"https?://\S*/", "", text)
    return re.sub(r"\s*\[IP: [^\]]*\]", "", text).replace("  ", " ")


# ---- running --------------------------------------------------------------------------------


def verdict(failed: Sequence[str]) -> str:
    total = len(trials.TRIALS)
    return f"all {total} passed" if not failed else f"FAILED: {', '.join(failed)}"


def own_row(engine: Engine) -> Row:
    return (
        engine.release,
        engine.origin,
        "Debian's" if (engine.tree / "debian").exists() else "none",
        engine.number("ioengines.h", "FIO_IOOPS_VERSION"),
        engine.number("server.h", "FIO_SERVER_VER"),
        verdict(trials.failures(engine.pair)),
    )


def pair_rows(engines: Sequence[Engine]) -> list[Row]:
    """Engines in rows, fios in columns."""
    rows: list[Row] = []
    for ours in engines:
        cells = [
            "runs" if fio is ours else refused(Pair(fio.pair.fio, ours.pair.engine))
            for fio in engines
        ]
        rows.append((name_of(ours, engines), *cells))
    return rows


def name_of(engine: Engine, engines: Sequence[Engine]) -> str:
    alone = [each.release for each in engines].count(engine.release) == 1
    return engine.release if alone else f"{engine.release} ({engine.origin})"


def refused(pair: Pair) -> str:
    said = trials.refusal(pair)
    if "was built for" in said:
        return "refused: release"
    return "refused: layout" if "has other structures" in said else "NOT REFUSED"


def programs(suites: Sequence[str]) -> Iterator[tuple[str, Path | HeadersError]]:
    """fios as distributions built them."""
    for suite in suites:
        try:
            yield f"Debian {suite}", sources.debian_program(suite, BUILD)
        except HeadersError as error:
            yield f"Debian {suite}", error
    for each in sources.UBUNTU:
        try:
            yield each.label, sources.ubuntu_program(each, BUILD)
        except HeadersError as error:
            yield each.label, error


def program_row(label: str, fio: Path, engines: Sequence[Engine]) -> Row:
    release = trials.fio(Pair(fio, BUILD), "--version")
    name = release.stdout.strip() or f"does not start: {release.stderr.strip()}"
    same = [each for each in engines if each.release == name]
    for each in same:
        if not trials.refusal(pair := Pair(fio, each.pair.engine)).count("engine was built"):
            return label, name, verdict(trials.failures(pair)), f"of {each.origin}"
    reasons = sorted({refused(Pair(fio, each.pair.engine)) for each in engines})
    why = "all of those above" if not same else "all; its layout is not that of its release"
    return label, name, "; ".join(reasons), why


def program_rows(suites: Sequence[str], engines: Sequence[Engine]) -> Iterator[Row]:
    for label, fio in programs(suites):
        say(f"Running the fio of {label}")
        if isinstance(fio, HeadersError):
            yield label, "", NOT_HAD, _in_words(str(fio))
        else:
            yield program_row(label, fio, engines)


# ---- showing --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    title: str
    head: Row
    rows: Sequence[Row]

    def rich(self) -> Table:
        table = Table(*self.head, title=self.title, title_justify="left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        rule = tuple("---" for _ in self.head)
        lines = [f"| {' | '.join(row)} |" for row in (self.head, rule, *self.rows)]
        return "\n".join([f"{self.title}:", "", *lines, ""])


def tables(suites: Sequence[str], trees: Sequence[str]) -> list[Shown]:
    """Raises HeadersError if there is not one engine, because nothing was shown then."""
    engines, missing = build_all(list(candidates(suites, trees)))
    if not engines:
        reasons = "; ".join(f"{label}: {reason}" for label, reason in missing)
        raise HeadersError(f"no engine was built ({reasons})")
    own = [own_row(each) for each in engines]
    names = [name_of(each, engines) for each in engines]
    return [
        Shown(
            "Each fio that was built here, with the engine that was built from its sources",
            ("fio", "sources from", "patches", "interface", "server", "trials"),
            own,
        ),
        Shown(MISSING, ("sources", "reason"), missing),
        Shown("Each engine (row) in each fio (column)", ("", *names), pair_rows(engines)),
        Shown(
            "The fio of each distribution's package",
            ("package of", "fio", "result", "engine"),
            list(program_rows(suites, engines)),
        ),
    ]


def is_bad(shown: Sequence[Shown]) -> bool:
    cells = itertools.chain.from_iterable(row for each in shown for row in each.rows)
    return any("FAILED" in cell or "NOT REFUSED" in cell for cell in cells)


def lost(shown: Sequence[Shown]) -> list[str]:
    """The sources and packages that could not be had, but of which the page has results."""
    built, _, rest = PAGE.read_text().partition(f"{MISSING}:")
    origins = {label for row in _cells(built) if len(row) > 1 for label in row[1].split(", ")}
    ran = {row[0] for row in _cells(rest) if len(row) == 4 and row[2] != NOT_HAD}
    missing = [row[0] for each in shown if each.title == MISSING for row in each.rows]
    absent = [row[0] for each in shown for row in each.rows if NOT_HAD in row]
    gone = [*filter(origins.__contains__, missing), *filter(ran.__contains__, absent)]
    return list(dict.fromkeys(gone))


def _cells(text: str) -> list[list[str]]:
    rows = (line for line in text.splitlines() if line.startswith("| "))
    return [row.removeprefix("| ").removesuffix(" |").split(" | ") for row in rows]


def keep(shown: Sequence[Shown]) -> None:
    """Writes the tables between the two marks of the page."""
    head, rest = PAGE.read_text().split(BEGIN)
    _, tail = rest.split(END)
    day = datetime.now(UTC).date().isoformat()
    text = "\n".join(
        [
            f"This was the result of `make matrix` on {day}.",
            "",
            *(each.markdown() for each in shown),
        ]
    )
    PAGE.write_text(f"{head}{BEGIN}{text}{END}{tail}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Try the engine with many releases of fio.")
    parser.add_argument("--suites", nargs="*", default=sources.DEBIAN, help="suites of Debian")
    parser.add_argument("--trees", nargs="*", default=(), help="folders with sources of fio")
    chosen = parser.parse_args()
    if shutil.which("apt-get") is None:
        say("matrix: this system has no apt-get, which fetches the fios")
        return fio_headers.EXIT_UNAVAILABLE
    BUILD.mkdir(parents=True, exist_ok=True)
    try:
        shown = tables(chosen.suites, chosen.trees)
    except HeadersError as error:
        say(f"matrix: {error}")
        return 1
    for each in shown:
        Console().print(each.rich())
    if is_bad(shown):
        return 1
    if tuple(chosen.suites) != sources.DEBIAN or chosen.trees:
        return 0
    if gone := lost(shown):
        say(
            f"matrix: {PAGE} stays as it is, because it has results of {', '.join(gone)}, which "
            "could not be had now; if they are gone for good, remove them from that page first"
        )
        return 1
    keep(shown)
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: GPL-2.0-or-later
"""Which room may know of which: the directions that keep the parts apart.

A new room gets a line in the table of its program. What is not listed there is not allowed.
"""

import ast
import re
import statistics
import subprocess
import sys
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest

import build as engine_build

ROOT = Path(__file__).resolve().parent.parent
ENGINE = ROOT / "engine"
PACKAGE = ROOT / "pyfio_virtio"

# ---- C -----------------------------------------------------------------------------------------

# Which rooms of the front-end may include which others. api.h is everybody's.
FRONT_END: dict[str, set[str]] = {
    "base": set(),
    "vhost": {"base"},
    "memory": {"base", "vhost"},
    "ring": {"base"},
    "disk": {"base", "ring"},
    "device": {"base", "vhost", "memory", "ring", "disk"},
    "wait": {"base"},
    "library": {"base", "memory", "disk", "device", "wait"},
    "fio": {"base", "device", "wait"},
}
# Which rooms of the back-end may include which others. backend.c, beside them, includes any.
BACK_END: dict[str, set[str]] = {
    "base": set(),
    "memory": {"base"},
    "ring": {"base", "memory"},
    "storage": {"base", "memory", "ring"},
    "device": {"base", "memory", "ring", "storage"},
    "blk": {"base", "ring", "storage", "device"},
    "scsi": {"base", "ring", "storage", "device"},
    "serve": {"base", "ring", "storage", "device"},
    "protocol": {"base", "memory", "ring", "device", "serve"},
    "server": {"base", "memory", "ring", "storage", "device", "serve", "protocol"},
}
# Both programs: the folder of its rooms, and what each room may include.
PROGRAMS = {ENGINE: FRONT_END, ENGINE / "backend": BACK_END}
# What the two programs share.
SHARED = "../vhost/proto.h"
# fio's own headers, which one file alone includes.
FIO_HEADERS = {"fio.h", "optgroup.h"}
FIO_FILE = ENGINE / "fio" / "compat.h"
QUOTED = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
ANGLED = re.compile(r"^\s*#\s*include\s+<([^>]+)>", re.MULTILINE)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def c_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.[ch]"))


def files_in_rooms(folder: Path) -> list[Path]:
    return [path for room in PROGRAMS[folder] for path in c_files(folder / room)]


def front_end_files() -> list[Path]:
    return files_in_rooms(ENGINE)


def rooms_included(path: Path) -> set[str]:
    headers = set(QUOTED.findall(path.read_text())) - {SHARED}
    return {header.partition("/")[0] for header in headers if "/" in header}


def rooms_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir()} - {"__pycache__"}


def test_each_file_of_the_front_end_lies_in_a_room() -> None:
    assert rooms_in(ENGINE) - {"backend", "examples"} == set(FRONT_END)
    assert [path.name for path in ENGINE.glob("*.[ch]")] == ["api.h"]


def test_each_file_of_the_back_end_lies_in_a_room() -> None:
    folder = ENGINE / "backend"
    assert rooms_in(folder) == set(BACK_END)
    assert {path.name for path in folder.glob("*.[ch]")} == {"api.h", "backend.c"}


@pytest.mark.parametrize(
    ("folder", "path"),
    [(folder, path) for folder in PROGRAMS for path in files_in_rooms(folder)],
    ids=lambda path: name_of(path),
)
def test_a_room_includes_only_what_it_may(folder: Path, path: Path) -> None:
    room = path.relative_to(folder).parts[0]
    assert rooms_included(path) <= PROGRAMS[folder][room] | {room}


@pytest.mark.parametrize(
    ("folder", "room"), [(folder, room) for folder, rooms in PROGRAMS.items() for room in rooms]
)
def test_the_head_text_of_a_room_names_the_rooms_that_it_may_use(folder: Path, room: str) -> None:
    text = (folder / room / "README.md").read_text()
    may_use = re.search(r"^It may use:\s(.*?)\.$", text, re.MULTILINE | re.DOTALL)
    assert may_use, "a line `It may use: ...` is missing"
    assert set(re.findall(r"`(\w+)/`", may_use[1])) == PROGRAMS[folder][room]


@pytest.mark.parametrize("path", front_end_files(), ids=name_of)
def test_one_file_alone_includes_fio(path: Path) -> None:
    included = set(QUOTED.findall(path.read_text()))
    assert path == FIO_FILE or not included & FIO_HEADERS


@pytest.mark.parametrize("path", c_files(ENGINE), ids=name_of)
def test_nothing_in_c_includes_python(path: Path) -> None:
    assert "Python.h" not in ANGLED.findall(path.read_text())


@pytest.mark.parametrize("path", c_files(ENGINE / "backend"), ids=name_of)
def test_the_back_end_shares_only_the_protocol_with_the_front_end(path: Path) -> None:
    folder = ENGINE / "backend"
    here = {str(header.relative_to(folder)) for header in folder.rglob("*.h")}
    assert set(QUOTED.findall(path.read_text())) <= here | {SHARED}


def users_of_symbols(sources: list[Path], folder: Path, *flags: str) -> dict[str, set[str]]:
    """For each file, the others whose functions or data it uses."""
    names = [name_of(source) for source in sources]
    objects = [folder / f"{number}.o" for number in range(len(sources))]

    def compile_one(pair: tuple[Path, Path]) -> str:
        source, target = pair
        command = ["gcc", *flags, "-O0", "-w", "-c", str(source), "-o", str(target)]
        subprocess.run(command, check=True)
        return subprocess.run(["nm", target], capture_output=True, text=True, check=True).stdout

    with ThreadPoolExecutor() as pool:
        listings = list(pool.map(compile_one, zip(sources, objects, strict=True)))
    defined = re.compile(r"^\w+ [A-TVX-Z] (\w+)$", re.MULTILINE)
    owner = {
        symbol: name
        for name, listing in zip(names, listings, strict=True)
        for symbol in defined.findall(listing)
    }
    undefined = re.compile(r"^\s+U (\w+)$", re.MULTILINE)
    return {
        name: {owner[symbol] for symbol in undefined.findall(listing) if symbol in owner}
        for name, listing in zip(names, listings, strict=True)
    }


def cycles(graph: Mapping[str, Collection[str]]) -> list[str]:
    """What reaches itself by way of others."""

    def reached(node: str, seen: set[str]) -> set[str]:
        for other in set(graph.get(node, ())) - seen:
            seen |= {other} | reached(other, seen | {other})
        return seen

    return [node for node in graph if node in reached(node, set())]


def defines(folder: Path) -> tuple[str, ...]:
    return (
        *("-std=gnu11", "-D_GNU_SOURCE", f"-iquote{folder}"),
        *('-DENGINE_VERSION=""', "-DSLEEPY_POLL_DEFAULT=0"),
    )


def test_no_two_files_of_the_front_end_call_each_other(tmp_path: Path) -> None:
    sources = engine_build.library_sources()
    assert cycles(users_of_symbols(sources, tmp_path, *defines(ENGINE))) == []


@pytest.fixture(scope="module")
def back_end_users(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    folder = ENGINE / "backend"
    sources = sorted(folder.rglob("*.c"))
    return users_of_symbols(sources, tmp_path_factory.mktemp("objects"), *defines(folder))


def test_no_two_files_of_the_back_end_call_each_other(
    back_end_users: dict[str, set[str]],
) -> None:
    assert cycles(back_end_users) == []


@pytest.mark.parametrize("room", BACK_END)
def test_a_room_of_the_back_end_calls_only_what_it_may(
    room: str, back_end_users: dict[str, set[str]]
) -> None:
    prefix = f"engine/backend/{room}/"
    used = {
        other
        for name in back_end_users
        if name.startswith(prefix)
        for other in back_end_users[name]
    }
    assert {name.split("/")[2] for name in used} <= BACK_END[room] | {room}


@pytest.mark.parametrize("folder", PROGRAMS, ids=name_of)
def test_no_two_headers_include_each_other(folder: Path) -> None:
    graph = {
        name_of(header): {name_of(folder / name) for name in QUOTED.findall(header.read_text())}
        for header in files_in_rooms(folder)
        if header.suffix == ".h"
    }
    assert graph
    assert cycles(graph) == []


@pytest.mark.parametrize("rooms", [FRONT_END, BACK_END], ids=["front-end", "back-end"])
def test_no_two_rooms_may_use_each_other(rooms: dict[str, set[str]]) -> None:
    assert cycles(rooms) == []


def is_hand_written_code(path: Path) -> bool:
    return path.suffix in (".c", ".h", ".py") and "build" not in path.parts


@pytest.mark.parametrize(
    "path",
    [
        path
        for folder in (ENGINE, PACKAGE, ROOT / "analysis", ROOT / "bench")
        for path in sorted(folder.rglob("*"))
        if is_hand_written_code(path.relative_to(ROOT))
    ],
    ids=name_of,
)
def test_a_file_stays_under_450_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 450


# A function of ours begins in column 0 with a name and ends with a brace in column 0.
FUNCTION = re.compile(r"^(?:\w[^;{}#]*?\))\n\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)


def test_the_median_function_in_c_is_shorter_than_12_lines() -> None:
    bodies = [body for path in c_files(ENGINE) for body in FUNCTION.findall(path.read_text())]
    assert statistics.median(len(body.splitlines()) for body in bodies) < 12


# ---- Python ------------------------------------------------------------------------------------

# Which rooms of the package may import which others. Those in BELOW are everybody's.
ROOMS: dict[str, set[str]] = {
    "machine": set(),
    "engine": set(),
    "fio": {"machine"},
    "builds": {"engine", "fio", "machine"},
    "backends": {"engine", "machine"},
    "disk": {"engine", "machine"},
    "restarts": {"backends", "disk", "machine"},
    "results": {"fio", "machine"},
    "explain": set(),
    "hosts": {"backends", "builds", "engine", "fio", "machine", "results"},
    "sweep": {"backends", "builds", "engine", "fio", "hosts", "machine", "results"},
    "tune": {"backends", "fio", "machine", "results", "sweep"},
    "cli": {
        *("backends", "builds", "disk", "engine", "explain", "fio", "hosts", "machine"),
        *("restarts", "results", "sweep", "tune"),
    },
}
BELOW = {"efficiency", "errors", "files", "sizes"}
# Beside the rooms: one run of a job, what it may touch, and what this machine lacks for it.
BESIDE = {"reach", "convert", "run", "run_hosts", "explaining", "doctor"}
MAY_USE_BESIDE = {"sweep": {"reach"}, "cli": BESIDE}
# Slow to import, so imported by what needs them, when it runs.
HEAVY = {"asyncio", "importlib.metadata", "jinja2", "matplotlib", "numpy", "pandas", "psutil"}
# What analysis reads: results as they were stored.
RESULTS = {"results", "explain", "fio.directions", "fio.output", "engine.counters", *BELOW}


@cache
def imports(path: Path, *, anywhere: bool = True) -> frozenset[str]:
    """Modules that the file imports, as dotted names; anywhere: also inside functions."""
    tree = ast.parse(path.read_text())
    nodes = list(ast.walk(tree)) if anywhere else tree.body
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def modules() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if "analysis" not in path.parts]


def analysis_modules() -> list[Path]:
    return sorted((ROOT / "analysis").glob("*.py"))


def room_of(path: Path) -> str:
    """The folder, or the module's own name where it lies beside the rooms."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def package_imports(path: Path, *, anywhere: bool = True) -> set[str]:
    """What the file imports of the package, without the package's name."""
    names = imports(path, anywhere=anywhere)
    return {
        name.removeprefix("pyfio_virtio.") for name in names if name.startswith("pyfio_virtio.")
    }


def modules_imported(path: Path) -> set[str]:
    """Which modules the file imports when it is loaded, as ROOM.MODULE."""
    known = {
        ".".join(module.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        for module in modules()
    }
    names = package_imports(path, anywhere=False)
    return {".".join(name.split(".")[:n]) for name in names for n in (1, 2)} & known - set(ROOMS)


def in_rooms() -> list[Path]:
    return [path for path in modules() if room_of(path) in ROOMS]


def below_cli() -> list[Path]:
    return [path for path in modules() if room_of(path) not in ("cli", "__main__")]


def test_each_module_lies_in_a_room_or_beside_them() -> None:
    beside = {path.stem for path in PACKAGE.glob("*.py")}
    assert beside == BELOW | BESIDE | {"__init__", "__main__", "aio"}
    assert {room_of(path) for path in modules()} - beside == set(ROOMS)


@pytest.mark.parametrize("path", in_rooms(), ids=name_of)
def test_a_room_imports_only_what_it_may(path: Path) -> None:
    room = room_of(path)
    used = {name.partition(".")[0] for name in package_imports(path)}
    allowed = ROOMS[room] | MAY_USE_BESIDE.get(room, set()) | BELOW | {room}
    assert used - ({"analysis"} if room == "cli" else set()) <= allowed


@pytest.mark.parametrize("room", ROOMS)
def test_the_head_text_of_a_package_names_the_rooms_that_it_may_use(room: str) -> None:
    text = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text())) or ""
    may_use = re.search(r"^It may use: (.*?)\.$", text, re.MULTILINE | re.DOTALL)
    assert may_use, "a line `It may use: ...` is missing"
    assert set(re.findall(r"\w+", may_use[1])) - {"nothing"} == ROOMS[room]


@pytest.mark.parametrize("path", below_cli(), ids=name_of)
def test_only_the_commands_know_click_and_rich(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & {"click", "rich"}


# builtin is a program of its own: the process of the built-in back-end.
@pytest.mark.parametrize(
    "path", [path for path in below_cli() if path.stem != "builtin"], ids=name_of
)
def test_only_programs_print(path: Path) -> None:
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    assert not [c.lineno for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"]


def test_one_module_loads_shared_objects() -> None:
    loader = "importlib.machinery.ExtensionFileLoader"
    files = [*modules(), *analysis_modules()]
    assert [name_of(path) for path in files if loader in imports(path)] == [
        "pyfio_virtio/engine/engine.py"
    ]


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): modules_imported(path)
        for path in modules()
    }
    assert cycles(graph) == []


@pytest.mark.parametrize("path", analysis_modules(), ids=name_of)
def test_analysis_knows_results_alone(path: Path) -> None:
    known = tuple(f"{name}." for name in RESULTS | {"analysis"})
    assert [name for name in package_imports(path) if not f"{name}.".startswith(known)] == []


@pytest.mark.parametrize(
    "path", [*(ROOT / "bench").rglob("*.py"), *(ROOT / "tests").rglob("*.py")], ids=name_of
)
def test_analysis_is_imported_by_one_name(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & {"analysis"}


@pytest.mark.parametrize("path", [*modules(), *analysis_modules()], ids=name_of)
def test_the_package_imports_analysis_by_one_name(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & {"analysis"}


def imported_by(module: str) -> set[str]:
    show = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", show], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_the_commands_start_without_what_is_slow_to_import() -> None:
    assert not HEAVY & imported_by("pyfio_virtio.cli.main")


def test_a_back_end_starts_without_what_only_others_need() -> None:
    others = {"concurrent.futures", "pyfio_virtio.disk", "tempfile"}
    assert not (HEAVY | others) & imported_by("pyfio_virtio.backends.builtin")

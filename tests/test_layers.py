# SPDX-License-Identifier: GPL-2.0-or-later
"""Which file may know of which: the directions that keep the parts apart.

A new C file gets a line in MAY_INCLUDE. What is not listed there is not allowed.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ENGINE = ROOT / "engine"
PACKAGE = ROOT / "pyfio_virtio"

# ---- C: quoted includes; a part is the files that share a name, as virtq.h and virtq.c ----------

# Known to everyone: they know of nobody but api.h.
LEAVES = {"api", "barrier", "clock", "counters", "error", "eventfd", "vhost_proto"}
# fio's own headers, which fio_compat.h alone includes.
FIO = {"fio", "optgroup"}
# Made when the engine is built, out of fio's sources.
GENERATED = {"fio_known_options"}
# Which other parts, beside the leaves, a part may include.
MAY_INCLUDE: dict[str, set[str]] = {
    **{leaf: set() for leaf in LEAVES},
    "about": set(),
    # Shared memory and the socket know nothing of rings.
    "extents": set(),
    "memory": {"extents"},
    "vhost_wire": {"vhost_user"},
    "vhost_user": {"vhost_wire", "memory"},
    # Rings stand on plain pointers: no socket, no device.
    "virtq": set(),
    "virtq_split": {"virtq"},
    "virtq_packed": {"virtq"},
    # A way of waiting knows a callback and a file descriptor.
    "contest": set(),
    "adaptive": {"contest"},
    "wait": {"adaptive", "wait_adaptive", "wait_steps"},
    "wait_steps": {"wait"},
    "wait_adaptive": {"wait", "wait_steps"},
    # What the two kinds of disk have in common; they never know each other.
    "disk": {"virtq"},
    "blk": {"disk", "virtq"},
    "scsi": {"disk", "virtq", "sense"},
    "sense": set(),
    "queue": {"disk", "virtq"},
    "execute": {"queue"},
    # A device: what it has; and above it how it is negotiated, shared, started, discovered; and
    # above these, how it comes and goes.
    "device": {"disk", "queue", "memory", "vhost_user", "execute", "share"},
    "share": {"device", "memory", "vhost_user"},
    "negotiate": {"device", "blk", "scsi"},
    "start": {"device", "share", "scsi"},
    "discover": {"device", "execute", "blk", "scsi"},
    "lifecycle": {"device", "negotiate", "start", "discover"},
    "registry": {"device"},
    # Devices for many threads: who looks, which blocks are whose, steps, and the calls.
    "futex": set(),
    "poller": {"futex", "wait"},
    "range_lock": set(),
    "transfer": {"disk", "poller", "range_lock"},
    "shared_queue": {"device", "transfer", "carry"},
    "carry": {"shared_queue"},
    "blocking": {"shared_queue", "carry"},
    "async": {"blocking", "carry"},
    "attach": {"blocking"},
    # fio's glue, the only part that knows fio.
    "fio_compat": FIO,
    "fio_options": {"fio_compat", "wait"},
    "fio_job": {"device", "fio_options", "wait"},
    "fio_engine": {"fio_job", "fio_guard"},
    # Before all of these: whether the fio that runs is the one that was built for.
    "fio_guard": {"fio_compat"},
    "fio_layout": {"fio_compat", "fio_guard"} | GENERATED,
    "fio_rehearsal": {"fio_compat", "fio_guard"},
    "fio_setup": {"fio_job", "registry"},
    "fio_start": {"fio_job", "registry"},
    "fio_checks": {"fio_job"},
    "fio_watch": {"fio_job"},
    "fio_buffers": {"fio_job"},
    "fio_stats": {"fio_job"},
}
QUOTED = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
ANGLED = re.compile(r"^\s*#\s*include\s+<([^>]+)>", re.MULTILINE)


def c_files(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.c"), *folder.glob("*.h")])


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", c_files(ENGINE), ids=name_of)
def test_the_front_end_includes_only_what_it_may(path: Path) -> None:
    included = {Path(header).stem for header in QUOTED.findall(path.read_text())}
    assert path.stem in MAY_INCLUDE, "a new part: say in MAY_INCLUDE what it may know"
    assert included - LEAVES - {path.stem} <= MAY_INCLUDE[path.stem]


@pytest.mark.parametrize("path", sorted(ENGINE.rglob("*.[ch]")), ids=name_of)
def test_nothing_in_c_includes_python(path: Path) -> None:
    assert "Python.h" not in ANGLED.findall(path.read_text())


@pytest.mark.parametrize("path", c_files(ENGINE / "backend"), ids=name_of)
def test_the_back_end_shares_only_the_protocol_with_the_front_end(path: Path) -> None:
    here = {header.name for header in (ENGINE / "backend").glob("*.h")}
    assert set(QUOTED.findall(path.read_text())) <= here | {"../vhost_proto.h"}


def cycles(graph: Mapping[str, Collection[str]]) -> list[str]:
    """What reaches itself by way of others."""

    def reached(node: str, seen: set[str]) -> set[str]:
        for other in set(graph.get(node, ())) - seen:
            seen |= {other} | reached(other, seen | {other})
        return seen

    return [node for node in graph if node in reached(node, set())]


# ---- Python ------------------------------------------------------------------------------------

# Which rooms of the package may import which others. errors and sizes are everybody's.
ROOMS: dict[str, set[str]] = {
    "machine": set(),
    "engine": set(),
    "fio": {"machine"},
    "backends": {"engine", "machine"},
    "disk": {"engine"},
    "results": {"fio"},
    "sweep": {"backends", "engine", "fio", "machine", "results"},
    "cli": {"backends", "disk", "engine", "fio", "machine", "results", "sweep"},
}
BELOW = {"errors", "sizes"}
# Beside the rooms: one run of a job, what it may touch, and what this machine lacks for it.
BESIDE = {"reach", "convert", "run", "doctor"}
MAY_USE_BESIDE = {"sweep": {"reach"}, "cli": BESIDE}
# Slow to import, so imported by what needs them, when it runs.
HEAVY = {"jinja2", "matplotlib", "numpy", "pandas"}
# What analysis reads: results as they were stored.
RESULTS = {"results", "fio.output", "engine.counters", "errors"}


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
    assert beside == BELOW | BESIDE | {"__init__", "__main__"}
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
    may_use = re.search(r"^It may use: (.*?)\.$", text, re.MULTILINE)
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


def test_the_commands_start_without_what_is_slow_to_import() -> None:
    show = "import sys, pyfio_virtio.cli.main; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", show], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not HEAVY & set(done.stdout.split())

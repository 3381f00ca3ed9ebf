# SPDX-License-Identifier: GPL-2.0-or-later
"""The names of the C library: what it declares and exports, and that no other name matters."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pyfio_virtio.backends.backends import Backend
from pyfio_virtio.engine import engine
from tests.engine.library.installed import (
    HEADERS,
    ROOT,
    STRICT,
    build,
    code_of,
    execute,
    functions_of,
    run,
)
from tests.pyfio_virtio.disks import Kind

HERE = Path(__file__).parent
# The names with their versions, one in a line. A release adds lines; it never takes one away.
COMMITTED = HERE / "exported.txt"
# What cc and the linker add to each shared object.
OF_THE_COMPILER = re.compile(r"_init|_fini|_*\w+_tm_clones|frame_dummy|__do_global_dtors_aux")


def exported(shared_object: Path) -> set[str]:
    listing = run("nm", "--dynamic", "--defined-only", "--with-symbol-versions", shared_object)
    return {line.split()[-1] for line in listing.splitlines()}


def test_the_library_exports_what_the_committed_list_says(prefix: Path) -> None:
    names = exported(prefix / "lib" / "libpyfio_virtio.so")
    assert sorted(names) == COMMITTED.read_text().split()


def test_the_library_exports_what_its_header_declares(prefix: Path) -> None:
    names = exported(prefix / "lib" / "libpyfio_virtio.so")
    functions = {name.partition("@")[0] for name in names if "@@" in name}
    assert functions - {"PYFIO_VIRTIO_0.1"} == functions_of(prefix / "include" / HEADERS[0])


def test_debians_list_of_symbols_has_the_names_of_the_map() -> None:
    mapped = set()
    nodes = (ROOT / "engine" / "library" / "pyfio_virtio.map").read_text()
    for version, names in re.findall(r"^(\S+) \{\s*global:(.*?)local:", nodes, re.M | re.S):
        mapped |= {f"{name}@{version}" for name in (version, *re.findall(r"\w+", names))}
    listed = (ROOT / "debian" / "libpyfio-virtio0.symbols").read_text()
    assert set(re.findall(r"^ (\S+@\S+) ", listed, re.M)) == mapped


@pytest.mark.parametrize("header", HEADERS)
def test_each_name_of_the_header_has_the_prefix(prefix: Path, header: str) -> None:
    path = prefix / "include" / header
    code = code_of(path)
    macros = set(re.findall(r"^#define (\w+)", code, re.MULTILINE))
    enumerators = set(re.findall(r"^\t([A-Z]\w+) = ", code, re.MULTILINE))
    types = set(re.findall(r"\b(?:struct|enum) (\w+)", code)) - {"name", "iovec"}
    assert all(name.startswith("PYFIO_") for name in macros | enumerators)
    assert all(name.startswith("pyfio_") for name in types | functions_of(path))


def test_each_function_has_a_macro(prefix: Path) -> None:
    header, version = (prefix / "include" / name for name in HEADERS)
    macros = set(re.findall(r"^#define PYFIO_HAS_(\w+) 1$", version.read_text(), re.MULTILINE))
    assert {f"pyfio_{name.lower()}" for name in macros} == functions_of(header)


def test_the_header_has_the_projects_version(prefix: Path, tmp_path: Path) -> None:
    source = tmp_path / "version.c"
    source.write_text("""
#include <pyfio_virtio.h>
#include <stdio.h>
int main(void)
{
    printf("%d.%d.%d %d %s", PYFIO_VERSION_MAJOR, PYFIO_VERSION_MINOR,
           PYFIO_VERSION_PATCH, PYFIO_VERSION, pyfio_version());
    return 0;
}
""")
    said = execute(prefix, build(prefix, source, tmp_path / "version")).split()
    major, minor, patch = map(int, engine.version().split("."))
    number = major * 1_000_000 + minor * 1_000 + patch
    assert said == [engine.version(), str(number), engine.version()]


@pytest.mark.parametrize(
    "compiler", [("gcc", "-std=c99"), ("gcc", "-std=c11"), ("g++", "-std=c++17")], ids=" ".join
)
def test_the_header_compiles_without_a_warning(
    prefix: Path, tmp_path: Path, compiler: tuple[str, str]
) -> None:
    """-Wpadded: a later member that took the place of padding would not change the size."""
    source = tmp_path / ("user.c" if compiler[0] == "gcc" else "user.cpp")
    header = code_of(prefix / "include" / HEADERS[0])
    structures = re.findall(r"^struct (\w+) \{", header, re.MULTILINE)
    assert len(structures) == 5
    uses = "".join(
        f"\tstruct {name} s{i} = PYFIO_INIT({name});\n\tsum += s{i}.struct_size;\n"
        for i, name in enumerate(structures)
    )
    source.write_text(
        f"#include <pyfio_virtio.h>\nint main(void)\n{{\n\tsize_t sum = 0;\n{uses}"
        "\treturn sum == 0 || !pyfio_version();\n}\n"
    )
    include = ("-I", str(prefix / "include"), "-L", str(prefix / "lib"), "-lpyfio_virtio")
    target = tmp_path / "user"
    run(*compiler, *STRICT, "-Wpadded", source, *include, "-o", target)
    execute(prefix, target)


def test_calls_inside_the_library_reach_its_own_functions(prefix: Path) -> None:
    """Also those of its exported functions, whatever a program defines."""
    relocations = run("readelf", "--relocs", "--wide", prefix / "lib" / "libpyfio_virtio.so")
    assert "pyfio_" not in relocations


def names_inside(library: Path) -> set[str]:
    """Of the functions that the library does not export, and of those of api.h."""
    listing = run("nm", "--defined-only", library)
    inside = set(re.findall(r"^\w+ t ([a-z]\w*)$", listing, re.MULTILINE))
    found = inside | functions_of(ROOT / "engine" / "api.h")
    return {name for name in found if not OF_THE_COMPILER.fullmatch(name)}


@pytest.mark.parametrize("options", [(), ("-fPIE", "-pie"), ("-fno-pie", "-no-pie")])
def test_a_programs_own_functions_change_nothing(
    prefix: Path, tmp_path: Path, serve: Callable[..., Backend], options: tuple[str, ...]
) -> None:
    """It defines and exports each name that the library uses inside, and each one aborts."""
    names = names_inside(prefix / "lib" / "libpyfio_virtio.so")
    assert {"error_message", "memory_free", "device_read"} <= names
    own = "\n".join(f"void {name}(void);\nvoid {name}(void) {{ abort(); }}" for name in names)
    source = tmp_path / "collides.c"
    source.write_text(f"#include <stdlib.h>\n{own}\n{(HERE / 'collides.c').read_text()}")
    target = build(prefix, source, tmp_path / "collides", "-rdynamic", "-fno-builtin", *options)
    backend = Kind("builtin", 512).start(serve)
    execute(prefix, target, backend.socket)


def test_a_library_of_another_release_says_what_it_lacks(prefix: Path, tmp_path: Path) -> None:
    """The loader, at the start, and not the program in its middle."""
    source = tmp_path / "needs.c"
    source.write_text(
        "int pyfio_of_tomorrow(void);\nint main(void) { return pyfio_of_tomorrow(); }\n"
    )
    tomorrow = tmp_path / "tomorrow.c"
    tomorrow.write_text("int pyfio_of_tomorrow(void);\nint pyfio_of_tomorrow(void) { return 0; }\n")
    script = tmp_path / "tomorrow.map"
    script.write_text("PYFIO_VIRTIO_0.1 { };\nPYFIO_VIRTIO_0.2 { global: pyfio_of_tomorrow; };\n")
    (tmp_path / "lib").mkdir()
    library = tmp_path / "lib" / "libpyfio_virtio.so"
    soname = "-Wl,-soname,libpyfio_virtio.so.0"
    run(
        "gcc", "-shared", "-fPIC", tomorrow, f"-Wl,--version-script={script}", soname, "-o", library
    )
    program = tmp_path / "needs"
    run("gcc", source, f"-L{library.parent}", "-lpyfio_virtio", "-o", program)
    done = subprocess.run(
        [program],
        env={"LD_LIBRARY_PATH": str(prefix / "lib")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "PYFIO_VIRTIO_0.2" in done.stderr


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (engine.NAME, {"ioengine", "get_ioengine", f"PyInit_{engine.NAME}"}),
        (engine.BACKEND_NAME, {f"PyInit_{engine.BACKEND_NAME}"}),
    ],
)
def test_what_fio_and_python_load_exports_only_what_they_look_for(
    name: str, wanted: set[str]
) -> None:
    assert exported(engine.folder() / name) <= wanted

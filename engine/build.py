# SPDX-License-Identifier: GPL-2.0-or-later
"""Compiles the engine, the built-in back-end and the C library, each into one shared object.

Two programs load the file fio_virtio: fio loads it as an I/O engine (dlopen of exactly that name,
then get_ioengine()), and Python imports it as the cffi module `fio_virtio`. The file has no suffix,
so Python must be told its path:

    loader = importlib.machinery.ExtensionFileLoader("fio_virtio", str(path))
    spec = importlib.util.spec_from_file_location("fio_virtio", path, loader=loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    module.lib, module.ffi

The built-in back-end is the cffi module `vhost_backend`, in a file of that name, which is imported
in the same way.

The C library is the engine without its fio hooks and without the cffi module, for programs in C.

Unit tests call internal functions of the engine through another module, `engine_internals`, which
is built from the same C files with more declarations. So the files that users load export nothing
that only tests need.

Without fio's headers, the module fio_virtio is built without fio's hooks. Python can use it, and
fio refuses it.

fio lacks Python's symbols, so those that cffi uses are bound at the first call (-z lazy). Python
lacks fio's symbols, so those that the engine uses are declared weak. This file runs as one process
with cffi. It fetches nothing (fio_headers.py does that), and it does not decide when to build (the
Makefile, setup.py and `pyfio-virtio build-engine` do). In an installed package, this folder is
pyfio_virtio/engine_sources.
"""

import argparse
import contextlib
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cffi
import fio_headers
import fio_known_options

ENGINE = Path(__file__).resolve().parent
# Only the files of this room include fio's headers, so only they are compiled with them.
FIO_ROOM = ENGINE / "fio"
# This header is generated beside the objects. fio/layout.c compares the running fio with it.
KNOWN_OPTIONS = "fio_known_options.h"

FLAGS = (
    *("-std=gnu11", "-D_GNU_SOURCE", "-g", "-fPIC", "-pthread", "-fvisibility=hidden"),
    *("-Wall", "-Wextra", "-Werror=implicit-function-declaration"),
    # fio prints the path of the source file that reports an error: relative to the project.
    f"-fmacro-prefix-map={ENGINE}/=engine/",
)
# Calls between files are inlined, because the I/O path crosses several files and one I/O takes only
# about 200 ns.
OPTIMIZE = ("-O2", "-fno-tree-slp-vectorize", "-flto=auto", "-flto-partition=one")
SANITIZE = ("-O1", "-fno-omit-frame-pointer", "-fno-sanitize-recover=undefined")
LINK = ("-shared", "-Wl,-z,relro")
# fio lacks Python's symbols. What fio does not load is bound at once, so that the table of
# addresses is read-only afterwards.
BIND_LATE, BIND_AT_ONCE = "-Wl,-z,lazy", "-Wl,-z,now"
# Programs in C ask the loader for this name. Its number changes when pyfio_virtio.h becomes
# incompatible.
LIBRARY_SONAME = "libpyfio_virtio.so.0"
# The names that the C library exports, with their versions.
LIBRARY_MAP = ENGINE / "library" / "pyfio_virtio.map"


class BuildError(Exception):
    """The message is a sentence for people, or the output of the compiler."""


@dataclass(frozen=True)
class Module:
    """A cffi module in API mode: the C files below a folder, and their declarations for Python."""

    name: str
    folder: Path
    # Folders below `folder` whose files belong to other programs.
    others: tuple[Path, ...] = ()
    # Files, read in this order. Lines that begin with # go to the compiler, the others to cffi.
    declarations: tuple[str, ...] = ("api.h",)
    # C code that takes the place of the files in `others`.
    instead: str = ""

    def sources(self) -> list[Path]:
        paths = sorted(self.folder.rglob("*.c"))
        return [path for path in paths if not any(map(path.is_relative_to, self.others))]

    def cdef(self) -> str:
        return "\n".join("" if line.startswith("#") else line for line in self._lines())

    def includes(self) -> str:
        own = [line for line in self._lines() if line.startswith('#include "')]
        return "\n".join(['#include "api.h"', *own, self.instead, ""])

    def _lines(self) -> list[str]:
        texts = [(self.folder / name).read_text() for name in self.declarations]
        return [line for text in texts for line in text.splitlines()]


NOT_FRONT_END = (ENGINE / "backend", ENGINE / "examples")
FRONT_END = Module("fio_virtio", ENGINE, NOT_FRONT_END)
INTERNALS = Module("engine_internals", ENGINE, NOT_FRONT_END, ("api.h", "internals.cdef"))
# For Python alone, where fio's headers are missing: no release of fio loads it.
WITHOUT_FIO = replace(
    FRONT_END,
    others=(*NOT_FRONT_END, FIO_ROOM),
    instead='const char *engine_fio_release(void) { return ""; }\n'
    "int engine_fio_interface(void) { return 0; }",
)
BACK_END = Module("vhost_backend", ENGINE / "backend")


@dataclass(frozen=True)
class Compiler:
    """How each file is compiled; `sanitizers` is empty, or a list such as address,undefined.

    Files include one another by paths that begin at `folder`, such as "ring/virtq.h".
    """

    folder: Path
    defines: tuple[str, ...] = ()
    fio_tree: Path | None = None
    sanitizers: str = ""
    verbose: bool = False
    libraries: tuple[str, ...] = ()

    def mode(self) -> tuple[str, ...]:
        return (*SANITIZE, f"-fsanitize={self.sanitizers}") if self.sanitizers else OPTIMIZE

    def run(self, *arguments: str, output: Path) -> None:
        """The folder of the output, which has another name each time, is not in the output."""
        flags = (*FLAGS, f"-ffile-prefix-map={output.parent}/=", *self.mode())
        command = [*shlex.split(os.environ.get("CC", "gcc")), *flags, *arguments, "-o", str(output)]
        if self.verbose:
            print(shlex.join(command), flush=True)
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            advice = "install the Debian package gcc, or name a compiler in CC"
            raise BuildError(f"cannot run {command[0]}: {error.strerror}: {advice}") from None
        if done.returncode:
            raise BuildError(f"{shlex.join(command)}\n{done.stderr}")
        sys.stderr.write(done.stderr)  # warnings

    def compile(self, source: Path, target: Path) -> Path:
        own = (*self.defines, f"-iquote{self.folder}")
        flags = (*own, *self._fio_flags(source, target.parent))
        self.run(*flags, "-c", str(source), output=target)
        return target

    def compile_glue(self, glue: Path, module: Module, target: Path) -> Path:
        """Compiles cffi's C code. It is not ours, so warnings and errors about void * are off."""
        include = sysconfig.get_path("include")
        if not (Path(include) / "Python.h").exists():
            raise BuildError(f"no Python.h in {include}: install the Debian package python3-dev")
        flags = ("-w", "-Wno-incompatible-pointer-types", f"-I{include}", f"-iquote{module.folder}")
        self.run(*flags, "-c", str(glue), output=target)
        return target

    def _fio_flags(self, source: Path, generated: Path) -> tuple[str, ...]:
        if not source.is_relative_to(FIO_ROOM) or self.fio_tree is None:
            return ()
        # The compiler does not warn about system headers; fio's are not ours to correct.
        fio = ("-isystem", str(self.fio_tree), "-include", str(self.fio_tree / "config-host.h"))
        return (*fio, "-iquote", str(generated))


def emit_glue(module: Module, target: Path) -> Path:
    """Writes cffi's C code, which makes a Python module of the functions in api.h."""
    ffi = cffi.FFI()
    ffi.cdef(module.cdef())
    # Data is never bound lazily, so None, the only data of Python in this code, must be weak.
    ffi.set_source(module.name, module.includes() + "#pragma weak _Py_NoneStruct\n")
    with contextlib.redirect_stdout(None):  # cffi prints that it writes the file
        ffi.emit_c_code(str(target))
    return target


def build(module: Module, compiler: Compiler, output: Path) -> None:
    """Compiles the whole module. A new file replaces the old one, which may still be in use."""
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise BuildError(
            "this Python is free-threaded (it has no global lock), and the engine was never "
            "tested with such a Python: use an ordinary one, such as python3.13"
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".objects-") as folder:
        glue = emit_glue(module, Path(folder) / "glue.c")
        if compiler.fio_tree:
            (Path(folder) / KNOWN_OPTIONS).write_text(fio_known_options.header(compiler.fio_tree))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            jobs = [
                pool.submit(compiler.compile, source, Path(folder) / f"{number}.o")
                for number, source in enumerate(module.sources())
            ]
            jobs.append(pool.submit(compiler.compile_glue, glue, module, Path(folder) / "glue.o"))
            objects = [str(job.result()) for job in jobs]
        linked = Path(folder) / output.name
        # By the name inside, ldconfig finds the engine in a file with a usual name (make install).
        name = f"-Wl,-soname,{module.name}"
        bind = BIND_AT_ONCE if module is BACK_END else BIND_LATE
        link = (*LINK, "-Wl,-z,nodelete", bind, name, *compiler.libraries)
        compiler.run(*objects, *link, output=linked)
        if not compiler.sanitizers:
            check_undefined(linked)
        hand_over(linked, output)


def hand_over(linked: Path, output: Path) -> None:
    """Puts it in its place at once. A shared object is no program, so nobody may run it as one."""
    linked.chmod(0o644)
    linked.rename(output)


def try_compiler(output: Path) -> None:
    """Compiles a line with Python's headers, to see whether this machine can compile modules."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "tried.c"
        source.write_text("#include <Python.h>\n")
        Compiler(ENGINE).compile_glue(source, FRONT_END, output)


def library_sources() -> list[Path]:
    """The C files of the engine without its fio hooks."""
    return [path for path in FRONT_END.sources() if not path.is_relative_to(FIO_ROOM)]


def build_library(compiler: Compiler, output: Path) -> None:
    """Exports the functions of pyfio_virtio.h (PYFIO_BUILDS_LIBRARY) and no others."""
    names = (f"-Wl,-soname,{LIBRARY_SONAME}", f"-Wl,--version-script={LIBRARY_MAP}")
    # With protected visibility instead of -Bsymbolic-functions, a program that is no PIE could not
    # take the address of a function.
    link = (*LINK, BIND_AT_ONCE, "-Wl,-z,defs", "-Wl,-Bsymbolic-functions", *names)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".objects-") as folder:
        linked = Path(folder) / output.name
        paths = map(str, library_sources())
        flags = (*compiler.defines, "-DPYFIO_BUILDS_LIBRARY", f"-iquote{compiler.folder}")
        compiler.run(*flags, *paths, *link, output=linked)
        hand_over(linked, output)


def check_undefined(shared_object: Path) -> None:
    """Fails if a symbol that only fio defines is not weak, because then Python's import fails."""
    command = ["nm", "--dynamic", "--undefined-only", str(shared_object)]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    strong = re.findall(r"^\s+U (\w+)$", listing, re.MULTILINE)  # libc's have @ and a version
    if missing := [symbol for symbol in strong if not symbol.startswith(("Py", "_Py"))]:
        raise BuildError(
            f"these symbols are not defined: {', '.join(missing)}; if fio defines them, declare "
            "them weak (#pragma weak NAME), so that Python can import the engine too"
        )


def project_version() -> str:
    """The same as version() in tools/project.py, which an archive of the sources lacks."""
    with (ENGINE.parent / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def engine_defines(chosen: argparse.Namespace) -> tuple[str, ...]:
    version = chosen.engine_version or project_version()
    sleepy_poll_us = microseconds(chosen.sleepy_poll)
    return (f'-DENGINE_VERSION="{version}"', f"-DSLEEPY_POLL_DEFAULT={sleepy_poll_us}")


def _defined(header: Path, name: str) -> str | None:
    found = re.search(rf'^#define\s+{name}\s+"?([^"\n]+)"?$', header.read_text(), re.MULTILINE)
    return found[1] if found else None


def check_age(fio_tree: Path, release: str) -> None:
    """Refuses a fio whose engines have other hooks than ours; see fio/compat.h."""
    number = _defined(fio_tree / "ioengines.h", "FIO_IOOPS_VERSION")
    oldest = _defined(FIO_ROOM / "compat.h", "OLDEST_FIO_INTERFACE")
    if number and oldest and int(number) < int(oldest):
        since = _defined(FIO_ROOM / "compat.h", "OLDEST_FIO_RELEASE")
        raise BuildError(
            f"{release} in {fio_tree} is too old for the engine, which needs fio {since} or later"
        )


def fio_defines(fio_tree: Path) -> tuple[str, ...]:
    release = fio_headers.release_of(fio_tree)
    check_age(fio_tree, release)
    sources = re.sub(r'(["\\])', r"\\\1", f"{release} ({fio_headers.origin_of(fio_tree)})")
    return (f'-DENGINE_FIO_RELEASE="{release}"', f'-DENGINE_FIO_SOURCES="{sources}"')


def build_front_end(chosen: argparse.Namespace) -> None:
    defines, verbose = engine_defines(chosen), "V" in os.environ
    if chosen.without_fio:
        build(WITHOUT_FIO, Compiler(ENGINE, defines, None, chosen.sanitize, verbose), chosen.output)
        return
    tree = chosen.fio_tree.resolve()
    compiler = Compiler(ENGINE, (*defines, *fio_defines(tree)), tree, chosen.sanitize, verbose)
    build(INTERNALS if chosen.internals else FRONT_END, compiler, chosen.output)


def back_end_compiler(sanitizers: str) -> Compiler:
    """With liburing if it is installed; without it, files are served by threads."""
    plain = Compiler(BACK_END.folder, sanitizers=sanitizers, verbose="V" in os.environ)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "probe.c"
        source.write_text("#include <liburing.h>\n")
        try:
            plain.run(str(source), "-luring", "-shared", output=source.with_suffix(".o"))
        except BuildError:
            return plain
    return replace(plain, defines=("-DHAVE_LIBURING",), libraries=("-luring",))


def microseconds(text: str) -> int:
    if not text.isdecimal() or int(text) > 1_000_000:
        raise BuildError(f"SLEEPY_POLL={text}: give a whole number of microseconds, 0 to 1000000")
    return int(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compile the engine or the built-in back-end.")
    parser.add_argument("--output", type=Path, required=True, help="shared object to write")
    parser.add_argument("--sanitize", default="", help="a list for gcc's -fsanitize=")
    modules = parser.add_subparsers(dest="module", required=True)
    front_end = modules.add_parser("front-end", help="the engine, for fio and Python")
    of_fio = front_end.add_mutually_exclusive_group(required=True)
    of_fio.add_argument("--fio-tree", type=Path, help="folder of configured fio sources")
    of_fio.add_argument("--without-fio", action="store_true", help="for Python alone")
    front_end.add_argument(
        "--internals", action="store_true", help="build the module for the unit tests"
    )
    library = modules.add_parser("library", help="the engine, for programs in C")
    for each in (front_end, library):
        each.add_argument(
            "--sleepy-poll", default="0", help="default of sleepy_poll, in microseconds"
        )
        each.add_argument("--engine-version", help="its version (default: that of pyproject.toml)")
    modules.add_parser("back-end", help="the built-in back-end, for Python")
    modules.add_parser("trial", help="an object file, to see whether this machine can compile")
    return parser.parse_args()


def main() -> int:
    chosen = arguments()
    try:
        if chosen.module == "front-end":
            build_front_end(chosen)
        elif chosen.module == "library":
            defines = engine_defines(chosen)
            compiler = Compiler(ENGINE, defines, None, chosen.sanitize, "V" in os.environ)
            build_library(compiler, chosen.output)
        elif chosen.module == "trial":
            try_compiler(chosen.output)
        else:
            build(BACK_END, back_end_compiler(chosen.sanitize), chosen.output)
    except (BuildError, fio_headers.HeadersError, fio_known_options.OptionTableError) as error:
        print(f"build: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"build: {fio_headers.in_words(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

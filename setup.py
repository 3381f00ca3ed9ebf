# SPDX-License-Identifier: GPL-2.0-or-later
"""Compiles the engine and the built-in back-end into the package when pip builds a wheel.

All other settings are in pyproject.toml. An editable install compiles nothing, because a checkout
uses build/lib, which make keeps up to date. SLEEPY_POLL and FIO_SOURCE_DIR are read from the
environment.

A wheel is built on every machine. Without fio's headers, the engine in it is for Python alone, and
`pyfio-virtio build-engine` builds one for fio later. Without a C compiler there is no engine at
all. Both are said in a line. What is built lies in a temporary folder, not in the source tree.
"""

import atexit
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
SOURCES = ROOT / "pyfio_virtio" / "engine_sources"
FRONT_END = "pyfio_virtio.lib.fio_virtio"
BACK_END = "pyfio_virtio.lib.vhost_backend"
# cffi's modules use what is in each Python from this one on.
OLDEST_PYTHON = "cp311"

# Without these folders an installed package would lack its reports, its jobs or its engine.
for link in ("analysis", "jobs", "engine_sources"):
    if (ROOT / "pyfio_virtio" / link).is_file():
        raise SystemExit(
            f"cannot install: pyfio_virtio/{link} must be a symbolic link, but git wrote a text "
            f"file; in {ROOT}: git config core.symlinks true && rm pyfio_virtio/{link} && "
            f"git checkout -- pyfio_virtio/{link}"
        )

scratch = tempfile.TemporaryDirectory(prefix="pyfio-virtio-build-")
atexit.register(scratch.cleanup)


class FailedError(Exception):
    """The message is what a Python file of the project printed."""


def run(*command: str) -> str:
    """Runs a Python file of the engine's sources and returns what it prints."""
    done = subprocess.run(
        [sys.executable, str(SOURCES / command[0]), *command[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    sys.stderr.write("" if done.returncode else done.stderr)
    if done.returncode:
        raise FailedError(done.stderr.strip())
    return done.stdout.strip()


def cause(error: FailedError) -> str:
    """The last line, because the lines before it say what was done."""
    lines = str(error).splitlines() or ["it printed nothing"]
    return lines[-1].removeprefix("fio_headers: ").removeprefix("build: ")


def warn(sentence: str) -> None:
    # Python shows this line with `pip install -v` and pip shows the file in the wheel.
    print(f"pyfio-virtio: {' '.join(sentence.split())}", file=sys.stderr)


def fio_options() -> tuple[str, ...]:
    """The options of build.py for fio's headers, if they can be had."""
    if os.environ.get("FIO_SOURCE_DIR"):  # who names the sources does not want to do without
        return ("--fio-tree", run("fio_headers.py"))
    # A tree that make has fetched is used again.
    kept = ROOT / "build" if (ROOT / "build" / "fio-tree").exists() else Path(scratch.name)
    try:
        return ("--fio-tree", run("fio_headers.py", "--build", str(kept)))
    except FailedError as error:
        warn(
            f"the engine in this package is for Python alone, because {cause(error)}; "
            "`pyfio-virtio build-engine` builds one for fio"
        )
        return ("--without-fio",)


class BuildEngine(build_ext):
    """Lets build.py build the shared objects, and names them without Python's suffix."""

    def run(self) -> None:
        if self.editable_mode:
            return
        try:
            run("build.py", "--output", str(Path(scratch.name) / "trial.o"), "trial")
        except FailedError as error:
            warn(f"there is no engine in this package, because {cause(error)}")
            return
        super().run()

    def get_ext_filename(self, fullname: str) -> str:
        return fullname.replace(".", "/")

    def build_extension(self, ext: Extension) -> None:
        output = Path(self.get_ext_fullpath(ext.name)).resolve()
        build = ("build.py", "--output", str(output))
        try:
            if ext.name == BACK_END:
                run(*build, "back-end")
            else:
                sleepy_poll = ("--sleepy-poll", os.environ.get("SLEEPY_POLL", "0"))
                version = ("--engine-version", self.distribution.get_version())
                run(*build, "front-end", *sleepy_poll, *version, *fio_options())
        except FailedError as error:
            raise SystemExit(str(error)) from None


setup(
    ext_modules=[
        Extension(name, sources=[], py_limited_api=True) for name in (FRONT_END, BACK_END)
    ],
    cmdclass={"build_ext": BuildEngine},
    options={
        "build": {"build_base": scratch.name},
        "egg_info": {"egg_base": scratch.name},
        "bdist_wheel": {"py_limited_api": OLDEST_PYTHON},
    },
)

# SPDX-License-Identifier: GPL-2.0-or-later
"""Compiles the engine and the built-in back-end into the package when pip builds a wheel.

All other settings are in pyproject.toml. An editable install compiles nothing, because a checkout
uses build/lib, which make keeps up to date. SLEEPY_POLL and FIO_SOURCE_DIR are read from the
environment.
"""

import os
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
FRONT_END = "pyfio_virtio.lib.fio_virtio"
BACK_END = "pyfio_virtio.lib.vhost_backend"

# Without these folders an installed package would lack its reports or its jobs.
for link in ("analysis", "jobs"):
    if (ROOT / "pyfio_virtio" / link).is_file():
        raise SystemExit(
            f"cannot install: pyfio_virtio/{link} must be a symbolic link, but git wrote a text "
            f"file; in {ROOT}: git config core.symlinks true && rm pyfio_virtio/{link} && "
            f"git checkout -- pyfio_virtio/{link}"
        )


def run(*command: str) -> str:
    """Runs a Python file of the project and returns what it prints. It prints its own errors."""
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{command[0]} failed; its message is above")
    return done.stdout.strip()


class BuildEngine(build_ext):
    """Lets engine/build.py build the shared objects, and names them without Python's suffix."""

    def run(self) -> None:
        if not self.editable_mode:
            super().run()

    def get_ext_filename(self, fullname: str) -> str:
        return fullname.replace(".", "/")

    def build_extension(self, ext: Extension) -> None:
        output = Path(self.get_ext_fullpath(ext.name)).resolve()
        build = ("engine/build.py", "--output", str(output))
        if ext.name == BACK_END:
            run(*build, "back-end")
        else:
            sleepy_poll = os.environ.get("SLEEPY_POLL", "0")
            fio_tree = run("engine/fio_headers.py")
            run(*build, "front-end", "--sleepy-poll", sleepy_poll, "--fio-tree", fio_tree)


setup(
    ext_modules=[Extension(FRONT_END, sources=[]), Extension(BACK_END, sources=[])],
    cmdclass={"build_ext": BuildEngine},
)

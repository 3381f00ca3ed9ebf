# SPDX-License-Identifier: GPL-2.0-or-later
"""Compiles the engine into the package when pip builds a wheel.

All else is in pyproject.toml. An editable install compiles nothing: the checkout's engine is
build/lib/fio_virtio, which make keeps up to date. SLEEPY_POLL and FIO_SOURCE_DIR come from the
environment, as make takes them from its command line.
"""

import os
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent


class BuildEngine(build_ext):
    """Leaves the work to engine/build.py, and the shared objects without Python's suffix."""

    def run(self) -> None:
        if not self.editable_mode:
            super().run()

    def get_ext_filename(self, fullname: str) -> str:
        return fullname.replace(".", "/")

    def build_extension(self, ext: Extension) -> None:
        headers = [sys.executable, "engine/fio_headers.py"]
        tree = subprocess.run(headers, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        output = Path(self.get_ext_fullpath(ext.name)).resolve()
        build = [sys.executable, "engine/build.py", "--output", str(output), "front-end"]
        fio_tree = ("--fio-tree", tree.stdout.strip())
        sleepy_poll = ("--sleepy-poll", os.environ.get("SLEEPY_POLL", "0"))
        subprocess.run([*build, *fio_tree, *sleepy_poll], cwd=ROOT, check=True)


setup(
    ext_modules=[Extension("pyfio_virtio.lib.fio_virtio", sources=[])],
    cmdclass={"build_ext": BuildEngine},
)

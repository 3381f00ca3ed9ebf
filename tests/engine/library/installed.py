# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of the installed C library share: its files, and programs that use it."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
HEADERS = ("pyfio_virtio.h", "pyfio_virtio_version.h")
STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")
DECLARED = re.compile(r"^[a-z][\w ]*[ *](\w+)\([^()]*\);", re.MULTILINE)


def run(*command: str | Path, **environment: str) -> str:
    """What it says on stdout; it must end well."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def flags(prefix: Path, *options: str) -> list[str]:
    """As pkg-config gives them."""
    path = str(prefix / "lib" / "pkgconfig")
    return run("pkg-config", *options, "pyfio-virtio", PKG_CONFIG_PATH=path).split()


def build(prefix: Path, source: Path, target: Path, *options: str) -> Path:
    """Compiles a program in C that uses the library."""
    used = flags(prefix, "--cflags", "--libs")
    run("gcc", "-std=c11", *STRICT, *options, source, *used, "-o", target)
    return target


def execute(prefix: Path, *command: str | Path) -> str:
    return run(*command, LD_LIBRARY_PATH=str(prefix / "lib"))


def code_of(header: Path) -> str:
    """Without its comments."""
    return re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.DOTALL)


def functions_of(header: Path) -> set[str]:
    return set(DECLARED.findall(code_of(header)))

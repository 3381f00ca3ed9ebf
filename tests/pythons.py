# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the engine with each Python at hand, and runs a few telling tests: `make pythons`.

    PYTHONS='python3.12 /opt/python/bin/python3.13' make pythons    only these

Without PYTHONS, all of VERSIONS that PATH has are used. Those that PATH lacks run in a chroot of
Debian, if SUITE has them and we can make one (as root); the chroot sees what is committed. Each
Python has a virtual environment and an engine of its own in build/pythons, with the newest
libraries that pyproject.toml allows.

This file needs only Python's own library, and runs as one process. Its status is 1 if a Python
failed, or was asked for and not found. Without PYTHONS, one that cannot be had is no failure.
"""

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.packages import chroots

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "pythons"
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
# The suite that has the newest Pythons, and what a build needs there beside Python itself.
SUITE = "forky"
PACKAGES = (
    *("dpkg-dev", "fio", "gcc", "git", "libc6-dev", "liburing-dev", "make"),
    "qemu-utils",  # qemu-storage-daemon
)
LIMIT_S = 1200.0
# What differs between Pythons and shows: buffers, threads, forks and the ends of objects that the
# engine uses, asyncio, processes, and the libraries that draw reports. Less than a minute in all.
DISK = "tests/pyfio_virtio/disk/test_disk.py::test_"
CLI = "tests/pyfio_virtio/cli/test_"
TESTS = (
    f"{DISK}a_hundred_pieces_of_a_thousand_bytes",
    f"{DISK}eight_threads_that_share_blocks_lose_nothing",
    f"{DISK}numpy_takes_a_buffer_without_a_copy",
    f"{DISK}a_buffer_outlives_its_disk",
    f"{DISK}memory_of_the_program_is_given_back",
    f"{DISK}open_and_close_leave_nothing_behind",
    f"{DISK}a_child_process_cannot_use_the_disk_and_leaves_it_alone",
    f"{DISK}operations_end_with_their_back_end",
    "tests/pyfio_virtio/disk/test_async_disk.py",
    f"{CLI}run.py::test_the_default_job_runs_on_a_disk_of_its_own",
    f"{CLI}report.py::test_a_real_sweep_becomes_a_page_in_its_folder",
    f"{CLI}report.py::test_several_folders_become_one_page_here",
    f"{CLI}report.py::test_a_picture_is_drawn",
)
ABOUT = """
import json, sys, sysconfig
print(json.dumps({"version": sys.version.split()[0],
                  "threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
                  "debug": hasattr(sys, "gettotalrefcount")}))
"""


@dataclass(frozen=True)
class Python:
    """An interpreter that runs."""

    program: str
    version: str
    threaded: bool  # built without the global lock
    debug: bool

    @property
    def name(self) -> str:
        return self.version + "t" * self.threaded + "d" * self.debug


class FailedError(Exception):
    """A step that failed with a Python, and the end of what it printed."""


def found(program: str) -> Python | None:
    """The Python that this command starts, or None: pyenv's shims may stand for no Python."""
    try:
        done = subprocess.run(
            [program, "-I", "-c", ABOUT], capture_output=True, text=True, check=False, timeout=60
        )
        return Python(program, **json.loads(done.stdout))
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def check(python: Python) -> str:
    """Builds and tests with this Python, and returns pytest's closing line."""
    folder = FOLDER / python.name
    program = str(folder / "venv" / "bin" / "python")
    step("venv", python.program, "-m", "venv", "--clear", str(folder / "venv"))
    step("pip", program, "-m", "pip", "install", "--quiet", *requirements())
    build = (program, "engine/build.py", "--output")
    tree = step("fio's headers", sys.executable, "engine/fio_headers.py").strip()
    front_end = ("front-end", "--sleepy-poll", "0", "--fio-tree", tree)
    step("building the engine", *build, str(folder / "lib" / "fio_virtio"), *front_end)
    step("building the back-end", *build, str(folder / "lib" / "vhost_backend"), "back-end")
    quiet = ("--numprocesses=2", "--override-ini=cache_dir=" + str(folder / "cache"))
    line = (program, "-m", "pytest", *quiet, *TESTS)
    return step("tests", *line, PYFIO_VIRTIO_LIB=str(folder / "lib")).splitlines()[-1]


def requirements() -> list[str]:
    """What the package needs, and what the tests need beside it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for_tests = project["optional-dependencies"]["dev"]
    return [
        "setuptools",  # cffi uses it where Python has no distutils
        *project["dependencies"],
        *(each for each in for_tests if each.startswith(("pytest", "hypothesis"))),
    ]


def step(what: str, *command: str, **environment: str) -> str:
    """Runs a command in the checkout, and returns what it printed."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if what == "tests" else subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        end = (done.stderr or done.stdout).strip().splitlines()[-15:]
        raise FailedError("\n  ".join((f"{what} failed", *end)))
    return done.stdout


def check_in_chroot(version: str) -> str:
    """The same in a chroot, where the checkout is cloned."""
    python = f"python{version}"
    wanted = (*PACKAGES, "python3", python, f"{python}-dev", f"{python}-venv")
    with chroots.chroot(SUITE, *wanted) as clean, tempfile.TemporaryDirectory() as scratch:
        bundle = Path(scratch) / "checkout.bundle"
        step("git", "git", "bundle", "create", "--quiet", str(bundle), "HEAD")
        clean.put(bundle)
        environment = {"GIT_CONFIG_PARAMETERS": "'advice.detachedHead=false'"}
        script = f"""
            git clone --quiet {chroots.SHARED}/{bundle.name} /root/checkout && cd /root/checkout &&
            apt-get --quiet --quiet update && PYTHONS={python} {python} -m tests.pythons"""
        done = clean.run(script, LIMIT_S, environment)
    if done.status:
        end = (done.stderr + done.stdout).splitlines()[-20:]
        raise FailedError("\n  ".join((f"in a chroot of {SUITE}:", *end)))
    return f"in a chroot of {SUITE}, {done.stdout.strip().splitlines()[-1]}"


def report(name: str, words: str) -> None:
    print(f"Python {name}: {words}", flush=True)


def main(asked: Sequence[str]) -> int:
    failed = 0
    for program in asked or [f"python{version}" for version in VERSIONS]:
        python = found(program)
        name = python.name if python else program.removeprefix("python")
        try:
            if python:
                report(name, check(python))
            elif asked:
                failed += 1
                report(name, "not found")
            else:
                report(name, check_in_chroot(name))
        except chroots.NoChrootError as reason:
            report(name, f"not found in PATH, and {reason}")
        except (FailedError, TimeoutError) as failure:
            failed += 1
            report(name, str(failure))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(os.environ.get("PYTHONS", "").split()))

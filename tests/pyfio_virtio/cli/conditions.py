# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands, the conditions under which they are run, and what holds whatever happens then.

A condition is a shell script around the command ("$@"), a change of its environment, or a program
in place of fio. Each case has folders of its own. Full disks are small file systems in memory, in a
mount namespace of the case, so nothing of the machine is changed.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import psutil

from pyfio_virtio.engine import engine
from tests.analysis.synthetic import write_sweep
from tests.conftest import ROOT
from tests.limited import run_limited

LONGEST_S = 60.0
STATUSES = {0, 1, 2, 3, 139}  # 139: a fio that crashes
_CASE = "PYFIO_VIRTIO_TEST_CASE"
_JOB = "[a]\nioengine=fio_virtio\nfilename=x\nrw=randread\nnumber_ios=50\nthread=1\n"
_SWEEP = "--sleepy-poll 100 --iodepth 4 --runtime 0.2 --ramp-time 0 --repeats 1 --disk-size 4M"

COMMANDS: Mapping[str, str] = {
    "run": "run job.fio --disk-size 4M",
    "run --json": "run job.fio --disk-size 4M --json --counters",
    "run --dry-run": "run job.fio --dry-run",
    "explain": "explain --wait event --iodepth 1 --runtime 0.1 --disk-size 4M -o new",
    "sweep": f"sweep {_SWEEP} -o new",
    "sweep --dry-run": f"sweep {_SWEEP} -o new --dry-run",
    "sweep --save": f"sweep {_SWEEP} --save new.toml",
    "tune": "tune --time 3 --goal latency --wait event,busy --disk-size 4M -o new",
    "results list": "results list out",
    "results list --json": "results list out --json",
    "results export": "results export out",
    "results export -o": "results export out -o new.csv",
    "report": "report out -o new.html",
    "report --markdown": "report out --markdown",
    "plot": "plot out --x iodepth -o new.png",
    "compare": "compare out more --allow-unlike",
    "job": "job",
    "job -o": "job -o new.fio",
    "probe": "probe no.sock",
    "doctor": "doctor",
    "env": "env",
    "build-engine": "build-engine",
    "build-engine --list": "build-engine --list",
    "help": "help run",
    "--version": "--version",
    "backend list": "backend list",
    "backend start": "backend start --backend qsd --storage null --socket no/such/folder",
    "verify": "verify --socket no.sock --yes",
    "restart-test": "restart-test --restarts 1 --every 0 --disk-size 4M --iodepth 4 --wait event",
    "serve": "serve --listen unix:no/such/folder",
}


@dataclass(frozen=True)
class Condition:
    script: str = 'exec "$@"'
    environment: Mapping[str, str | None] = field(default_factory=dict)  # None: it is not set
    fio: str = ""  # the script in the place of fio
    needs_mounts: bool = False


def _full(folder: str) -> Condition:
    """The folder has its files, and no room for more. What it has at the end is copied."""
    return Condition(
        f'cp -r {folder} copy; mount -t tmpfs -o size=4M,mode=0700 none "$PWD/{folder}"; '
        f"cp -r copy/. {folder}; cat /dev/zero 2> /dev/null > {folder}/fill; "
        f'(cd cwd; exec "$@"); status=$?; rm {folder}/fill; cp -r {folder} after; exit $status',
        needs_mounts=True,
    )


def _read_only(folder: str) -> Condition:
    script = f'mount --bind {folder} {folder} && mount -o remount,ro,bind {folder}; cd cwd; "$@"'
    return Condition(script, needs_mounts=True)


_IN = "cd cwd; "
_ASKS = 'case "$*" in *--version*|*help*|*parse-only*) exec fio "$@";; esac\n'
CONDITIONS: Mapping[str, Condition] = {
    "nothing": Condition(f'{_IN}exec "$@"'),
    "a full stdout": Condition(f'{_IN}exec "$@" > /dev/full'),
    "a full stderr": Condition(f'{_IN}exec "$@" 2> /dev/full'),
    "closed streams": Condition(f'{_IN}exec "$@" <&- >&- 2>&-'),
    "a closed stdout": Condition(f'{_IN}exec "$@" >&-'),
    "a reader that leaves": Condition(f'{_IN}"$@" | true'),
    "a full folder": _full("cwd"),
    "a read-only folder": _read_only("cwd"),
    "a full state folder": _full("state"),
    "a read-only state folder": _read_only("state"),
    "a read-only checkout": Condition(
        f'mount --bind {ROOT} {ROOT} && mount -o remount,ro,bind {ROOT}; {_IN}exec "$@"',
        needs_mounts=True,
    ),
    "a full /dev/shm": Condition(
        f'mount -t tmpfs -o size=4k none /dev/shm; cat /dev/zero 2>&- > /dev/shm/x; {_IN}exec "$@"',
        needs_mounts=True,
    ),
    "no /proc": Condition(f'mount -t tmpfs none /proc; {_IN}exec "$@"', needs_mounts=True),
    "no HOME": Condition(f'{_IN}exec "$@"', {"HOME": None, "TMPDIR": None}),
    "folders that do not exist": Condition(
        f'{_IN}exec "$@"', {"HOME": "/no/such", "TMPDIR": "/no/such", "XDG_RUNTIME_DIR": "/no/such"}
    ),
    "relative folders": Condition(
        f'{_IN}exec "$@"', {"HOME": "no", "TMPDIR": "no", "XDG_RUNTIME_DIR": "no"}
    ),
    "a long TMPDIR": Condition(
        f'mkdir {"t" * 100}; export TMPDIR="$PWD/{"t" * 100}"; {_IN}exec "$@"',
        {"XDG_RUNTIME_DIR": None},
    ),
    "no fio": Condition(f'{_IN}exec "$@"', {"PATH": "bin"}),
    "an empty PATH": Condition(f'{_IN}exec "$@"', {"PATH": ""}),
    "ASCII": Condition(
        f'{_IN}exec "$@"', {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    ),
    "KOI8": Condition(f'{_IN}exec "$@"', {"PYTHONIOENCODING": "koi8-r"}),
    "no such locale": Condition(f'{_IN}exec "$@"', {"LC_ALL": "xx_YY", "TZ": "No/Where"}),
    "one column": Condition(f'{_IN}exec "$@"', {"COLUMNS": "1", "NO_COLOR": "1", "TERM": "none"}),
    "few descriptors": Condition(f'ulimit -n 10; {_IN}exec "$@"'),
    "little memory": Condition(f'ulimit -v 200000; {_IN}exec "$@"'),
    "no room in files": Condition(f'ulimit -f 0; {_IN}exec "$@"'),
    "a fio that prints no UTF-8": Condition(
        f'{_IN}exec "$@"', fio="printf '\\377\\376\\n'; printf '\\377\\n' >&2; exec fio \"$@\""
    ),
    "a fio that prints nothing": Condition(f'{_IN}exec "$@"', fio="exit 0"),
    "a fio that prints without end": Condition(f'{_IN}exec "$@"', fio="exec yes"),
    "a fio that leaves a child": Condition(f'{_IN}exec "$@"', fio="sleep 1000 & exit 0"),
    "a fio that ends and leaves a child": Condition(
        f'{_IN}exec "$@"', fio=f'{_ASKS}fio "$@"; env -u {_CASE} sleep 3 & exit 0'
    ),
    "a fio that crashes": Condition(f'{_IN}exec "$@"', fio=f"{_ASKS}kill -SEGV $$"),
    "a fio that ends at once": Condition(f'{_IN}exec "$@"', fio=f"{_ASKS}exit 0"),
}


@dataclass(frozen=True)
class Seen:
    status: int
    stdout: str
    stderr: str
    made: Sequence[str]  # the files in the working folder that were not there before
    left: Sequence[str]  # processes, and files in the folder of the state


@cache
def can_mount() -> bool:
    try:
        words = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /mnt"]
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def carry_out(case: Path, command: str, condition: Condition) -> Seen:
    """Runs the command in the new folder `case`."""
    working, state = case / "cwd", case / "state"
    state.mkdir(mode=0o700)
    working.mkdir()
    (working / "job.fio").write_text(_JOB)
    for name in {"out", "more"} & set(COMMANDS[command].split()):
        shutil.copytree(_results(case.parent), working / name)
    before = _files(working)
    shell = ["unshare", "-m"] if condition.needs_mounts else []
    line = [sys.executable, "-m", "pyfio_virtio", *COMMANDS[command].split()]
    ended, status, stdout, stderr = run_limited(
        [*shell, "sh", "-c", condition.script, "sh", *line],
        {},
        LONGEST_S,
        case,
        only=_environment(case, condition),
    )
    assert ended, f"did not end: {command}: {stderr}"
    after = case / "after"  # what was in a file system that is gone
    if after.exists():
        working, state = (after, state) if (after / "job.fio").exists() else (working, after)
    return Seen(status, stdout, stderr, sorted(_files(working) - before), _left(case, state))


def _environment(case: Path, condition: Condition) -> dict[str, str]:
    ours: dict[str, str | None] = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",  # Python may leave a part of a file on a full disk
        engine.FOLDER_VARIABLE: str(engine.folder()),
        "XDG_RUNTIME_DIR": str(case / "state"),
        _CASE: str(case),
        **condition.environment,
    }
    if condition.fio:
        program = case / "bin" / "fio"
        program.parent.mkdir()
        script = condition.fio.replace("fio ", f"{shutil.which('fio')} ")
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        ours["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    return {name: value for name, value in ours.items() if value is not None}


def _results(folder: Path) -> Path:
    path = folder / "results"
    if not path.exists():
        write_sweep(path, polls=(0, 20), waits=(), depths=(32,), repeats=2)
    return path


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def _left(case: Path, state: Path) -> list[str]:
    """Empty folders of the state stay, because other commands may be about to use them."""
    files = [str(path) for path in state.rglob("*") if not path.is_dir()]
    processes = (each for each in psutil.process_iter() if _is_of(each, case))
    return [*files, *(" ".join(each.cmdline()) for each in processes)]


def _is_of(process: psutil.Process, case: Path) -> bool:
    try:
        return process.environ().get(_CASE) == str(case)
    except psutil.Error:
        return False


def check(seen: Seen, command: str) -> None:
    """What holds under all conditions."""
    about = (command, seen)
    assert seen.status in STATUSES, about
    for text in (seen.stdout, seen.stderr):
        assert "Traceback" not in text, about
        assert "Exception ignored" not in text, about
    assert not seen.left, about
    if seen.status:
        lines = [each for each in seen.stderr.splitlines() if each.startswith("pyfio-virtio: ")]
        assert len(lines) <= 1, about
        # A file is whole when its name is printed.
        is_whole = "cannot write to standard output" in seen.stderr
        assert is_whole or not seen.made, about

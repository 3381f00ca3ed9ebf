# SPDX-License-Identifier: GPL-2.0-or-later
"""cli/sweep.py: first mistakes. Each is found before the first run, and by --dry-run, too.

One line says what, where, why and what next. Nothing is left: no folder of runs and no back-end.
"""

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from pyfio_virtio.backends import unix_sockets
from pyfio_virtio.results.results import SweepFolder
from pyfio_virtio.sweep.settings import read_settings
from tests.conftest import RunCommand, StartBackend
from tests.pyfio_virtio.cli.test_sweep import ONE
from tests.pyfio_virtio.conftest import SWEEP

ABSENT = max(os.sched_getaffinity(0)) + 1000
# What is typed, and parts of the sentence. {} is the private folder.
MISTAKES = {
    "no socket": (("--backend", "{}/x.sock"), ("{}/x.sock", "no such socket", "start the")),
    "no folder": (("--backend", "{}/none/x.sock"), ("no such socket", "name the socket")),
    "a file": (("--backend", "{}/file"), ("{}/file", "it is not a socket", "name the Unix socket")),
    "a folder": (("--backend", "{}/folder"), ("it is not a socket", "name the Unix socket")),
    "nobody": (("--backend", "{}/left.sock"), ("{}/left.sock", "nobody listens", "start its")),
    "below a file": (("--backend", "{}/file/x"), ("is not a folder", "start the back-end there")),
    "datagrams": (("--backend", "{}/datagrams"), ("not a stream socket", "name the socket")),
    "long": (("--backend", "/" + 200 * "x"), ("Unix sockets allow 107", "choose a shorter path")),
    "one of two": (("--backend", "builtin", "--backend", "{}/x.sock"), ("no such socket",)),
    "fio's CPU": (("--cpus", f"{ABSENT}:0"), (f"--cpus {ABSENT}:0", "no CPU", "this machine has")),
    "its CPU": (("--cpus", f"0:{ABSENT}"), (f"there is no CPU {ABSENT}", "this machine has CPUs")),
    "no CPU": (("--cpus", "0:first"), ("unknown cpus '0:first'", "FIO:BACKEND, such as 0:1")),
    "wait": (("--wait", "event,buzy"), ("wait=buzy", "does not take this", "use event, busy")),
    "rw": (("--rw", "randreed"), ("rw=randreed", "use read, write")),
    "range": (("--iodepth", "1-8"), ("iodepth=1-8", "fio would read it as 1", "write 1,8")),
    "unit": (("--bs", "4x"), ("bs=4x", "fio would read it as 4", "write a whole number")),
    "fraction": (("--set", "rwmixread=2.5"), ("rwmixread=2.5", "read it as 2", "whole number")),
    "jobs": (("--numjobs", "2.5"), ("numjobs=2.5", "read it as 2", "whole number")),
    "large": (("--iodepth", "5000000000"), ("iodepth=5000000000", "705032704", "below 4294967296")),
    "limit": (("--set", "rwmixread=200"), ("rwmixread=200", "100 max", "fio --cmdhelp=rwmixread")),
    "ours": (("--set", "queue_size=64k"), ("queue_size=64k", "--enghelp=fio_virtio,queue_size")),
    "yes": (("--set", "norandommap=yes"), ("norandommap=yes", "cannot read", "fio --cmdhelp=")),
    "name": (("--set", "bss=4k"), ("bss=4k", "has an option bss", "did you mean bs?")),
    "two": (("--set", "bss=4k", "--wait", "buzy"), ("cannot use bss=4k",)),
    "other": (("--engines=psync", "--set", "hipri=1"), ("neither fio nor its engine psync",)),
    "pages": (("--set", "hugepages=1g"), ("hugepages=1g", "1024 MiB", "use hugepages=auto")),
    "queue": (("--set", "queue_size=64,3"), ("queue_size=3: it must be a power of two",)),
    "atomic": (("--set", "atomic=1"), ("cannot measure atomic=1", "leave it out")),
    "blocks": (("--block-size", "4k", "--bs", "4k,512"), ("bs=512", "blocks of 4096 bytes")),
    "writes": (("--rw", "randread,randwrite", "--read-only"), ("rw=randwrite", "is read-only")),
    "latency": (
        ("--backend-option", "latency=soon"),
        ("latency cannot be 'soon'", "write a whole"),
    ),
    "too long": (("--backend-option", "latency=9999s"), ("did not start", "latency=9999s")),
    "storage of a socket": (
        ("--backend", "{}/x.sock", "--storage", "null"),
        ("cannot use --storage", "does not start {}/x.sock", "leave --storage out"),
    ),
    "default size": (("--backend", "{}/x.sock", "--disk-size", "1G"), ("cannot use --disk-size",)),
    "its blocks": (("--socket", "{}/x.sock", "--block-size=4096"), ("cannot use --block-size",)),
    "share": (("--target-ci", "2"), ("unusable --target-ci 2", "write it as 2%")),
    "word": (("--target-ci", "ten"), ("unusable --target-ci ten", "write it as 5%")),
    "of fio": (("--", "--size=64m"), ("cannot use --size=64m", "write --set size=64m")),
    "no value": (("--", "--direct"), ("cannot use --direct", "write --set direct=VALUE")),
    "no time": (("--runtime", "0"), ("0.001 to 1,000,000,000 seconds",)),
    "many": (("--numjobs", "1,9999"), ("numjobs=9999",)),
    "storage": (("--storage", "file:{}/none/x"), ("{}/none/x", "no folder", "make the folder")),
    "a directory": (("--storage", "file:{}/folder"), ("{}/folder", "Is a directory")),
}


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with all that is no back-end."""
    with tempfile.TemporaryDirectory(prefix="pv-") as folder:
        place = Path(folder)
        (place / "file").touch()
        (place / "folder").mkdir()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
            left.bind(str(place / "left.sock"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
            datagrams.bind(str(place / "datagrams"))
            yield place


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("flags", [(), ("--dry-run",)], ids=["run", "dry run"])
def test_a_mistake_is_found_before_the_first_run(
    main_here: RunCommand, private: Path, place: Path, mistake: str, flags: tuple[str, ...]
) -> None:
    typed, parts = MISTAKES[mistake]
    ended = main_here(
        *ONE, *flags, "-o", "out", *(each.replace("{}", str(place)) for each in typed)
    )
    assert ended.status == 2
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 1
    for part in parts:
        assert part.replace("{}", str(place)) in ended.stderr
    assert not (private / "out").exists()
    state = private / "pyfio-virtio"
    assert not state.exists() or list(state.iterdir()) == []
    assert psutil.Process().children() == []


@pytest.mark.parametrize("flags", [(), ("--dry-run",)], ids=["run", "dry run"])
def test_a_folder_of_somebody_else_gets_no_results(
    main_here: RunCommand, private: Path, flags: tuple[str, ...]
) -> None:
    (private / "checkout" / ".git").mkdir(parents=True)
    ended = main_here(*ONE, *flags, "-o", "checkout")
    assert (ended.status, ended.stdout) == (2, "")
    assert "checkout: the folder has files already, and holds no sweep; name a" in ended.stderr
    assert [each.name for each in (private / "checkout").iterdir()] == [".git"]


def test_a_replay_goes_into_no_folder_of_somebody_else(
    main_here: RunCommand, private: Path, swept: Path
) -> None:
    (private / "file").touch()
    point = SweepFolder(swept).records()[0].point.hash
    ended = main_here("replay", point, str(swept), "-o", str(private))
    assert ended.status == 2
    assert "holds no sweep" in ended.stderr
    assert not (private / "plan.toml").exists()


@pytest.mark.parametrize("flags", [(), ("--dry-run",)], ids=["run", "dry run"])
def test_a_folder_of_another_sweep_is_found_before_the_first_run(
    main_here: RunCommand, swept: Path, flags: tuple[str, ...]
) -> None:
    before = (swept / "plan.toml").read_text()
    ended = main_here(*SWEEP, *flags, "--iodepth", "8", "-o", str(swept))
    assert (ended.status, ended.stdout) == (2, "")
    assert "holds another sweep: this option differs: iodepth (4 before, 4,8 now)" in ended.stderr
    assert (swept / "plan.toml").read_text() == before


def test_a_path_means_the_same_disk_however_it_is_written(
    main_here: RunCommand, private: Path, builtin: StartBackend
) -> None:
    path = Path(builtin().socket)
    short = os.path.relpath(path, private)
    other = f"./{short}"
    assert main_here(*ONE, "--backend", other, "-o", "out").status == 0
    assert read_settings(private / "out" / "plan.toml")[0].backend == (str(path),)
    again = main_here(*ONE, "--backend", str(path), "-o", "out")
    assert again.status == 0, again.stderr


@pytest.mark.parametrize(
    ("closed", "sentence"),
    [
        (False, "permission denied: the socket belongs to"),
        (True, "permission denied: this user may not enter its folder"),
    ],
)
def test_a_socket_of_somebody_else_needs_his_permission(
    main_here: RunCommand, place: Path, monkeypatch: pytest.MonkeyPatch, closed: bool, sentence: str
) -> None:
    """root may connect to every socket, so the kernel's answers are given here."""

    def refuse(*arguments: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(unix_sockets, "connect", refuse)
    path = place / "left.sock"
    if closed:
        monkeypatch.setattr(unix_sockets, "Path", lambda path: SimpleNamespace(stat=refuse))
    ended = main_here(*ONE, "--backend", str(path), "--dry-run")
    assert ended.status == 2
    assert f"{path}: {sentence}" in ended.stderr
    assert "LD_LIBRARY_PATH" not in ended.stderr
    assert "root" in ended.stderr

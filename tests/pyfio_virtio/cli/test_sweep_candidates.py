# SPDX-License-Identifier: GPL-2.0-or-later
"""sweep --backend, --backend-option, --engine-build and --fio: real runs, measured in turns."""

import json
import shutil
from pathlib import Path

import pytest

from pyfio_virtio.engine import engine
from pyfio_virtio.results.record import Record
from pyfio_virtio.results.results import PLAN, SweepFolder
from tests.conftest import RunCommand, StartBackend

TINY = (
    *("sweep", "--wait", "event", "--iodepth", "4", "--runtime", "0.2", "--ramp-time", "0"),
    "--no-controls",
)


def swept(command: RunCommand, folder: Path, *arguments: str, rounds: int = 2) -> list[Record]:
    serves_itself = not any(each.endswith(".sock") for each in arguments)
    size = ("--disk-size", "16M") if serves_itself else ()
    ended = command(*TINY, *size, "--repeats", str(rounds), "-o", str(folder), *arguments)
    assert ended.status == 0, ended.stderr
    return sorted(SweepFolder(folder).records(), key=lambda record: record.order)


def test_two_sockets_are_measured_in_turns_and_told_apart(
    command: RunCommand, private: Path, qsd: StartBackend
) -> None:
    disk = f"file:{private / 'disk'}"
    sockets = {
        how: qsd(storage=disk, size_bytes=16 << 20, options=(f"aio={how}",)).socket
        for how in ("threads", "io_uring")
    }
    named = [f"--backend={name}={path}" for name, path in sockets.items()]
    records = swept(command, private / "out", *named, rounds=5)
    for place in range(0, 10, 2):
        here = {record.options["backend_name"] for record in records[place : place + 2]}
        assert here == set(sockets)
    for record in records:
        name = str(record.options["backend_name"])
        assert record.point.backend == f"{name}: {sockets[name]}"
        assert record.backend_cpu is not None
    compared = command("compare", str(private / "out"), "--json")
    assert json.loads(compared.stdout)["in_turns"] is True
    # The base is what was typed first, and not what comes first in the alphabet.
    assert json.loads(compared.stdout)["base"] == "threads"
    told = command("report", str(private / "out"), "--markdown").stdout
    assert "Which back-end serves randread 4k best?" in told
    assert "threads" in told


def test_values_of_an_option_are_measured_in_turns(command: RunCommand, private: Path) -> None:
    records = swept(
        command,
        private / "out",
        *("--backend", "qsd", "--backend-option", "aio=threads,io_uring", "--storage", "file"),
    )
    assert {record.options["backend_name"] for record in records[:2]} == {
        "aio=threads",
        "aio=io_uring",
    }
    for record in records:
        assert f"file.{record.options['backend_name']}" in record.backend_command


def test_two_builds_and_two_programs_are_measured_in_turns(
    command: RunCommand, private: Path
) -> None:
    build, other = private / "checkout" / "build" / "lib", private / "fio"
    build.mkdir(parents=True)
    shutil.copy(engine.folder() / engine.NAME, build)
    shutil.copy(str(shutil.which("fio")), other)
    records = swept(
        command,
        private / "out",
        *(f"--engine-build=old={engine.folder()}", f"--engine-build=new={private / 'checkout'}"),
        *("--fio=a=fio", f"--fio=b={other}"),
        rounds=1,
    )
    columns = ("engine_build", "fio_program")
    assert {tuple(record.options[name] for name in columns) for record in records} == {
        (build, fio) for build in ("old", "new") for fio in ("a", "b")
    }
    for record in records:
        folder = build if record.options["engine_build"] == "new" else engine.folder()
        assert f"LD_LIBRARY_PATH={folder}" in record.fio_command
        assert (f" {other} " in record.fio_command) == (record.options["fio_program"] == "b")


def test_a_continued_sweep_asks_before_it_runs_a_program_that_only_its_file_names(
    command: RunCommand, private: Path
) -> None:
    program, mark, folder = private / "fio", private / "mark", private / "out"
    shutil.copy(str(shutil.which("fio")), program)
    swept(command, folder, f"--fio={program}", rounds=1)
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    for again in (
        ("sweep", str(folder / PLAN), "-o", str(folder)),
        ("sweep", str(folder / PLAN), "--dry-run"),
        ("replay", SweepFolder(folder).records()[0].point.hash, str(folder)),
    ):
        ended = command(*again)
        assert ended.status == 2
        assert f"runs {program} as fio" in ended.stderr
    assert not mark.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--backend", "builtin", "--backend", "builtin"), "--backend has builtin 2 times"),
        (("--backend", "builtin,qsd"), "write --backend builtin --backend qsd"),
        (("--backend", "qds"), "did you mean qsd?"),
        (("--backend", "qsd", "--backend-option", "aoi=threads"), "did you mean aio?"),
        (("--backend", "qsd", "--backend-option", "aio=threads"), "use storage memory or file"),
        (("--backend", "/run/a.sock", "--backend-option", "threads=2"), "leave out"),
        (("--backend", "qsd", "--serve", "poll"), "qsd has no --serve"),
        (("--engine-build", "/etc"), "there is no engine in /etc"),
        (("--fio", "a=fio", "--fio", "a=fio"), "--fio has a 2 times"),
        (("--fio", "/bin/true"), "not fio"),
    ],
)
def test_mistakes_have_a_sentence_and_leave_nothing(
    command: RunCommand, private: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    folder = private / "out"
    ended = command(*TINY, "-o", str(folder), *arguments)
    assert ended.status in (2, 3)
    assert ended.stderr.count("\n") == 1
    assert sentence in ended.stderr
    assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--base", "c"), "has no c; it has a, b"),
        (("--base", "a", "--other", "a"), "--base and --other are both a"),
        (("OUT", "--base", "a"), "name one folder"),
    ],
)
def test_what_cannot_be_compared_in_one_sweep_is_said(
    command: RunCommand, private: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    folder = str(private / "out")
    swept(command, private / "out", "--backend=a=builtin", "--backend=b=builtin", rounds=1)
    ended = command("compare", folder, *(folder if a == "OUT" else a for a in arguments))
    assert (ended.status, ended.stderr.count("\n")) == (2, 1)
    assert sentence in ended.stderr

# SPDX-License-Identifier: GPL-2.0-or-later
"""sweep/rerun.py: a point run again, from folders that somebody else may have made.

A forged folder is a real one with other settings, whose records fit them: as somebody would make
one who wants more than a figure to be had by replay.
"""

import json
import os
import shutil
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from pyfio_virtio.results.record import to_row
from pyfio_virtio.results.results import PLAN, RUNS, SweepFolder
from pyfio_virtio.sweep.points import resolve
from pyfio_virtio.sweep.settings import Settings, to_toml
from tests.conftest import Finished, RunCommand, StartBackend

# The number of a user that is not ours.
SOMEBODY = 12345
BASE = Settings(
    options={"rw": ("randwrite",), "bs": ("4k",), "iodepth": ("1",), "numjobs": ("1",)},
    runtime=0.2,
    ramp_time=0,
    repeats=1,
    controls=False,
    storage="null",
    disk_size="16M",
    seed=1,
)
Forge = Callable[..., Path]


@pytest.fixture
def forge(swept: Path, private: Path) -> Forge:
    """A folder with one point of these settings; options are added to those of BASE."""

    def make(options: Mapping[str, tuple[str, ...]] | None = None, **changes: Any) -> Path:  # noqa: ANN401 - of Settings
        folder = private / "forged"
        shutil.copytree(swept, folder)
        settings = replace(BASE, options={**BASE.options, **(options or {})}, **changes)
        (folder / PLAN).write_text(to_toml(settings, {}))
        [planned] = resolve(settings).points()
        record = replace(SweepFolder(swept).records()[0], point=planned.point, options={})
        (folder / RUNS).write_text(json.dumps(to_row(record)) + "\n")
        return folder

    return make


@pytest.fixture
def replayed(command: RunCommand, private: Path) -> Callable[..., Finished]:
    def replay(folder: Path, *arguments: str) -> Finished:
        point = SweepFolder(folder).records()[0].point.hash
        return command("replay", point, str(folder), "-o", str(private / "again"), *arguments)

    return replay


def _assert_refused(ended: Finished, sentence: str) -> None:
    assert (ended.status, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert sentence in ended.stderr


def test_a_disk_of_its_own_needs_no_yes(forge: Forge, replayed: Callable[..., Finished]) -> None:
    ended = replayed(forge())
    assert ended.status == 0, ended.stderr


@pytest.mark.parametrize("engines", [("virtio",), ("libaio",)])
def test_a_file_that_the_folder_names_needs_a_yes(
    forge: Forge, replayed: Callable[..., Finished], private: Path, engines: tuple[str, ...]
) -> None:
    precious = private / "precious"
    precious.write_bytes(bytes(16 << 20))
    folder = forge(storage=f"file:{precious}", engines=engines)
    _assert_refused(replayed(folder), f"writes to {precious}, which was not made for it; use --yes")
    assert not any(precious.read_bytes())
    assert replayed(folder, "--yes").status == 0
    assert any(precious.read_bytes())


def test_reading_a_file_that_is_there_needs_none(
    forge: Forge, replayed: Callable[..., Finished], private: Path
) -> None:
    precious = private / "precious"
    precious.write_bytes(bytes(16 << 20))
    ended = replayed(forge({"rw": ("randread",)}, storage=f"file:{precious}"))
    assert ended.status == 0, ended.stderr


def test_a_file_that_would_be_made_needs_a_yes_even_for_reading(
    forge: Forge, replayed: Callable[..., Finished], private: Path
) -> None:
    new = private / "new"
    folder = forge({"rw": ("randread",)}, storage=f"file:{new}")
    _assert_refused(replayed(folder), f"writes to {new}")
    assert not new.exists()


def test_a_socket_that_the_folder_names_needs_a_yes(
    forge: Forge, replayed: Callable[..., Finished], builtin: StartBackend
) -> None:
    theirs = builtin()
    _assert_refused(replayed(forge(backend=(theirs.socket,))), f"writes to {theirs.socket}")


def test_a_log_that_names_a_disk_is_replayed_on_ours(
    forge: Forge, replayed: Callable[..., Finished], private: Path, builtin: StartBackend
) -> None:
    precious, log = private / "precious", private / "log"
    precious.write_bytes(bytes(1 << 20))
    theirs = builtin(storage=f"file:{precious}").socket
    actions = ("add", "open", "write 0 4096", "close")
    lines = ["fio version 2 iolog", *(f"{theirs} {action}" for action in actions)]
    log.write_text("\n".join(lines) + "\n")
    options = {"read_iolog": (str(log),), "buffer_pattern": ("0xff",)}
    ended = replayed(forge(options))
    assert ended.status == 0, ended.stderr
    assert not any(precious.read_bytes())


@pytest.mark.parametrize(
    ("options", "changes", "sentence"),
    [
        ({"exec_prerun": ("touch {mark}",)}, {}, 'runs the command "touch {mark}"'),
        ({"write_iolog": ("{precious}",)}, {}, "writes to {precious}"),
        ({}, {"backend_option": ("stats-file={mark}",)}, "with --stats-file={mark}"),
        ({}, {"backend": ("qsd",), "backend_option": ("pidfile={mark}",)}, "with --pidfile={mark}"),
    ],
)
def test_what_the_folder_would_have_done_beside_needs_a_yes(
    forge: Forge,
    replayed: Callable[..., Finished],
    private: Path,
    options: dict[str, tuple[str, ...]],
    changes: dict[str, Any],
    sentence: str,
) -> None:
    mark, precious = private / "mark", private / "precious"
    precious.write_text("thesis")

    def filled(value: Any) -> Any:  # noqa: ANN401 - of any setting
        if isinstance(value, tuple):
            return tuple(filled(each) for each in value)
        return value.format(mark=mark, precious=precious)

    folder = forge(
        {name: filled(each) for name, each in options.items()},
        **{name: filled(each) for name, each in changes.items()},
    )
    _assert_refused(replayed(folder), filled(sentence))
    assert not mark.exists()
    assert precious.read_text() == "thesis"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"options": {**BASE.options, "rw": "read\nexec_prerun=x"}}, "cannot write"),
        ({"options": {**BASE.options, "include": "/x"}}, "for an include"),
        ({"options": {**BASE.options, "directory": "/x"}}, "cannot set fio's option"),
        ({"cpus": "0\nexec_prerun=x:0"}, "unknown cpus"),
        ({"backend": "evil"}, "unknown back-end 'evil'"),
        ({"engines": "/x/evil.so"}, "has no engine /x/evil.so"),
        ({"backend_option": "storage=file:/x"}, "storage=file:/x"),
    ],
)
def test_settings_that_no_sweep_has_are_refused(
    swept: Path, private: Path, command: RunCommand, settings: dict[str, Any], sentence: str
) -> None:
    folder = private / "forged"
    shutil.copytree(swept, folder)
    plan = tomllib.loads(to_toml(BASE, {}))
    (folder / PLAN).write_text(tomli_w.dumps(plan | settings))
    ended = command("replay", SweepFolder(folder).records()[0].point.hash, str(folder), "--yes")
    assert ended.status in (2, 3)
    assert ended.stderr.count("\n") == 1
    assert sentence in ended.stderr


def test_a_plan_whose_tables_are_none_is_refused(
    swept: Path, private: Path, command: RunCommand
) -> None:
    folder = private / "forged"
    shutil.copytree(swept, folder)
    (folder / PLAN).write_text("versions = 3\n" + to_toml(BASE, {}))
    ended = command("replay", SweepFolder(folder).records()[0].point.hash, str(folder))
    _assert_refused(ended, "versions is not a table")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_plan_of_somebody_else_needs_a_yes(
    forge: Forge, replayed: Callable[..., Finished]
) -> None:
    folder = forge()
    os.chown(folder / PLAN, SOMEBODY, SOMEBODY)
    _assert_refused(
        replayed(folder), f"{folder / PLAN}, which belongs to user {SOMEBODY}; use --yes"
    )
    assert replayed(folder, "--yes").status == 0


def test_a_plan_that_anybody_may_change_needs_a_yes(
    forge: Forge, replayed: Callable[..., Finished]
) -> None:
    folder = forge()
    (folder / PLAN).chmod(0o666)
    _assert_refused(replayed(folder), "which anybody may change")


def test_what_the_folder_says_of_fio_is_not_run(
    forge: Forge, replayed: Callable[..., Finished], private: Path
) -> None:
    """Its records hold command lines, to be shown."""
    folder, mark = forge(), private / "mark"
    row = json.loads((folder / RUNS).read_text())
    row |= {"fio_command": f"touch {mark}", "backend_command": f"touch {mark}"}
    (folder / RUNS).write_text(json.dumps(row) + "\n")
    assert replayed(folder).status == 0
    assert not mark.exists()

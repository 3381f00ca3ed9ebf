# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/fio-options.md names every option of fio, and the engine does what the page says."""

import json
import re
from pathlib import Path

import fio_headers
import fio_known_options
import pytest

from tests.conftest import ROOT, Fio, FioRun, Option, StartBackend, run_to_end
from tests.end_to_end.refusal import refusal, sentences

Options = dict[str, Option]

_PAGE = ROOT / "docs" / "fio-options.md"
_ROW = re.compile(r"^\| (?P<names>`[^|]+`) \| (?P<word>[a-z ]+) \|", re.MULTILINE)
_WORDS = {"fio", "engine", "note", "refused", "fio refuses"}
# They do the work of fio's list of jobs, and have no meaning without it.
_RUN: Options = {"rw": "write", "bs": "4k", "size": "64k", "number_ios": 4}

# Values with which an option would not be at its default. Others get 1.
VALUES: dict[str, Options] = {
    "allow_file_create": {"allow_file_create": 0},
    "allow_mounted_write": {"allow_mounted_write": 0},
    "bs_unaligned": {"bs_unaligned": 1},
    "bsrange": {"bsrange": "4k-8k"},
    "bssplit": {"bssplit": "4k/50:8k/50"},
    "ba": {"rw": "randwrite", "ba": "8k"},
    "bs": {"bs": "8k"},
    "cgroup_weight": {"cgroup_weight": 500},
    "create_fsync": {"create_fsync": 1},
    "create_serialize": {"create_serialize": 0},
    "fadvise_hint": {"fadvise_hint": "random"},
    "fallocate": {"fallocate": "posix"},
    "filename": {},
    "filesize": {"filesize": "64k", "size": None},
    "fsync": {"fsync": 2},
    "hugepage-size": {"hugepage-size": "4m"},
    "io_size": {"io_size": "8k"},
    "io_submit_mode": {"io_submit_mode": "offload"},
    "iodepth": {"iodepth": 8},
    "iodepth_batch": {"iodepth": 8, "iodepth_batch": 4},
    "iomem_align": {"iomem_align": "64k"},
    "ioscheduler": {"ioscheduler": "none"},
    "mem": {"mem": "malloc"},
    "number_ios": {"number_ios": 2},
    "numa_mem_policy": {"numa_mem_policy": "local", "thread": 1},
    "offset": {"offset": "4k"},
    "offset_align": {"offset": "10%", "offset_align": "8k"},
    "offset_increment": {"offset_increment": "64k"},
    "rw": {"rw": "randread"},
    "size": {"size": "32k"},
    "sync": {"sync": "dsync"},
    "sync_file_range": {"sync_file_range": "write:2"},
    "write_barrier": {"write_barrier": 2},
    "write_hint": {"write_hint": "short"},
    "zonemode": {"zonemode": "strided", "zonesize": "8k"},
    "zonerange": {"zonemode": "strided", "zonesize": "8k", "zonerange": "16k"},
    "zonesize": {"zonemode": "strided", "zonesize": "8k"},
    "zoneskip": {"zonemode": "strided", "zonesize": "8k", "zoneskip": "8k"},
    "fdatasync": {"fdatasync": 2},
    "dataplacement": {"dataplacement": "streams", "plids": "1"},
}


def table() -> dict[str, str]:
    """Word by option."""
    rows = [
        (name, row["word"])
        for row in _ROW.finditer(_PAGE.read_text())
        for name in re.findall(r"`([^`]+)`", row["names"])
    ]
    assert len(dict(rows)) == len(rows), "an option is in the page twice"
    return dict(rows)


def of_this_fio() -> set[str]:
    """What the help shows, which leaves out some children, and what the sources have."""
    shown = run_to_end(["fio", "--cmdhelp=all"], {}).stdout
    helped = {line.split(":")[0].strip() for line in shown.splitlines() if ":" in line}
    tree = fio_headers.configured_tree(ROOT / "build")
    return helped | {option.name for option in fio_known_options.read(tree)}


def unless_absent(name: str) -> None:
    if name not in {line.split(":")[0].strip() for line in _help().splitlines()}:
        pytest.skip("this fio was built without the option")


def _help() -> str:
    return run_to_end(["fio", "--cmdhelp=all"], {}).stdout + "iomem_align:\nbs_is_seq_rand:\n"


def run(fio: Fio, socket: str, name: str, **more: Option) -> FioRun:
    return fio(socket, **{**_RUN, **VALUES.get(name, {name: 1}), **more})


def notes(run: FioRun) -> list[str]:
    lines = run.stdout.splitlines()
    found = [line.removeprefix("fio_virtio: ") for line in lines if line.startswith("fio_virtio: ")]
    return [line for line in found if not line.startswith("ordinary pages")]


def with_word(*words: str) -> list[str]:
    return sorted(name for name, word in table().items() if word in words)


def test_the_page_has_every_option_of_this_fio() -> None:
    assert of_this_fio() - set(table()) == set()


def test_the_page_uses_the_words_that_it_explains() -> None:
    assert set(table().values()) == _WORDS


@pytest.mark.parametrize("name", with_word("note"))
def test_an_option_without_effect_is_named_once_for_all_jobs(
    builtin: StartBackend, fio: Fio, name: str
) -> None:
    unless_absent(name)
    ran = run(fio, builtin(queues=3).socket, name, numjobs=3)
    assert ran.status == 0, ran.stderr
    (said,) = notes(ran)
    assert said.startswith(name)


@pytest.mark.parametrize("name", with_word("refused"))
def test_an_option_that_cannot_be_kept_is_refused(
    builtin: StartBackend, fio: Fio, name: str
) -> None:
    unless_absent(name)
    assert refusal(run(fio, builtin().socket, name)).startswith(name)


@pytest.mark.parametrize("name", with_word("fio refuses"))
def test_fio_refuses_some_options_itself(builtin: StartBackend, fio: Fio, name: str) -> None:
    unless_absent(name)
    ran = run(fio, builtin().socket, name)
    assert ran.status > 0
    assert sentences(ran) == []


@pytest.mark.parametrize("name", with_word("engine"))
def test_an_option_with_its_full_effect_needs_no_words(
    builtin: StartBackend, fio: Fio, name: str
) -> None:
    unless_absent(name)
    ran = run(fio, builtin().socket, name)
    assert (ran.status, notes(ran)) == (0, []), ran.stderr


@pytest.mark.parametrize(
    "options",
    [
        {"direct": 1},
        {"buffered": 0},
        {"invalidate": 0},
        {"fallocate": "none"},
        {"fadvise_hint": 0},
        {"allow_mounted_write": 1},
        {"pre_read": 0},
        {"unlink": 0},
        {"numa_mem_policy": "local", "thread": None},
    ],
    ids=str,
)
def test_a_value_that_promises_nothing_needs_no_words(
    builtin: StartBackend, fio: Fio, options: Options
) -> None:
    ran = fio(builtin().socket, **{**_RUN, **options})
    assert (ran.status, notes(ran)) == (0, []), ran.stderr


@pytest.mark.parametrize(
    "more", [{"thread": 1}, {"thread": None}, {"create_serialize": 0}], ids=str
)
def test_a_note_is_said_once_for_threads_and_processes(
    builtin: StartBackend, fio: Fio, more: Options
) -> None:
    socket = builtin(queues=4).socket
    ran = fio(socket, **{**_RUN, "write_hint": "short", "numjobs": 4, "thread": None, **more})
    assert ran.status == 0, ran.stderr
    assert len(notes(ran)) == 1


# ---- sync= -----------------------------------------------------------------------------------


def requests(fio: Fio, private: Path, socket: str, **options: Option) -> int:
    """How many requests the back-end got."""
    stats = private / "stats.json"
    ran = fio(socket, bs="4k", size="1m", stats_file=str(stats), **options)
    assert ran.status == 0, ran.stderr
    return int(json.loads(stats.read_text())["queues"][0]["requests"])


@pytest.mark.parametrize("sync", [1, "sync", "dsync"])
@pytest.mark.parametrize("iodepth", [1, 32])
def test_sync_flushes_after_each_write(
    disk: StartBackend, fio: Fio, private: Path, sync: Option, iodepth: int
) -> None:
    socket = disk().socket
    assert requests(fio, private, socket, rw="randwrite", sync=sync, iodepth=iodepth) == 512


@pytest.mark.parametrize("sync", [0, "none"])
def test_without_sync_nothing_is_flushed(
    disk: StartBackend, fio: Fio, private: Path, sync: Option
) -> None:
    assert requests(fio, private, disk().socket, rw="randwrite", sync=sync) == 256


def test_sync_flushes_after_no_read(disk: StartBackend, fio: Fio, private: Path) -> None:
    assert requests(fio, private, disk().socket, rw="randread", sync=1) == 256


@pytest.mark.parametrize("wait", ["event", "busy", "sleepy"])
def test_synchronous_writes_are_verified(disk: StartBackend, fio: Fio, wait: str) -> None:
    ran = fio(
        disk().socket, rw="randwrite", sync=1, size="1m", iodepth=16, verify="crc32c", wait=wait
    )
    assert (ran.status, ran.first["read"]["total_ios"]) == (0, 256), ran.stderr


def test_a_synchronous_write_whose_flush_fails_has_failed(builtin: StartBackend, fio: Fio) -> None:
    disk = builtin(options=("fault=error:type=flush",))
    ran = fio(disk.socket, rw="write", sync=1, size="1m")
    assert (ran.status, ran.first["write"]["io_bytes"]) == (1, 0)
    assert "flush" in ran.stderr

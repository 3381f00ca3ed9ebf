# SPDX-License-Identifier: GPL-2.0-or-later
"""convert.py: jobs for other engines become jobs for ours, and each change is told."""

import json
from pathlib import Path

import pytest

from pyfio_virtio import convert, reach
from pyfio_virtio.errors import UsageError
from pyfio_virtio.fio import fio, job
from tests.conftest import ROOT, RunCommand

ENGINES = {"libaio": {"userspace_reap", "nowait"}, "io_uring": {"hipri", "sqthread_poll"}}
LIBAIO = """[global]
ioengine=libaio ; asynchronous
direct=1
invalidate=1
filename=/data/test
size=4g
bs=4k

[randread]
rw=randread
iodepth=32
userspace_reap
"""


def _convert(text: str, disk_bytes: int | None = 1 << 30) -> convert.Converted:
    return convert.convert(job.parse(text), lambda name: ENGINES.get(name, ()), disk_bytes)


def test_the_load_stays_and_the_rest_is_for_the_disk() -> None:
    assert _convert(LIBAIO).job.text() == (
        "[global]\nthread=1\nioengine=fio_virtio\nsize=100%\nbs=4k\n\n"
        "[randread]\nrw=randread\niodepth=32\n"
    )


def test_every_change_is_told() -> None:
    assert _convert(LIBAIO).changes == (
        "ioengine=libaio is now ioengine=fio_virtio",
        "size=4g is now size=100%, because the disk has 1 GiB (--disk-size changes it)",
        "it runs on the disk of this run instead of filename=/data/test",
        "left out, because it has no meaning for that disk: direct=1, invalidate=1, userspace_reap",
        "thread=1 was added, so that the jobs share one connection to the disk",
    )


def test_a_job_for_our_engine_stays_as_it_is() -> None:
    text = "[a]\nioengine=fio_virtio\nfilename=/s\ndirect=1\n[b]\nioengine=cpuio\nthread=1\n"
    assert _convert(text) == convert.Converted(job.parse(text), ())


def test_fios_default_engine_is_another_engine() -> None:
    done = _convert("[a]\nrw=read\nthread=0\n")
    assert done.job.text() == "[global]\nioengine=fio_virtio\n[a]\nrw=read\nthread=0\n"
    assert "ioengine=fio_virtio was added" in done.changes[0]


def test_each_section_gets_our_engine_but_those_without_io() -> None:
    text = (
        "[a]\nioengine=io_uring\nhipri\n[b]\n[c]\nioengine=cpuio\ncpuload=5\n[d]\nioengine=sync\n"
    )
    sections = _convert(text).job.sections()
    assert [section.engine for section in sections] == [*["fio_virtio"] * 2, "cpuio", "fio_virtio"]
    assert sections[2].options["cpuload"] == "5"
    assert "hipri" not in sections[0].options


@pytest.mark.parametrize(
    ("lines", "size"),
    [
        ("filesize=1m\nnrfiles=4", str(4 << 20)),
        ("filesize=1m", str(1 << 20)),
        ("size=2m\nfilesize=1m", "2m"),
        ("size=50%", "50%"),
        ("size=1g", "1g"),
        ("size=1025m", "100%"),
        ("filesize=512m\nnrfiles=4", "100%"),
        ("filesize=1m-2m", None),
    ],
)
def test_a_size_is_that_of_the_files_and_no_larger_than_the_disk(
    lines: str, size: str | None
) -> None:
    [section] = _convert(f"[a]\n{lines}\n").job.sections()
    assert section.options.get("size") == size
    assert "nrfiles" not in section.options
    assert "filesize" not in section.options or "size=2m" in lines


@pytest.mark.parametrize(
    ("lines", "is_kept"),
    [
        ("size=2m\nfilesize=1m", True),
        ("size=2m\nfilesize=2g", False),
        ("size=2m\nfilesize=1m\nnrfiles=2", False),
        ("size=2m\nfilesize=1m-2m", False),
    ],
)
def test_a_file_that_is_smaller_than_the_job_still_ends_it(lines: str, is_kept: bool) -> None:
    [section] = _convert(f"[a]\n{lines}\n").job.sections()
    assert ("filesize" in section.options) == is_kept


@pytest.mark.parametrize(
    "line", ["sync=1", "sync=dsync", "sync_file_range=write:4", "create_only=1"]
)
def test_what_the_engine_carries_out_is_kept(line: str) -> None:
    assert f"\n{line}\n" in _convert(f"[a]\nioengine=libaio\n{line}\n").job.text()


def test_a_disk_whose_size_is_not_known_is_taken_to_be_large_enough() -> None:
    assert _convert("[a]\nsize=9t\n", None).job.sections()[0].options["size"] == "9t"


def test_a_depth_that_was_none_before_is_told() -> None:
    text = "[a]\nioengine=psync\niodepth=8\nthread\n[b]\nioengine=libaio\niodepth=8\nthread\n"
    told = [change for change in _convert(text).changes if "iodepth" in change]
    assert told == ["[a] now has iodepth=8 in flight; ioengine=psync had only one I/O"]


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        ("[a]\nverify=md5\nnumjobs=2\n", True),
        ("[a]\nverify=md5\nfilename=/a\n[b]\nfilename=/b\n", True),
        ("[a]\nverify=md5\nfilename=/a\n[b]\nfilename=/a\n", False),
        ("[a]\nverify=md5\n", False),
        ("[a]\nnumjobs=2\n", False),
    ],
)
def test_jobs_that_verify_and_now_share_a_disk_are_told(text: str, is_told: bool) -> None:
    assert any("share a disk" in change for change in _convert(text).changes) == is_told


@pytest.mark.parametrize("engine", ["net", "filecreate", "exec"])
def test_an_engine_without_a_disk_has_no_load_to_take_over(engine: str) -> None:
    with pytest.raises(UsageError, match=rf"cannot convert \[b\]: ioengine={engine} "):
        _convert(f"[a]\n[b]\nioengine={engine}\n")


# ---- by the real command: fio's own examples are other people's jobs ----------------------------

TREE = Path((ROOT / "build" / "fio-tree").read_text().strip())
EXAMPLES = sorted((TREE / "examples").glob("*.fio"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_of_fios_runs_on_our_disk_alone_or_is_refused(
    main_here: RunCommand, path: Path
) -> None:
    ended = main_here("run", str(path), "--convert", "--dry-run")
    if ended.status:
        assert (ended.status, ended.stderr.count("\n")) == (2, 1), ended.stderr
        reasons = ("does not read and write a disk", "set the environment variable FIO_RW")
        assert any(reason in ended.stderr for reason in reasons), ended.stderr
        return
    text = ended.stdout.partition("# back-end")[0]
    for section in job.parse(text).sections():
        assert section.engine in ("fio_virtio", "cpuio")
        named = [name for name, use in reach.PATHS.items() if use is reach.Use.DISK]
        assert {name for name in named if name in section.options} <= {
            "filename",
            "replay_redirect",
        }
        assert all(value.endswith("/disk.sock") for value in section.every("filename"))


@pytest.mark.parametrize("name", ["fio-rand-RW", "aio-read", "iometer-file-access-server", "fsx"])
def test_a_converted_example_runs(command: RunCommand, name: str) -> None:
    path = TREE / "examples" / f"{name}.fio"
    limits = ("--runtime=1", "--time_based", "--loops=1")
    ended = command("run", str(path), "--convert", "--disk-size=16M", "--", *limits)
    assert ended.status == 0, ended.stderr
    assert f"{path} was converted:\n" in ended.stderr
    assert "\n  ioengine=libaio is now ioengine=fio_virtio\n" in ended.stderr
    assert "err= 0" in ended.stdout


@pytest.mark.parametrize(
    "engine", sorted({"psync", "libaio", "io_uring", "mmap"} & fio.engines(fio.find()))
)
def test_a_conversion_knows_the_options_of_the_engine(command: RunCommand, engine: str) -> None:
    """hipri is an option of io_uring alone, and fio says so of the others."""
    asked = ("--", "--name=a", f"--ioengine={engine}", "--rw=randread", "--number_ios=8", "--hipri")
    ended = command("run", "--convert", "--disk-size=16M", *asked)
    assert (ended.status == 0) == (engine == "io_uring"), ended.stderr


def test_an_engine_that_is_only_a_file_is_never_loaded_to_be_converted(
    command: RunCommand, private: Path
) -> None:
    other, job_file = private / "spdk_bdev", private / "job"
    other.write_text("no engine")
    head = f"[a]\nioengine={other}\nspdk_json_conf=/x\nfilename=Malloc0\niomem_align=4k\n"
    job_file.write_text(f"{head}rw=randread\nnumber_ios=8\n")
    ended = command("run", str(job_file), "--convert", "--disk-size=16M")
    assert ended.status == 0, ended.stderr
    assert "has no meaning for that disk: spdk_json_conf=/x\n" in ended.stderr


def test_a_job_as_it_stands_cannot_be_converted(command: RunCommand) -> None:
    ended = command("run", "--convert", "--backend=none")
    assert ended.status == 2
    assert "leave --convert or --backend none out" in ended.stderr


def test_a_job_for_our_engine_is_said_to_be_one(command: RunCommand) -> None:
    ended = command("run", "--convert", "--", "--number_ios=10", "--time_based=0")
    assert ended.status == 0
    assert "nothing was converted" in ended.stderr


def test_json_is_whole_after_a_conversion(command: RunCommand) -> None:
    ended = command("run", "--convert", "--json", "--", "--name=a", "--rw=read", "--number_ios=9")
    assert json.loads(ended.stdout)["jobs"][0]["error"] == 0

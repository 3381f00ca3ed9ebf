# SPDX-License-Identifier: GPL-2.0-or-later
"""job.py: job files read, changed and asked what they would do."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfio_virtio import job
from pyfio_virtio.errors import UsageError

NAMES = st.text("abcdefgh_", min_size=1, max_size=8).filter(lambda name: not name.startswith("inc"))
VALUES = st.one_of(st.none(), st.text("0123456789abc:/.%", min_size=1, max_size=8))
OPTIONS = st.dictionaries(NAMES, VALUES, max_size=5)
SECTIONS = st.lists(st.tuples(st.sampled_from(["global", "a", "b c", "d"]), OPTIONS), max_size=5)


def _job(sections: list[tuple[str, dict[str, str | None]]]) -> job.Job:
    return job.Job(()).with_sections(sections)


@given(SECTIONS)
def test_a_job_written_is_the_job_read(sections: list[tuple[str, dict[str, str | None]]]) -> None:
    written = _job(sections)
    assert job.parse(written.text()).sections() == written.sections()


@given(SECTIONS, NAMES, VALUES)
def test_an_option_set_holds_in_every_job(
    sections: list[tuple[str, dict[str, str | None]]], key: str, value: str | None
) -> None:
    changed = job.parse(_job(sections).with_options({key: value}).text())
    assert all(section.options[key] == (value or "") for section in changed.sections())


@given(SECTIONS, NAMES, VALUES)
def test_an_option_set_leaves_the_others_alone(
    sections: list[tuple[str, dict[str, str | None]]], key: str, value: str | None
) -> None:
    before = _job(sections)
    after = before.with_options({key: value})
    for old, new in zip(before.sections(), after.sections(), strict=True):
        assert {**old.options, key: value or ""} == dict(new.options)


def test_comments_and_order_stay() -> None:
    text = "# first\n[global]\nrw=read  ; why\n\n[a]\n# last\nfilename=/dev/sda\n"
    changed = job.parse(text).with_options({"filename": "/s"}).text()
    assert changed == text.replace("/dev/sda", "/s")


def test_every_filename_is_replaced() -> None:
    text = "[global]\nfilename=/dev/sda\n[a]\n[b]\nfilename=/dev/sdb:/dev/sdc\n"
    changed = job.parse(text).with_options({"filename": "/s"})
    assert [section.options["filename"] for section in changed.sections()] == ["/s", "/s"]
    assert "/dev/sd" not in changed.text()


def test_a_second_name_of_an_option_is_the_same_option() -> None:
    changed = job.parse("[a]\nblocksize=8k\n").with_options({"bs": "4k"})
    assert changed.text() == "[a]\nbs=4k\n"


def test_a_global_section_holds_for_the_jobs_after_it_only() -> None:
    sections = job.parse("[a]\n[global]\nrw=write\n[b]\n").sections()
    assert [section.writes() for section in sections] == [False, True]


@pytest.mark.parametrize(
    "rw", ["write", "randwrite", "rw", "readwrite", "randrw", "trim", "randtrim", "trimwrite"]
)
def test_a_job_that_changes_the_disk_writes(rw: str) -> None:
    assert job.parse(f"[a]\nreadwrite={rw}:8\n").writing()


@pytest.mark.parametrize("text", ["", "rw=read", "rw=randread:8k", "rw=randread\nverify=crc32c"])
def test_a_job_that_reads_does_not_write(text: str) -> None:
    assert not job.parse(f"[a]\n{text}\n").writing()


def test_a_replayed_log_may_write() -> None:
    assert job.parse("[a]\nrw=read\nread_iolog=log\n").writing()


def test_an_unknown_direction_may_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DIRECTION", raising=False)
    assert job.parse("[a]\nrw=${DIRECTION}\n").writing()


def test_variables_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIRECTION", "randread")
    assert not job.parse("[a]\nrw=${DIRECTION}\n").writing()


def test_written_disks_are_named_once() -> None:
    text = (
        "[global]\nrw=write\nfilename=/a\n[x]\n[y]\n[z]\nfilename=/b\n[r]\nrw=read\nfilename=/c\n"
    )
    assert job.parse(text).written_disks() == ["/a", "/b"]


def test_a_queue_for_each_job() -> None:
    assert job.parse("[global]\nnumjobs=3\n[a]\n[b]\nnumjobs=2\n").queues() == 5


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("[a]\nioengine=fio_virtio\n", []),
        ("[a]\nioengine=fio_virtio\ndevice=auto\n", []),
        ("[a]\nioengine=libaio\ndevice=scsi\n", []),
        ("[global]\nioengine=fio_virtio\ndevice=scsi\n[a]\n[b]\n", ["scsi"]),
        ("[global]\nioengine=fio_virtio\n[a]\ndevice=blk\n[b]\ndevice=scsi\n", ["blk", "scsi"]),
    ],
)
def test_devices_that_jobs_ask_for_are_named_once(text: str, devices: list[str]) -> None:
    assert job.parse(text).devices() == devices


@pytest.mark.parametrize("engine", ["fio_virtio", "external:build/lib/fio_virtio"])
def test_our_engine_is_known_by_either_name(engine: str) -> None:
    assert job.parse(f"[a]\nioengine={engine}\n").uses_engine()


def test_another_engine_is_not_ours() -> None:
    assert not job.parse("[a]\nioengine=libaio\n").uses_engine()


def test_included_files_take_their_places(tmp_path: Path) -> None:
    (tmp_path / "part").write_text("rw=write\n")
    (tmp_path / "a.fio").write_text("[a]\ninclude part\nbs=4k\n")
    assert job.read(tmp_path / "a.fio").text() == "[a]\nrw=write\nbs=4k\n"


def test_files_that_include_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.fio").write_text("[a]\ninclude a.fio\n")
    with pytest.raises(UsageError, match="circles"):
        job.read(tmp_path / "a.fio")


def test_a_binary_file_is_no_job(tmp_path: Path) -> None:
    (tmp_path / "a.fio").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not text"):
        job.read(tmp_path / "a.fio")


def test_a_colon_in_a_path_does_not_part_files() -> None:
    assert job.escaped_filename("/run/a:b") == "/run/a\\:b"


@pytest.mark.parametrize("path", ["", " /s", "/a;b", "/a#b", "/a$b", "/a\\b", "/a\nrw=write"])
def test_a_path_that_no_job_file_can_hold_is_refused(path: str) -> None:
    with pytest.raises(UsageError):
        job.escaped_filename(path)


@pytest.mark.parametrize("value", ["a;b", "a#b", "a\nrw=write"])
def test_a_value_that_no_job_file_can_hold_is_refused(value: str) -> None:
    with pytest.raises(UsageError):
        job.option("description", value)


def test_fio_sees_the_same_jobs(tmp_path: Path) -> None:
    text = "[global]\nbs=4k ; blocks\n#x\n[a]\nrw=read\n[b]\nbs=8k\nrw=write#w\n"
    path = tmp_path / "a.fio"
    path.write_text(job.parse(text).with_options({"iodepth": "3"}).text())
    shown = subprocess.run(
        ["fio", "--showcmd", str(path)], capture_output=True, text=True, check=True
    ).stdout
    everywhere = "--iodepth=3 --bs=4k"
    assert (
        shown.split()
        == (f"fio {everywhere} --name=a --rw=read --name=b --bs=8k --rw=write").split()
    )


def test_an_option_of_the_engine_goes_where_the_engine_is() -> None:
    text = "[a]\nioengine=null\n[b]\nrw=read\nioengine=external:/lib/fio_virtio\n"
    changed = job.parse(text).with_engine_option("stats_file", "/s")
    assert [section.options.get("stats_file") for section in changed.sections()] == [None, "/s"]
    assert changed.stats_files() == ["/s"]

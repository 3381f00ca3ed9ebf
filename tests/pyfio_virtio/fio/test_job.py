# SPDX-License-Identifier: GPL-2.0-or-later
"""fio/job.py: job files read, changed and asked what they would do."""

import os
import re
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyfio_virtio.errors import UsageError
from pyfio_virtio.fio import job

NAMES = st.text("abcdefgh_", min_size=1, max_size=8).filter(lambda name: not name.startswith("inc"))
VALUES = st.one_of(st.none(), st.text("0123456789abc:/.%", min_size=1, max_size=8))
OPTIONS = st.dictionaries(NAMES, VALUES, max_size=5)
# What lines of job files are made of, and what some reader of lines takes for their ends.
PIECES = (
    *("[a]", "[global]", "[b", "[]", "[a]b", "[a b]", " [c]", "[global x]"),
    *("bs=4k", "blocksize = 8k", "rw=read", "time_based", " time_based ", "description=x=y"),
    *("description=${V}", "${V}=4k", "${V}", "b${V}=4k", "include part", "include=part"),
    *("include", "includepart", "include\tpart", "# bs=4k", " ; bs=4k", "bs=4k;x", "#", "=", "=4k"),
    *("description=\udce9", "[\udce9]", "# \udce9\x01", "\udce9=4k", ";\r", "\udcff"),
    *("\0", "\x01", "\t", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\xa0", "\ufeff", " "),
    f"description={'x' * 4085}",
    f"description={'x' * 8180}",
)
ENDS = ("\n", "\n", "\n", "\r\n", "\r", "")
SECTIONS = st.lists(st.tuples(st.sampled_from(["global", "a", "b c", "d"]), OPTIONS), max_size=5)


def _job(sections: list[tuple[str, dict[str, str | None]]]) -> job.Job:
    return job.Job(()).with_sections(sections)


def _as_fio_reads(path: Path) -> list[list[str]] | None:
    """Each section with its options, sorted, as fio itself takes them; None: it refuses some."""
    command = ["fio", "--parse-only", "--debug=parse", str(path)]
    ended = subprocess.run(command, capture_output=True, cwd=path.parent, check=False)
    read: list[list[str]] = []
    said = ended.stdout.decode(errors="surrogateescape")
    for name, key, value in re.findall(
        r"^parse +\d+ +(?:Parsing section \[(.*)\]|handle_option=(\w+), ptr=(.*))$",
        said,
        re.MULTILINE,
    ):
        if key:
            read[-1].append(f"{key}={'' if value == '(null)' else value.strip(' ')}")
        else:
            read.append([name])
    return None if ended.returncode else [[name, *sorted(options)] for name, *options in read]


def _as_we_read(text: str) -> list[list[str]]:
    read: list[list[str]] = []
    for line in job.parse(text).lines:
        if line.header is not None:
            read.append([line.header])
        elif line.key is not None:
            # A section of its own, so that what stands above it counts for nothing.
            [section] = job.Job((line,)).with_sections([("x", {})]).sections()
            read[-1] += [f"{key}={value}" for key, value in section.options.items()]
    return [[name, *sorted(options)] for name, *options in read]


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(ENDS)), max_size=6))
def test_fio_reads_a_job_as_we_do_or_it_is_refused(
    tmp_path: Path, pieces: list[tuple[str, str]]
) -> None:
    path = tmp_path / "a.fio"
    (tmp_path / "part").write_text("bs=16k\n")
    text = "[x]\n" + "".join(map("".join, pieces))
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with suppress(UsageError):
        read = job.read(path)
        path.write_bytes(read.to_bytes())
        assert _as_fio_reads(path) in (None, _as_we_read(read.text()))


@pytest.mark.parametrize(
    "line",
    [
        *("[a", "[]", "include=x", "include", "includex", "${NAME}=/dev/sda", "=x", "a b=c"),
        *("rw=read\x0bfilename=/dev/sda", "rw=read\rfilename=/dev/sda", "rw=read\0"),
        f"# {'x' * 5000}",
    ],
)
def test_a_line_that_fio_may_read_otherwise_is_refused_with_its_number(line: str) -> None:
    with pytest.raises(UsageError, match="cannot read line 2, "):
        job.parse(f"[a]\n{line}\n")


@pytest.mark.parametrize(
    "line", ["[ a ]", "\tbs=4k", "bs = 4k", "description=ü", "; ü", "# [a", "\r"]
)
def test_a_line_that_is_only_unusual_is_read(line: str) -> None:
    assert job.parse(f"[a]\n{line}\n").text() == f"[a]\n{line.rstrip(chr(13))}\n"


@pytest.mark.parametrize("key", ["include", "[x", "a\nfilename", "a b", ""])
def test_an_option_that_fio_would_take_for_something_else_is_refused(key: str) -> None:
    with pytest.raises(UsageError):
        job.option(key, "x")


@pytest.mark.parametrize("name", ["a\nrw=write", "", "a;b"])
def test_a_job_that_would_be_more_than_a_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        job.Job(()).with_sections([(name, {})])


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


def test_a_queue_for_each_job() -> None:
    assert job.parse("[global]\nnumjobs=3\n[a]\n[b]\nnumjobs=2\n").queues() == 5


def test_a_queue_for_each_cpu_where_a_job_has_as_many() -> None:
    assert job.parse("[a]\nnumjobs=$ncpus\n").queues() == os.sysconf("SC_NPROCESSORS_CONF")


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
    with pytest.raises(UsageError, match="nested too deeply"):
        job.read(tmp_path / "a.fio")


def test_a_mark_of_the_byte_order_is_not_part_of_a_job(tmp_path: Path) -> None:
    (tmp_path / "a.fio").write_bytes(b"\xef\xbb\xbf[a]\r\nrw=read\r\n")
    assert job.read(tmp_path / "a.fio").text() == "[a]\nrw=read\n"


@pytest.mark.parametrize("held", [b"\xff\xfe[\0a\0]\0", b"\0", b"[a]\n# \0\n"])
def test_a_binary_file_is_no_job(tmp_path: Path, held: bytes) -> None:
    (tmp_path / "a.fio").write_bytes(held)
    with pytest.raises(UsageError, match="it is a binary file"):
        job.read(tmp_path / "a.fio")


@pytest.mark.parametrize(
    "line",
    [b"# caf\xe9", b"; \x01\x7f", b"description=caf\xe9", b"filename=/\xff\xc3", b"bs=4k #\r\xe9"],
)
def test_bytes_that_are_not_utf_8_stay(tmp_path: Path, line: bytes) -> None:
    held = b"[a\xe9]\n" + line + b"\n"
    (tmp_path / "a.fio").write_bytes(held)
    assert job.read(tmp_path / "a.fio").to_bytes() == held


@given(st.binary(max_size=30))
def test_a_job_that_is_read_is_written_with_the_same_bytes(held: bytes) -> None:
    # What begins a line as a comment may be any text; \r before the line end is dropped.
    line = b"# " + held.replace(b"\0", b"").replace(b"\n", b"").rstrip(b"\r")
    text = line.decode("utf-8", "surrogateescape")
    assert job.parse(f"[a]\n{text}\n").to_bytes() == b"[a]\n" + line + b"\n"


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

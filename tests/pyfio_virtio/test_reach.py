# SPDX-License-Identifier: GPL-2.0-or-later
"""reach.py: what a job may change outside of fio, and what it would run.

The first part holds the table of options against fio's own; the second asks jobs what they reach;
the third runs them with the real command, beside a disk of somebody's.
"""

import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfio_virtio import reach
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.engine import engine
from pyfio_virtio.errors import UsageError
from pyfio_virtio.fio import fio, job
from pyfio_virtio.reach import PATHS
from tests.conftest import ROOT, RunCommand, StartBackend

BUILD = ROOT / "build"

# Options of fio that hold a text, none of which is a path or a command that fio follows. An option
# that a new release of fio adds is looked at by somebody, and then stands here or in PATHS.
NO_PATHS = {
    # Texts and names that fio only shows or compares.
    *("description", "name", "wait_for", "profile", "cgroup", "ioscheduler"),
    # One of several words, or numbers with words about them.
    *("lockfile", "rw", "rw_sequencer", "io_submit_mode", "random_generator", "file_service_type"),
    *("random_distribution", "fallocate", "fadvise_hint", "clocksource", "verify", "replay_skip"),
    *("zonemode", "thinktime_blocks_type", "rate_process", "sync", "write_hint", "exit_what"),
    *("cpus_allowed_policy", "numa_mem_policy", "dedupe_mode", "unified_rw_reporting"),
    *(
        "continue_on_error",
        "kb_base",
        "unit_base",
        "steadystate",
        "ignore_error",
        "sync_file_range",
    ),
    *("filetype", "dataplacement", "plid_select", "log_window_value"),  # of fio 3.41
    # Numbers, lists and ranges of them.
    *("bssplit", "randseed", "filesize", "number_ios", "verify_backlog", "trim_backlog"),
    *("zonesize", "zonecapacity", "zonerange", "lockmem", "cpus_allowed", "numa_cpu_nodes"),
    *("log_compression_cpus", "verify_async_cpus"),
    "plids",  # of fio 3.41
}
# Options of fio_virtio that hold a text.
ENGINE_NO_PATHS = {
    *("device", "trim", "wait", "event_idx", "indirect", "hugepages", "call_suppression"),
    "explain_watch",  # a CPU
}
# Each fio that is at hand, with its sources.
FIOS = {"fio": Path((BUILD / "fio-tree").read_text().strip())}
FIOS |= {f"{path}/fio": path for path in BUILD.glob("fio-*") if (path / "fio").is_file()}
IS_TEXT = "type: string (opt=bla)"


def _help(program: str, question: str) -> str:
    environment = {"LD_LIBRARY_PATH": fio.library_path(engine.folder())}
    asked = [program, question]
    return subprocess.run(
        asked, capture_output=True, text=True, check=False, env=environment
    ).stdout


@pytest.mark.parametrize("program", FIOS)
def test_every_option_of_fio_that_holds_a_text_is_classified(program: str) -> None:
    """fio's help lists most options and tells what each holds; its sources list all."""
    named = re.findall(
        r'^\t\t\.name\s*= "([\w-]+)"', (FIOS[program] / "options.c").read_text(), re.M
    )
    listed = re.findall(r"^\s*([\w-]+)\s*:", _help(program, "--cmdhelp=all"), re.M)
    names = sorted({*named, *listed})
    texts = {name for name in names if IS_TEXT in _help(program, f"--cmdhelp={name}")}
    assert len(texts) > 50
    assert texts - set(PATHS) - NO_PATHS == set()


# First names in older releases of fio, so they are not turned into the newer ones.
FIRST_ONCE = {"allrandrepeat", "log_unix_epoch", "log_max_value", "fdp_pli", "fdp_pli_select"}


@pytest.mark.parametrize("program", FIOS)
def test_every_second_name_of_an_option_is_known(program: str) -> None:
    """Where an option is looked for, it must not stand there by another name."""
    text = (FIOS[program] / "options.c").read_text()
    options = re.findall(r"^\t\t\.name(.*?)^\t\},?$", text, re.MULTILINE | re.DOTALL)
    names = re.compile(r'"([\w-]+)".*\.alias\s*= "([\w-]+)"', re.DOTALL)
    found = (names.search(option) for option in options)
    second = {each[2]: each[1] for each in found if each and each[2] not in FIRST_ONCE}
    assert len(second) > 15
    assert {alias: job.canonical(alias) for alias in second} == second


def test_every_option_of_the_engine_that_holds_a_text_is_classified() -> None:
    names = sorted(fio.engine_options(fio.find(), engine.folder(), engine.NAME))
    asked = f"--enghelp={engine.NAME},"
    texts = {name for name in names if IS_TEXT in _help("fio", f"{asked}{name}")}
    assert len(texts) > 5
    assert texts - set(PATHS) - ENGINE_NO_PATHS == set()


def test_no_option_is_classified_twice() -> None:
    assert set(PATHS) & (NO_PATHS | ENGINE_NO_PATHS) == set()


# ---- what jobs reach ---------------------------------------------------------------------------


def _reach(text: str, folder: Path | None = None) -> reach.Reach:
    return reach.of_job(job.parse(text), folder)


@pytest.fixture
def listening(private: Path) -> Iterator[Path]:
    """A socket that nobody serves well, and whose loss would be seen."""
    path = private / "theirs.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield path


@pytest.mark.parametrize(
    ("text", "disks"),
    [
        ("[global]\nrw=write\nfilename=/a\n[x]\n[y]\n[z]\nfilename=/b\n", ("/a", "/b")),
        ("[x]\nrw=write\nfilename=/a:/b\\:c\nfilename=/d\n", ("/a", "/b:c", "/d")),
        ("[x]\nrw=write\ndirectory=/a:/b\nfilename=c\n", ("/a/c", "/b/c")),
        ("[x]\nrw=write\ndirectory=/a\n", ("files in /a",)),
        ("[x]\nrw=write\n", ("files in the working directory",)),
        ("[/dev/null]\nrw=write\n", ("/dev/null",)),
        ("[x]\nrw=write\nopendir=/a\n", ("the files below /a",)),
        ("[x]\nrw=write\nfilename=${NOWHERE}/a\n", ("/a",)),
        ("[x]\nread_iolog=/none\n", ("the disks that the I/O log /none names",)),
        ("[x]\nread_iolog=-\n", ("the disks that the I/O log - names",)),
        ("[x]\nread_iolog=/none\nreplay_redirect=/a\n", ("/a",)),
        ("[x]\nrw=randread\nfilename=/a\n", ()),
        ("[x]\nrw=read\nrw=write\nfilename=/a\n", ("/a",)),
        ("[x]\nrw=write\nrw=read\nfilename=/a\n", ("/a",)),
        ("[global]\nrw=write\n[x]\nrw=read\nfilename=/a\n", ()),
        ("[x]\nioengine=null\nrw=write\nfilename=/a\n", ()),
        ("[x]\nioengine=nbd\nrw=write\nuri=nbd://a/b\n", ("nbd://a/b",)),
        ("[x]\nioengine=nbd\nrw=read\nuri=nbd://a/b\n", ()),
    ],
)
def test_the_disks_that_a_job_changes_are_named(text: str, disks: tuple[str, ...]) -> None:
    head = "" if "ioengine" in text else "[global]\nioengine=fio_virtio\n"
    assert _reach(head + text).written == disks


@pytest.mark.parametrize("version", [2, 3])
def test_the_disks_that_an_io_log_names_are_named(tmp_path: Path, version: int) -> None:
    log, time = tmp_path / "log", "0 " if version == 3 else ""
    actions = ("/a add", "/a open", "/b write 0 4096", "/a close")
    lines = [f"fio version {version} iolog", *(time + action for action in actions)]
    log.write_text("\n".join(lines) + "\n")
    text = f"[x]\nioengine=fio_virtio\nread_iolog={log}:/none\n"
    assert _reach(text).written == ("/a", "/b", "the disks that the I/O log /none names")


def test_an_engine_for_files_may_change_what_it_reads(tmp_path: Path) -> None:
    """fio makes a file anew that is smaller than size=."""
    file = tmp_path / "file"
    file.touch()
    head = "[x]\nioengine=psync\nrw=read\n"
    assert _reach(f"{head}size=1m\nfilename={file}\n").written == (str(file),)
    assert _reach(f"{head}filename={file}\n").written == ()
    assert _reach(f"{head}size=1m\nfilename=/dev/zero\n").written == ()


@pytest.mark.parametrize("engine", ["", "ioengine=psync", "ioengine=libaio:/fio_virtio"])
def test_no_engine_for_files_gets_a_socket(listening: Path, engine: str) -> None:
    with pytest.raises(UsageError, match=r"that is a socket.*use ioengine=fio_virtio"):
        _reach(f"[x]\n{engine}\nrw=read\nfilename={listening}\n")


def test_a_folder_before_the_whole_path_of_a_socket_is_refused(listening: Path) -> None:
    options = f"ioengine=fio_virtio\ndirectory=/tmp\nfilename={listening}"
    with pytest.raises(
        UsageError, match=r"fio puts directory=/tmp before it.*leave directory= out"
    ):
        reach.of_job(job.parse(f"[a]\n{options}\n"), None)


def test_a_folder_before_the_name_of_a_socket_is_part_of_its_path(listening: Path) -> None:
    options = (
        f"ioengine=fio_virtio\nrw=write\ndirectory={listening.parent}\nfilename={listening.name}"
    )
    assert reach.of_job(job.parse(f"[a]\n{options}\n"), None).written == (str(listening),)


@pytest.mark.parametrize("line", ["write_iolog", "merge_blktrace_file", "stats_file", "mem=mmap:"])
def test_a_file_that_a_job_would_overwrite_is_named(tmp_path: Path, line: str) -> None:
    precious = tmp_path / "precious"
    head = f"[x]\nioengine=fio_virtio\n{line}{'' if ':' in line else '='}"
    assert _reach(f"{head}{precious}\n").written == ()
    precious.write_text("thesis\n")
    assert _reach(f"{head}{precious}\n").written == (str(precious),)
    if ":" not in line:
        assert _reach(f"{head}precious\n", tmp_path).written == ("precious",)
        assert _reach(f"{head}precious\n").written == ()


@pytest.mark.parametrize(
    ("option", "content"),
    [("write_iolog", "fio version 3 iolog\n"), ("stats_file", '{"job":"x"}\n'), ("stats_file", "")],
)
def test_a_log_of_an_earlier_run_is_no_loss(tmp_path: Path, option: str, content: str) -> None:
    log = tmp_path / "log"
    log.write_text(content)
    assert _reach(f"[x]\nioengine=fio_virtio\n{option}={log}\n").written == ()


@pytest.mark.parametrize(
    ("line", "doing"),
    [
        ("exec_prerun=rm -r x", 'runs the command "rm -r x"'),
        ("exec_postrun=rm -r x", 'runs the command "rm -r x"'),
        ("ioengine=external:/x/engine.so", "loads the engine /x/engine.so"),
        ("ioengine=/x/fio_virtio", "loads the engine /x/fio_virtio"),
        ("some_new_option=/x", "has some_new_option=/x, which may name a file"),
        ("some_new_option=a:../x", "has some_new_option=a:../x, which may name a file"),
    ],
)
def test_what_else_a_job_does_is_told(line: str, doing: str) -> None:
    head = "" if "ioengine" in line else "ioengine=fio_virtio\n"
    assert _reach(f"[x]\nrw=read\nfilename=/dev/zero\n{head}{line}\n").others == (doing,)


@pytest.mark.parametrize(
    "line",
    [
        f"ioengine=external:{engine.folder()}/fio_virtio",
        *("bssplit=4k/50:8k/50", "random_distribution=zoned:50/5:50/95", "size=$mb_memory/8"),
        *("description=/x", "write_bw_log=/x", "buffer_pattern='/x'", "cpus_allowed=0"),
    ],
)
def test_nothing_is_made_of_what_is_harmless(line: str) -> None:
    assert _reach(f"[x]\nioengine=fio_virtio\n{line}\n") == reach.Reach()


@pytest.mark.parametrize("keyword", ["$ncpus", "$pagesize", "$mb_memory"])
@pytest.mark.parametrize("option", sorted(PATHS))
def test_a_name_that_fio_calculates_is_not_guessed(
    option: str, keyword: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIDDEN", keyword)
    for value in (keyword, f"x{keyword}", "x${HIDDEN}"):
        with pytest.raises(UsageError, match=f"cannot tell what {option}=.* in \\[x\\] is"):
            _reach(f"[x]\nrw=read\n{option}={value}\n")


def test_what_an_include_would_add_is_not_guessed() -> None:
    with pytest.raises(UsageError, match="include x"):
        _reach("[x]\ninclude x\n")


def test_a_disk_that_is_made_for_the_job_is_not_named(tmp_path: Path) -> None:
    found = reach.Reach(("/ours", "/theirs"))
    assert found.behind("/ours", None).written == ("/theirs",)
    assert found.behind("/ours", tmp_path / "new").written == ("/theirs",)
    assert found.behind("/ours", tmp_path).written == (str(tmp_path), "/theirs")


@pytest.mark.parametrize(
    ("kind", "option", "is_told"),
    [
        ("builtin", "latency=20us", False),
        ("builtin", "fault=error:type=read", False),
        ("builtin", "stats-file=x", True),
        ("builtin", "control=x", True),
        ("builtin", "latency=trace:/x", True),
        ("qsd", "pidfile=x", True),
    ],
)
def test_options_by_which_a_back_end_makes_files_are_told(
    kind: str, option: str, is_told: bool
) -> None:
    found = reach.of_backend(BackendSpec(kind, options=(option,))).others
    assert [option in doing for doing in found] == [True] * is_told


# ---- a job on a disk of ours -------------------------------------------------------------------

DISK_LINES = st.sampled_from(
    [
        *("filename=/theirs", "filename = /theirs:/too", "directory=/theirs", "opendir=/theirs"),
        *("filename_format=/theirs", "replay_redirect=/theirs", "read_iolog=/theirs", "bs=4k"),
        *("[global]", "[a]", "[/theirs]", "ioengine=external:/theirs/fio_virtio", "uri=/theirs"),
    ]
)


@given(st.lists(DISK_LINES, max_size=8))
def test_a_job_on_a_disk_of_ours_has_no_other(lines: list[str]) -> None:
    given_job = job.parse("\n".join(["[x]", "ioengine=fio_virtio", *lines, ""]))
    for section in reach.on_disk(given_job, "/ours").sections():
        assert section.every("filename") == ["/ours"]
        # A log is the one path that stays: fio redirects it.
        left = {key: value for key, value in section.options.items() if "/theirs" in value}
        assert set(left) <= {"read_iolog"}
        if left:
            assert section.options["replay_redirect"] == "/ours"


# ---- by the real command -----------------------------------------------------------------------

HEAD = "ioengine=fio_virtio\nthread=1\nrw=write\nbs=4k\nnumber_ios=4\nbuffer_pattern=0xff\n"
V2 = "fio version 2 iolog\n{disk} add\n{disk} open\n{disk} write 0 4096\n{disk} close\n"
V3 = "fio version 3 iolog\n0 {disk} add\n0 {disk} open\n0 {disk} write 0 4096\n0 {disk} close\n"
# Files of a job, by name; {disk} is a disk that somebody serves, and {here} the folder.
JOBS: dict[str, dict[str, str]] = {
    "filename": {"job": f"[a]\n{HEAD}filename={{disk}}\n"},
    "two files": {"job": f"[a]\n{HEAD}filename=/none:{{disk}}\n"},
    "global": {"job": f"[global]\n{HEAD}filename={{disk}}\n[a]\nfilename=/none\n[b]\n"},
    "later global": {"job": f"[a]\n{HEAD}[global]\n{HEAD}filename={{disk}}\n[b]\n"},
    "directory": {"job": f"[a]\n{HEAD}directory={{here}}\nfilename=theirs.sock\n"},
    "opendir": {"job": f"[a]\n{HEAD}opendir={{here}}/only\n"},
    "format": {"job": f"[theirs]\n{HEAD}filename_format={{here}}/$jobname.sock\n"},
    "name": {"job": f"[{{disk}}]\n{HEAD}"},
    "variable": {"job": f"[a]\n{HEAD}filename=${{{{THEIRS}}}}\n"},
    "include": {"job": f"[a]\n{HEAD}include part\n", "part": "filename={disk}\n"},
    "include=": {"job": f"[a]\n{HEAD}include={{here}}/part\n", "part": "filename={disk}\n"},
    "half a header": {"job": f"[a]\n{HEAD}[global\nfilename={{disk}}\n[b]\n{HEAD}"},
    "long line": {"job": f"[a]\n{HEAD}description={'x' * 8179}filename={{disk}}\n"},
    "line end": {"job": f"[a]\n{HEAD}bs=4k\x0bfilename={{disk}}\n"},
    "log 2": {"job": f"[a]\n{HEAD}read_iolog={{here}}/log\n", "log": V2},
    "log 3": {"job": f"[a]\n{HEAD}read_iolog={{here}}/log\n", "log": V3},
    "log in parts": {
        "job": f"[a]\n{HEAD}read_iolog={{here}}/log\nread_iolog_chunked=1\n",
        "log": V2,
    },
    "two logs": {"job": f"[a]\n{HEAD}numjobs=2\nread_iolog={{here}}/log:{{here}}/log\n", "log": V2},
    "log of the global section": {
        "job": f"[global]\n{HEAD}read_iolog={{here}}/log\n[a]\n",
        "log": V2,
    },
    "redirected log": {
        "job": f"[a]\n{HEAD}read_iolog={{here}}/log\nreplay_redirect={{disk}}\n",
        "log": V2.replace("{disk}", "/none"),
    },
}


@pytest.fixture
def theirs(builtin: StartBackend, private: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A socket of somebody's; the disk behind it must stay as it is."""
    content = bytes(1 << 20)
    file, path = private / "precious", private / "theirs.sock"
    file.write_bytes(content)
    path.symlink_to(builtin(storage=f"file:{file}").socket)
    (private / "only").mkdir()
    (private / "only" / "theirs.sock").symlink_to(path)
    monkeypatch.setenv("THEIRS", str(path))
    yield path
    assert file.read_bytes() == content
    assert path.is_socket()


def _write(files: dict[str, str], disk: Path) -> Path:
    for name, text in files.items():
        filled = text.format(disk=disk, here=disk.parent)
        (disk.parent / name).write_bytes(filled.encode())
    return disk.parent / "job"


@pytest.mark.parametrize("files", JOBS.values(), ids=JOBS)
def test_run_touches_no_disk_that_a_job_names(
    command: RunCommand, theirs: Path, files: dict[str, str]
) -> None:
    """It runs on a disk of its own, or it is refused: what `theirs` holds is checked at the end."""
    ended = command("run", str(_write(files, theirs)), "--disk-size=16M")
    assert ended.status == 0 or (ended.status, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert "err= 0" in ended.stdout or ended.status == 2


@pytest.mark.parametrize(
    "option", ["--filename={disk}", "--directory={here}", "--replay_redirect={disk}"]
)
def test_run_touches_no_disk_that_is_typed_for_fio(
    command: RunCommand, theirs: Path, option: str
) -> None:
    typed = option.format(disk=theirs, here=theirs.parent)
    job_file = _write({"job": f"[a]\n{HEAD}"}, theirs)
    ended = command("run", str(job_file), "--disk-size=16M", "--", typed)
    assert ended.status == 0, ended.stderr


@pytest.mark.parametrize("files", JOBS.values(), ids=JOBS)
def test_a_job_as_it_stands_is_asked_about(
    command: RunCommand, theirs: Path, files: dict[str, str]
) -> None:
    ended = command("run", "--backend=none", str(_write(files, theirs)))
    assert (ended.status, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert "--yes" in ended.stderr or "cannot use the job file" in ended.stderr


@pytest.mark.parametrize(
    "ioengine", ["libaio", "psync", "io_uring", "sync", "null", "libblkio", ""]
)
@pytest.mark.parametrize("way", [("--disk-size=16M",), ("--socket={disk}", "--yes")])
def test_run_of_a_job_for_another_engine_is_refused_with_the_remedy(
    command: RunCommand, theirs: Path, ioengine: str, way: tuple[str, ...]
) -> None:
    engine_line = f"ioengine={ioengine}\n" if ioengine else ""
    job_file = _write({"job": f"[a]\nrw=randread\nsize=4m\n{engine_line}"}, theirs)
    ended = command("run", str(job_file), *(word.format(disk=theirs) for word in way))
    assert (ended.status, ended.stderr.count("\n")) == (2, 1)
    assert "[a] uses" in ended.stderr
    assert "--convert" in ended.stderr


def test_one_section_for_another_engine_is_enough(command: RunCommand, theirs: Path) -> None:
    files = {"job": f"[a]\n{HEAD}[b]\n{HEAD}ioengine=libaio\n"}
    ended = command("run", str(_write(files, theirs)))
    assert "[b] uses ioengine=libaio" in ended.stderr


@pytest.mark.parametrize("answer", [(), ("--yes",)])
def test_no_yes_lets_a_file_take_the_place_of_a_socket(
    command: RunCommand, theirs: Path, answer: tuple[str, ...]
) -> None:
    files = {"job": "[a]\nioengine=psync\nrw=read\nsize=4m\nfilename={disk}\n"}
    ended = command("run", "--backend=none", *answer, str(_write(files, theirs)))
    assert ended.status == 2
    assert "ioengine=psync would replace it by a file" in ended.stderr


def test_a_job_that_only_burns_cpu_may_run_beside(command: RunCommand, theirs: Path) -> None:
    files = {"job": f"[a]\n{HEAD}[b]\nioengine=cpuio\ncpuload=1\ntime_based\nruntime=1\n"}
    ended = command("run", str(_write(files, theirs)), "--disk-size=16M")
    assert ended.status == 0, ended.stderr


@pytest.mark.parametrize("when", ["exec_prerun", "exec_postrun"])
def test_a_command_of_a_job_needs_a_yes(command: RunCommand, private: Path, when: str) -> None:
    job_file, mark = private / "job", private / "mark"
    job_file.write_text(f"[a]\n{HEAD}{when}=touch {mark}\n")
    refused = command("run", str(job_file), "--disk-size=16M")
    assert (refused.status, refused.stderr.count("\n")) == (2, 1)
    assert f'runs the command "touch {mark}"; use --yes' in refused.stderr
    assert not mark.exists()
    assert command("run", str(job_file), "--disk-size=16M", "--yes").status == 0
    assert mark.exists()


def test_run_loads_its_own_engine_whatever_file_a_job_names(
    command: RunCommand, private: Path
) -> None:
    evil, job_file = private / "fio_virtio", private / "job"
    evil.write_text("no engine")
    job_file.write_text(f"[a]\n{HEAD}ioengine=external:{evil}\n")
    assert command("run", str(job_file), "--disk-size=16M").status == 0
    job_file.write_text(f"[a]\n{HEAD}rw=read\nfilename=/none\nioengine=external:{evil}\n")
    ended = command("run", "--backend=none", str(job_file))
    assert ended.status == 2
    assert f"loads the engine {evil}" in ended.stderr


def test_a_file_that_a_job_would_overwrite_needs_a_yes(command: RunCommand, private: Path) -> None:
    precious, job_file = private / "precious", private / "job"
    precious.write_text("thesis")
    job_file.write_text(f"[a]\n{HEAD}stats_file={precious}\n")
    ended = command("run", str(job_file), "--disk-size=16M")
    assert (ended.status, precious.read_text()) == (2, "thesis")
    assert f"writes to {precious}" in ended.stderr


@pytest.mark.parametrize("value", ["precious$ncpus", '/*$ncpus*/"{file}x"'])
@pytest.mark.parametrize("option", ["write_iolog", "stats_file", "merge_blktrace_file"])
def test_no_calculation_gets_past_the_question(
    command: RunCommand, private: Path, option: str, value: str
) -> None:
    """What fio makes of such a value, which holds bc's arithmetic, is a name that nobody asked."""
    precious, job_file = private / "precious", private / "job"
    precious.write_text("thesis")
    job_file.write_text(f"[a]\n{HEAD}{option}={value.format(file=precious)}\n")
    ended = command("run", str(job_file), "--disk-size=16M")
    assert (ended.status, ended.stderr.count("\n")) == (2, 1)
    assert "fio calculates" in ended.stderr
    assert precious.read_text() == "thesis"


@pytest.mark.parametrize("word", ["storage=file:{file}", "stor=file:{file}"])
def test_no_option_of_the_back_end_gets_past_the_question(
    command: RunCommand, private: Path, word: str
) -> None:
    file = private / "precious"
    file.write_bytes(bytes(1 << 20))
    option = word.format(file=file)
    ended = command("run", "--backend-option", option, "--", "--size=1m", "--time_based=0")
    assert ended.status != 0
    assert not any(file.read_bytes())

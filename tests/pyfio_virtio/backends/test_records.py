# SPDX-License-Identifier: GPL-2.0-or-later
"""backends/records.py: what start, list and stop go by, whatever lies in the folder."""

import contextlib
import io
import json
import os
import signal
import socket as sockets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyfio_virtio.backends import records, unix_sockets
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.cli.main import main
from pyfio_virtio.errors import PyfioVirtioError, UsageError
from pyfio_virtio.machine import process
from pyfio_virtio.machine.folders import claim, make_state_folder
from tests.conftest import ROOT, StartBackend
from tests.waiting import go_on, stop

Start = Callable[..., records.Record]
QSD = BackendSpec(kind="qsd", storage="null", size_bytes=1 << 20)


@pytest.fixture
def start(private: Path) -> Iterator[Start]:
    """records.start(), of a qsd if nothing else is said; all end with the test."""

    started: list[records.Record] = []

    def begin(name: str | None = None, socket: str | None = None, **spec: Any) -> records.Record:  # noqa: ANN401
        wanted = BackendSpec(**{"kind": "qsd", "size_bytes": 1 << 20, **spec})
        started.append(records.start(wanted, name, socket))
        return started[-1]

    yield begin
    for record in started:
        record.backend.process.end(grace_s=0)


def change(name: str, **fields: Any) -> None:  # noqa: ANN401 - any JSON
    """Rewrites fields of a record."""
    path = records.folder_of(name) / records.RECORD
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def marked(folder: Path) -> list[int]:
    """The processes that were started for a back-end of this state folder."""
    mark = f"\0PYFIO_VIRTIO_BACKEND={folder}/".encode()
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in b"\0" + (each / "environ").read_bytes():
                found.append(int(each.name))
    return found


# ---- what is remembered ---------------------------------------------------------------------


def test_what_was_started_is_what_is_loaded(start: Start) -> None:
    started = start("disk").backend
    loaded = records.load("disk")
    assert loaded
    assert loaded.backend.spec == started.spec
    assert loaded.backend.socket == started.socket
    assert loaded.backend.socket_file == started.socket_file
    assert loaded.backend.process.pid == started.process.pid


def test_who_listens_is_who_is_remembered(start: Start) -> None:
    backend = start().backend
    assert unix_sockets.listener(backend.socket) == backend.process.pid


def test_without_a_folder_there_are_no_records(private: Path) -> None:
    assert records.load_all() == ([], [])
    assert list(private.iterdir()) == []


def test_stopping_ends_the_back_end_and_forgets_it(start: Start) -> None:
    backend = start("disk").backend
    records.stop("disk")
    assert not backend.is_running()
    assert list(make_state_folder().iterdir()) == []


def test_names_count_up(start: Start) -> None:
    assert [start().name, start().name] == ["qsd-0", "qsd-1"]


def test_a_name_in_use_is_refused(start: Start) -> None:
    start("disk")
    with pytest.raises(UsageError, match="disk"):
        start("disk")


@pytest.mark.parametrize("name", ["", "../x", "a b", "a.b", "a/b", "a\n", "é"])
def test_a_name_that_is_no_word_is_refused(private: Path, name: str) -> None:
    with pytest.raises(UsageError):
        records.check_name(name)


def test_an_unknown_name_tells_the_known_ones(start: Start) -> None:
    start("disk")
    with pytest.raises(UsageError, match="known names: disk"):
        records.check_known("dusk")


def test_a_failed_start_leaves_nothing(start: Start, private: Path) -> None:
    with pytest.raises(PyfioVirtioError):
        start(options=("latency=soon",))
    assert list(make_state_folder().iterdir()) == []


def test_words_that_cannot_be_listed_are_refused(start: Start, private: Path) -> None:
    with pytest.raises(UsageError, match=r"\\udcff"):
        start(socket=os.fsdecode(os.fsencode(private) + b"/\xff"))


# ---- the question before writing ------------------------------------------------------------


def test_a_disk_in_memory_is_scratch(start: Start) -> None:
    assert records.is_scratch_disk(start().backend.socket)


def test_a_disk_in_a_file_is_not(start: Start, private: Path) -> None:
    assert not records.is_scratch_disk(start(storage=f"file:{private / 'img'}").backend.socket)


def test_a_disk_that_nobody_recorded_is_not(qsd: StartBackend) -> None:
    assert not records.is_scratch_disk(qsd().socket)


def test_a_disk_that_took_the_place_of_ours_is_not(start: Start, private: Path) -> None:
    path = private / "disk"
    start(socket=str(path))
    path.unlink()
    with sockets.socket(sockets.AF_UNIX) as theirs:
        theirs.bind(str(path))
        theirs.listen()
        assert not records.is_scratch_disk(str(path))


def test_in_a_folder_that_others_can_change_none_is(start: Start) -> None:
    socket = start().backend.socket
    make_state_folder().chmod(0o777)
    assert not records.is_scratch_disk(socket)
    make_state_folder_private()


def make_state_folder_private() -> None:
    (Path(os.environ["XDG_RUNTIME_DIR"]) / "pyfio-virtio").chmod(0o700)


# ---- who is ended, and what is removed --------------------------------------------------------


@pytest.fixture
def innocent() -> Iterator[process.Process]:
    child = process.start(["sleep", "600"], death_signal=signal.SIGKILL)
    yield child
    child.end()


def test_a_process_that_we_did_not_start_is_not_ended(
    start: Start, innocent: process.Process
) -> None:
    ours = start("disk").backend.process
    ours.end()
    change("disk", pid=innocent.pid, start_ticks=innocent.start_ticks)
    records.stop("disk")
    assert innocent.is_running()


def test_after_a_reboot_nothing_is_ended(start: Start) -> None:
    backend = start("disk").backend
    change("disk", boot_id="another")
    with pytest.raises(PyfioVirtioError, match="another one serves"):
        records.stop("disk")
    assert backend.is_running()
    backend.stop()


def test_after_a_reboot_the_list_says_so(start: Start) -> None:
    backend = start("disk").backend
    backend.stop()
    change("disk", boot_id="another")
    record = records.load("disk")
    assert record
    assert record.state() == "ended: the machine was restarted"


@pytest.mark.parametrize("kind", ["qsd", "builtin"])
def test_what_took_the_sockets_place_stays(start: Start, private: Path, kind: str) -> None:
    path = private / "disk"
    start("disk", socket=str(path), kind=kind)
    path.unlink()
    with sockets.socket(sockets.AF_UNIX) as theirs:
        theirs.bind(str(path))
        theirs.listen()
        records.stop("disk")
        assert unix_sockets.accepts(str(path))


def test_a_socket_elsewhere_that_a_killed_back_end_left_is_removed(
    start: Start, private: Path
) -> None:
    path = private / "disk"
    backend = start("disk", socket=str(path)).backend
    backend.process.end(grace_s=0)
    assert path.is_socket()
    records.stop("disk")
    assert not path.exists()


@pytest.mark.parametrize("place", ["file", "socket", "link"])
def test_another_file_in_the_place_of_a_killed_back_ends_socket_stays(
    start: Start, private: Path, place: str
) -> None:
    path = private / "disk"
    backend = start("disk", socket=str(path)).backend
    backend.process.end(grace_s=0)
    path.rename(private / "moved")
    if place == "file":
        path.write_text("precious")
    elif place == "link":
        path.symlink_to(private / "moved")
    else:
        with sockets.socket(sockets.AF_UNIX) as theirs:
            theirs.bind(str(path))
    records.stop("disk")
    assert os.path.lexists(path)
    assert (private / "moved").is_socket()


def test_the_state_of_a_process_that_a_signal_stopped_is_told(start: Start) -> None:
    record = start("disk")
    assert record.state() == "running"
    stop(record.backend.process.pid)
    assert record.state() == "paused: a signal stopped it"
    go_on(record.backend.process.pid)


def test_a_relative_path_means_the_same_file_from_everywhere(
    start: Start, private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(private)
    assert start("disk", storage="file:img").backend.spec.file == private / "img"


def test_a_file_of_another_name_in_its_folder_stays(start: Start) -> None:
    start("disk")
    other = records.folder_of("disk") / "notes"
    other.write_text("precious")
    records.stop("disk")
    assert other.read_text() == "precious"


# ---- several commands at once -----------------------------------------------------------------


def test_a_folder_that_a_killed_start_left_is_taken(start: Start) -> None:
    folder = make_state_folder() / "backend-qsd-0"
    folder.mkdir()
    with sockets.socket(sockets.AF_UNIX) as dead:
        dead.bind(str(folder / records.SOCKET))
    (folder / records.LOG).write_text("old")
    assert start().name == "qsd-0"


def test_a_folder_that_a_killed_start_left_can_be_stopped(start: Start) -> None:
    (make_state_folder() / "backend-x").mkdir()
    assert records.names() == ["x"]
    assert records.stop("x") is None
    assert records.names() == []


def test_a_name_that_another_command_works_on_is_passed_over(start: Start) -> None:
    held = claim(make_state_folder() / "backend-qsd-0")
    assert held is not None
    assert start().name == "qsd-1"
    os.close(held)


def test_a_back_end_that_another_command_works_on_is_not_stopped(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "_PATIENCE_S", 0.1)
    backend = start("disk").backend
    held = claim(records.folder_of("disk"))
    assert held is not None
    with pytest.raises(PyfioVirtioError, match="another command"):
        records.stop("disk")
    assert backend.is_running()
    os.close(held)


# Starts or stops a back-end in processes of their own, each of which gets a signal at another line
# of our code, on and on until one ends by itself. After each, a start and a stop of all find the
# way clear, and no process is left.
INTERRUPTED = """
import os, signal, sys, time
from pathlib import Path
import pyfio_virtio
from pyfio_virtio.backends import records
from tests.pyfio_virtio.backends.test_records import QSD, marked

number, what = int(sys.argv[1]), sys.argv[2]
state = records.state_folder()
ours = str(Path(pyfio_virtio.__file__).parent)

def interrupted(line):
    left = line
    def trace(frame, event, argument):
        nonlocal left
        if not frame.f_code.co_filename.startswith(ours):
            return None
        if event == "line":
            left -= 1
            if not left:
                os.kill(os.getpid(), number)
        return trace
    sys.settrace(trace)
    try:
        getattr(records, what)(*([QSD, "disk"] if what == "start" else ["disk"]))
    except KeyboardInterrupt:
        os._exit(2)
    sys.settrace(None)
    os._exit(3 if left > 0 else 2)

def run(line):
    child = os.fork()
    if not child:
        interrupted(line)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 3

line = int(sys.argv[3])
while True:
    if what == "stop":
        records.start(QSD, "disk")
    is_whole = run(line)
    records.start(QSD)
    records.load_all()
    for name in records.names():
        records.stop(name)
    left = [*state.iterdir(), *marked(state)]
    assert not left, f"at line {line}: {left}"
    if is_whole:
        break
    line += int(sys.argv[4])
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill", "interrupt"])
@pytest.mark.parametrize("what", ["start", "stop"])
def test_whatever_line_a_signal_strikes_nothing_stands_in_the_way(
    private: Path, number: int, what: str
) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(number), what, "1", "7"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# ---- a folder full of traps ---------------------------------------------------------------------


@dataclass(frozen=True)
class Traps:
    """What a record may name and must not lead to."""

    folder: Path  # private, with the state folder and `precious` in it
    innocent: process.Process
    entry: Path  # the back-end's folder

    @property
    def precious(self) -> Path:
        return self.folder / "precious"

    def valid(self) -> dict[str, Any]:
        """A record as ours are, of a process that has ended."""
        return {
            "pid": 1 << 22,
            "start_ticks": 1,
            "boot_id": process.boot_id(),
            "socket": str(self.entry / records.SOCKET),
            "socket_file": [1, 2, 3],
            "command": ["true"],
            "spec": json.loads(json.dumps(BackendSpec().__dict__)),
        }

    def tempting(self) -> list[Any]:
        """Values that would do harm, or no good, had they been believed."""
        status = (self.precious / "socket").lstat()
        whole = [status.st_dev, status.st_ino, status.st_mtime_ns]
        own = (self.innocent.pid, self.innocent.start_ticks, os.getpid(), os.getppid())
        inside, outside = str(self.entry), str(self.precious)
        paths = [f"{outside}/{name}" for name in ("file", "socket", "none")]
        paths += [f"{inside}/../../precious/file", inside, "/", "disk.sock", "/" + "x" * 107]
        paths += ["/\ud800", "/\x1b[2J", "/a\nb"]
        return [
            *(*own, 0, -1, 1, 1 << 22, 1 << 31, 1 << 63, 1 << 70, 10**400, 1.5, 1e999, True, None),
            *(*paths, *(f"file:{path}" for path in paths), "", "nbd", "\0", "0,1"),
            *(
                whole,
                whole[:2],
                [None],
                ["storage=x"],
                ["sto=x"],
                ["--socket=/x"],
                ["\ud800"],
                [[]],
            ),
            *({}, {"kind": "nbd"}, {"a": {}}),
        ]

    def state(self) -> object:
        """What no command may change."""
        kept = {
            path.name: (path.lstat().st_ino, path.lstat().st_mtime_ns, path.lstat().st_mode)
            for path in (self.precious, *self.precious.iterdir())
        }
        return kept, (self.precious / "file").read_bytes(), self.innocent.is_running()


@pytest.fixture(scope="module")
def traps() -> Iterator[Traps]:
    with tempfile.TemporaryDirectory(prefix="pv-") as name:
        folder = Path(name)
        child = process.start(["sleep", "600"], death_signal=signal.SIGKILL)
        made = Traps(folder, child, folder / "pyfio-virtio" / "backend-trap")
        made.precious.mkdir()
        (made.precious / "file").write_text("precious")
        with sockets.socket(sockets.AF_UNIX) as bound:
            bound.bind(str(made.precious / "socket"))
            bound.listen()
            yield made
        child.end()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
RECORD_FIELDS = ("pid", "start_ticks", "boot_id", "socket", "socket_file", "command", "spec")
SPEC_FIELDS = tuple(BackendSpec().__dict__)
NESTING = (b"[", b'{"spec":', b'{"pid":[')


# Any bytes, any JSON, any nesting.
CONTENTS = st.one_of(
    st.binary(max_size=200),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.builds(lambda word, depth: word * depth, st.sampled_from(NESTING), st.integers(1, 100_000)),
    st.integers(1, 6000).map(lambda digits: b'{"pid": ' + b"9" * digits + b"}"),
)


KINDS_OF_PLACE = ("absent", "file", "folder", "link", "dead link", "pipe", "dead socket", "socket")


def lay(path: Path, kind: str, traps: Traps, content: bytes = b"text") -> contextlib.ExitStack:
    """Makes something of that kind at a path."""
    held = contextlib.ExitStack()
    if kind == "file":
        path.write_bytes(content)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(traps.precious / ("socket" if path.name == records.SOCKET else "file"))
    elif kind == "dead link":
        path.symlink_to(traps.precious / "none")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind.endswith("socket"):
        bound = held.enter_context(sockets.socket(sockets.AF_UNIX))
        bound.bind(str(path))
        if kind == "socket":
            bound.listen()
    return held


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        for each in path.iterdir():
            remove(each)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def run_here(*arguments: str) -> tuple[int, str, str]:
    """A command in this process: its status, and what it says on stdout and stderr."""
    said = io.StringIO()
    # As strict as a terminal: what cannot be printed raises.
    written = io.BytesIO()
    shown = io.TextIOWrapper(written, encoding="utf-8")
    before = sys.argv
    sys.argv = ["pyfio-virtio", *arguments]
    try:
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(said):
            main()
    except SystemExit as ending:
        shown.flush()
        return int(ending.code or 0), written.getvalue().decode(), said.getvalue()
    finally:
        sys.argv = before
    raise AssertionError("main() came back")


@contextlib.contextmanager
def set_up(traps: Traps) -> Iterator[contextlib.ExitStack]:
    """An empty state folder; afterwards all commands have seen what was laid there."""
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as held:
        patch.setenv("XDG_RUNTIME_DIR", str(traps.folder))
        patch.setattr(records, "_PATIENCE_S", 0)
        for each in make_state_folder().iterdir():
            remove(each)
        before = traps.state()
        yield held
        for arguments in (["list"], ["list", "--json"], ["stop", "trap"], ["stop", "--all"]):
            status, shown, said = run_here("backend", *arguments)
            assert status in (0, 1, 2), said
            assert said.count("\n") <= 2, said
            # Nothing that would do more to a terminal than to be seen.
            assert (shown + said).replace("\n", "").isprintable(), shown + said
        assert not records.is_scratch_disk(str(traps.precious / "socket"))
        assert traps.state() == before


GENERATED = settings(max_examples=300, deadline=None, suppress_health_check=[*HealthCheck])


@GENERATED
@given(data=st.data())
def test_whatever_lies_in_the_folder_no_command_does_harm(
    traps: Traps, data: st.DataObject
) -> None:
    with set_up(traps) as held:
        whole = data.draw(st.sampled_from([*["folder"] * 20, *KINDS_OF_PLACE]))
        held.enter_context(lay(traps.entry, whole, traps))
        if whole != "folder":
            return
        for name in (records.RECORD, records.SOCKET, records.LOG, "record.draft", "other"):
            kind = data.draw(st.sampled_from(["file", *KINDS_OF_PLACE]))
            content = data.draw(CONTENTS) if kind == "file" else b""
            held.enter_context(lay(traps.entry / name, kind, traps, content))
        traps.entry.chmod(data.draw(st.sampled_from([0o700, 0o755, 0o777, 0o500])))


def without(fields: dict[str, Any], name: str) -> dict[str, Any]:
    return {each: value for each, value in fields.items() if each != name}


@pytest.mark.parametrize("name", [*RECORD_FIELDS, *SPEC_FIELDS])
def test_whatever_a_field_says_no_command_does_harm(traps: Traps, name: str) -> None:
    """Each in turn, in a record that is right but names a process and a socket not ours."""
    found, socket = traps.innocent, str(traps.precious / "socket")
    valid = traps.valid() | {"pid": found.pid, "start_ticks": found.start_ticks}
    valid |= {"socket": socket, "socket_file": unix_sockets.socket_file(socket)}
    changed = [valid, without(valid, name)]
    for value in traps.tempting():
        spec = valid["spec"] | {name: value}
        changed.append(valid | ({name: value} if name in valid else {"spec": spec}))
    for record in changed:
        with set_up(traps):
            traps.entry.mkdir()
            (traps.entry / records.RECORD).write_text(json.dumps(record))
            (traps.entry / records.LOG).write_text("\x1b[2J\ufffe")

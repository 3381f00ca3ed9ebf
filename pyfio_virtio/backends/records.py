# SPDX-License-Identifier: GPL-2.0-or-later
"""Back-ends that keep running: started under a name, then listed and stopped by later commands.

Each has a folder in this user's state folder, with its record, its log and, unless the user named
another place, its socket. A command that starts or stops a back-end holds the folder's lock. The
new process becomes the back-end only when its record is written, so after a kill at any moment
there is a record, or there is no back-end. Called from the main thread.

Every field of a record is checked, because another program may have written it. A record cannot
make us remove a file outside its folder, except a socket whose device, inode and time it knows and
on which nobody listens. It also cannot make us end another process than the one
that was started: the process ID, start time, boot, user and a mark in the environment must match.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from pyfio_virtio import files
from pyfio_virtio.backends import backends, kinds, option_keys, unix_sockets
from pyfio_virtio.backends.backends import Backend
from pyfio_virtio.backends.kinds import KINDS
from pyfio_virtio.backends.spec import START_TIMEOUT_S, BackendSpec
from pyfio_virtio.backends.unix_sockets import SocketFile
from pyfio_virtio.errors import MachineError, PyfioVirtioError, UsageError
from pyfio_virtio.machine import folders
from pyfio_virtio.machine.folders import absolute, claim, find_state_folder, state_folder
from pyfio_virtio.machine.process import Process, boot_id

RECORD, SOCKET, LOG, CONTROL = "record.json", "disk.sock", "backend.log", "control"
_DRAFT = "record.draft"
_FOLDER = "backend-"
# A variable in the back-end's environment; it holds the folder that the back-end was started for.
_MARK = "PYFIO_VIRTIO_BACKEND"
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_RECORD_BYTES = 1 << 18
_LARGEST_PID = 1 << 22  # PID_MAX_LIMIT of Linux
_LARGEST = (1 << 63) - 1
# This is longer than any start takes, so `stop` finds either a running back-end or none.
_PATIENCE_S = START_TIMEOUT_S + 5
T = TypeVar("T")


class RecordError(PyfioVirtioError):
    """A record holds something that this program would not have written."""


@dataclass(frozen=True)
class Record:
    name: str
    backend: Backend

    def as_dict(self) -> dict[str, Any]:
        """The object that `backend list --json` prints."""
        known = {"name": self.name, "running": self.backend.is_running(), "state": self.state()}
        known["log"] = self.backend.log
        return known | _as_stored(self.backend)

    def state(self) -> str:
        """One line for `backend list`."""
        if self.backend.is_running():
            paused = self.backend.process.is_paused()
            return "paused: a signal stopped it" if paused else "running"
        if self.backend.process.boot_id != boot_id():
            return "ended: the machine was restarted"
        return f"died: {self.backend.last_words() or 'its log says nothing'}"


# ---- names -------------------------------------------------------------------------------------


def folder_of(name: str) -> Path:
    return state_folder() / (_FOLDER + name)


def names() -> list[str]:
    """The names of all back-ends, including those that killed commands left over."""
    state = find_state_folder()
    found = sorted(state.glob(f"{_FOLDER}*")) if state else []
    given = [path.name.removeprefix(_FOLDER) for path in found if _is_folder(path)]
    return [name for name in given if _NAME.fullmatch(name)]


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def free_name(kind: str) -> str:
    """The first name of qsd-0, qsd-1 ... that no record has."""
    return next(_free_names(kind))


def _free_names(kind: str) -> Iterator[str]:
    return (name for n in count() if not _is_taken(name := f"{kind}-{n}"))


def _is_taken(name: str) -> bool:
    return os.path.lexists(folder_of(name) / RECORD)


def check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"cannot name a back-end {name!r}", "use letters, digits, - and _")
    if _is_taken(name):
        raise UsageError(
            f"a back-end is named {name} already", "", f"pyfio-virtio backend stop {name}"
        )


def socket_of(name: str) -> str:
    """The socket that a back-end serves unless the user names another one."""
    return str(folder_of(name) / SOCKET)


# ---- starting ----------------------------------------------------------------------------------


def start(
    spec: BackendSpec,
    name: str | None = None,
    socket: str | None = None,
    tell: Callable[[str], None] | None = None,
) -> Record:
    """Starts a back-end that keeps running. Without `name` it gets the first free name.

    `tell` gets what to know before its disk is made.
    """
    spec = _with_absolute_path(spec)
    spec.check()
    kinds.check_program(spec.kind)
    _check_words(spec, socket)
    folders.make_state_folder()
    name, claimed = _reserve(spec.kind, name)
    folder = folder_of(name)
    try:
        _clear(folder)  # a start that was killed may have left files
        spec = with_control(spec, name)
        return Record(name, _start(spec, folder, absolute(socket or socket_of(name)), tell))
    except BaseException:
        _end(name)
        raise
    finally:
        os.close(claimed)


def _with_absolute_path(spec: BackendSpec) -> BackendSpec:
    """The same for commands that run in another folder."""
    kind = spec.storage.partition(":")[0]
    return replace(spec, storage=f"{kind}:{spec.file.absolute()}") if spec.file else spec


def with_control(spec: BackendSpec, name: str) -> BackendSpec:
    """The same with a control socket, whose path is absolute, if this kind of back-end has one."""
    path = str(folder_of(name) / CONTROL)
    given = option_keys.value_of("control", spec.options)
    if given is not None:
        path = absolute(given) if given else ""
    elif spec.kind != "builtin" or len(os.fsencode(path)) > folders.SOCKET_PATH_BYTES:
        return spec
    return replace(spec, options=(*spec.options, f"control={path}"))


def _start(
    spec: BackendSpec, folder: Path, socket: str, tell: Callable[[str], None] | None
) -> Backend:
    return backends.start(
        spec,
        socket,
        str(folder / LOG),
        outlives_us=True,
        environment={**os.environ, _MARK: str(folder)},
        before=lambda backend: _save(folder, backend),
        tell=tell,
    )


def _check_words(spec: BackendSpec, socket: str | None) -> None:
    """Refuses text that `backend list` could not print."""
    for word in (socket or "", spec.storage, spec.cpus or "", *spec.options):
        if not word.isprintable():
            raise UsageError(f"cannot start a back-end with {word!r}", "it cannot be printed")


def _reserve(kind: str, wanted: str | None) -> tuple[str, int]:
    """Returns a name, and the descriptor that locks its folder."""
    if wanted is not None:
        check_name(wanted)
    for name in _free_names(kind) if wanted is None else (wanted,):
        claimed = claim(folder_of(name), 0 if wanted is None else _PATIENCE_S)
        if claimed is None:
            continue
        if not _is_taken(name):
            return name, claimed
        os.close(claimed)
    raise UsageError(f"another command starts or stops a back-end named {wanted}")


def _save(folder: Path, backend: Backend) -> None:
    """Writes the record so that it is whole or absent."""
    draft = folder / _DRAFT
    try:
        files.write(draft, json.dumps(_as_stored(backend), indent=1) + "\n")
        draft.rename(folder / RECORD)
    except OSError as error:
        raise PyfioVirtioError(
            f"cannot start {KINDS[backend.spec.kind].program}",
            f"its record cannot be written: {error.strerror or error}",
            f"check that there is space in {folder}",
        ) from error


def _as_stored(backend: Backend) -> dict[str, Any]:
    process = backend.process
    return {
        "pid": process.pid,
        "start_ticks": process.start_ticks,
        "boot_id": process.boot_id,
        "socket": backend.socket,
        "socket_file": backend.socket_file,
        "command": backend.command,
        "spec": asdict(backend.spec),
    }


# ---- reading -----------------------------------------------------------------------------------


def load_all() -> tuple[list[Record], list[RecordError]]:
    """All records of this user, sorted by name, and the errors of those that cannot be read."""
    records, faults = [], []
    for name in names():
        try:
            record = load(name)
        except RecordError as fault:
            faults.append(fault)
        else:
            records += [record] if record else []
    return records, faults


def load(name: str) -> Record | None:
    """The record of that name. None if its start has not written one yet, or was killed."""
    folder = folder_of(name)
    try:
        if why := folders.flaw(folder):
            raise ValueError(why)
        with folders.open_plain(folder / RECORD) as file:
            fields = _Fields(json.loads(file.read(_RECORD_BYTES)))
        return Record(name, _backend(fields, folder))
    except FileNotFoundError:
        return None
    # The JSON parser raises RecursionError if brackets are nested too deeply.
    except (OSError, ValueError, RecursionError, UsageError) as error:
        raise RecordError(
            f"cannot read {folder / RECORD}",
            error.strerror if isinstance(error, OSError) and error.strerror else str(error),
            f"stop that back-end yourself if it is running, then: rm -r {folder}",
        ) from error


class _Fields:
    """The fields of a JSON object, each checked as it is taken."""

    def __init__(self, data: object) -> None:
        if not isinstance(data, dict):
            raise ValueError("it is not a JSON object")
        self._data = data

    def take(self, name: str, kind: type[T]) -> T:
        value = self._data.get(name)
        if type(value) is not kind:  # isinstance() would accept True as a number
            raise ValueError(f"its {name} is not a {kind.__name__}")
        return value

    def number(self, name: str, largest: int = _LARGEST) -> int:
        value = self.take(name, int)
        if not 0 <= value <= largest:
            raise ValueError(f"its {name} is out of range")
        return value

    def text(self, name: str) -> str:
        return _text(self.take(name, str), name)

    def texts(self, name: str) -> tuple[str, ...]:
        return tuple(_text(value, name) for value in self.take(name, list))

    def has(self, name: str) -> bool:
        return self._data.get(name) is not None


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"its {name} is not printable text")
    return value


def _backend(fields: _Fields, folder: Path) -> Backend:
    return Backend(
        spec=_spec(_Fields(fields.take("spec", dict))),
        socket=_path(fields.text("socket")),
        log=str(folder / LOG),
        command=fields.texts("command"),
        process=Process(
            pid=fields.number("pid", _LARGEST_PID),
            start_ticks=fields.number("start_ticks"),
            boot_id=fields.text("boot_id"),
            mark=f"{_MARK}={folder}",
        ),
        socket_file=_socket_file(fields),
    )


def _path(path: str) -> str:
    if not Path(path).is_absolute():
        raise ValueError("its socket is not an absolute path")
    folders.check_socket_path(path)
    return path


def _socket_file(fields: _Fields) -> SocketFile | None:
    if not fields.has("socket_file"):
        return None
    numbers = fields.take("socket_file", list)
    if len(numbers) != 3 or not all(type(number) is int for number in numbers):
        raise ValueError("its socket_file is not three numbers")
    device, inode, time_ns = numbers
    return device, inode, time_ns


def _spec(fields: _Fields) -> BackendSpec:
    spec = BackendSpec(
        kind=fields.text("kind"),
        storage=fields.text("storage"),
        size_bytes=fields.number("size_bytes"),
        queues=fields.number("queues"),
        block_size=fields.number("block_size"),
        read_only=fields.take("read_only", bool),
        poll_max_ns=fields.number("poll_max_ns") if fields.has("poll_max_ns") else None,
        cpus=fields.text("cpus") if fields.has("cpus") else None,
        options=fields.texts("options"),
    )
    if spec.kind not in KINDS:
        raise ValueError(f"there is no kind {spec.kind}")
    spec.check()
    return spec


# ---- stopping ----------------------------------------------------------------------------------


def check_known(*wanted: str) -> None:
    """Refuses a name that is not known. Several names are of back-ends to stop, all or none."""
    known = names()
    for name in wanted:
        if name not in known:
            there_are = ", ".join(known) or "none"
            none = "so none was stopped" if len(wanted) > 1 else ""
            raise UsageError(f"no back-end is named {name}", f"known names: {there_are}", none)


def stop(name: str) -> Record | None:
    """Ends the back-end and removes its record; a disk in a file is kept. Returns None if there was
    no back-end any more."""
    claimed = claim(folder_of(name), _PATIENCE_S)
    if claimed is None:
        raise PyfioVirtioError(
            f"cannot stop {name}", "another command is starting or stopping it", "try again"
        )
    try:
        return _end(name)
    finally:
        os.close(claimed)


def _end(name: str) -> Record | None:
    """Ends the back-end and removes its folder if that is then empty. The caller holds the lock."""
    record = load(name)
    if record:
        record.backend.end()
        _check_ended(record)
        _remove_socket(record.backend)
    folder = folder_of(name)
    _clear(folder)
    with suppress(OSError):
        folder.rmdir()
    return record


def _check_ended(record: Record) -> None:
    """Refuses to remove the record of a back-end that still serves, because no command could stop
    it then."""
    process, socket = record.backend.process, socket_of(record.name)
    if process.is_running():
        raise PyfioVirtioError(f"cannot stop {record.name}", f"process {process.pid} does not end")
    if unix_sockets.accepts(socket):
        raise PyfioVirtioError(
            f"cannot stop {record.name}",
            f"process {process.pid} has ended, but another one serves {socket}",
            "stop it where it was started, perhaps in another container",
        )


def _remove_socket(backend: Backend) -> None:
    """Removes the socket that a killed back-end left, wherever it is. Another file at its path, or
    a socket that some process still serves, stays.
    """
    if backend.has_its_socket() and unix_sockets.is_abandoned(backend.socket):
        with suppress(OSError):
            Path(backend.socket).unlink()


def _clear(folder: Path) -> None:
    """Removes the back-end's files from its folder, the record last."""
    for name in (SOCKET, CONTROL, LOG, _DRAFT, RECORD):
        with suppress(FileNotFoundError, IsADirectoryError):
            (folder / name).unlink()


def is_scratch_disk(socket: str) -> bool:
    """Whether `socket` belongs to a back-end that we started and that holds no file of the user."""
    path = absolute(socket)
    try:
        records, _ = load_all()
    except MachineError:  # the folder may belong to another user
        return False
    return any(
        record.backend.spec.file is None
        and record.backend.socket == path
        and record.backend.is_running()
        and unix_sockets.listener(path) == record.backend.process.pid
        for record in records
    )

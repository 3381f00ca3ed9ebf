# SPDX-License-Identifier: GPL-2.0-or-later
"""Back-ends: the specification of one, its command line, and how it is started and stopped.

A BackendSpec says which back-end is wanted, KINDS turns it into a command line, and start() runs
it as a Backend that serves a socket. Called from the main thread. This file never touches a disk
that the specification does not name, and never replaces a file at the path of a socket. It keeps
no records, because backends/records.py does.
"""

import os
import shlex
import shutil
import signal
import socket as socket_module
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pyfio_virtio.backends import disk_files, filling, option_keys, option_values
from pyfio_virtio.backends.unix_sockets import SocketFile, bind, listener, socket_file
from pyfio_virtio.engine import engine
from pyfio_virtio.errors import MachineError, PyfioVirtioError, UsageError
from pyfio_virtio.machine import cpu_lists, process, python
from pyfio_virtio.machine.folders import check_socket_path, open_plain
from pyfio_virtio.sizes import format_size

# The kind that `run` and `backend start` use if the user names none.
DEFAULT_KIND = "builtin"
START_TIMEOUT_S = 10.0
# The slowest rate at which memory is filled: in a guest whose hypervisor has to find it first.
_FILLED_BYTES_PER_S = 128 << 20
_LARGEST = (1 << 63) - 1  # number that back-ends read
_LAST_BYTES = 4096  # at the end of a log, where last_words() looks for the last line
MEMORY_FD_NAME = "pyfio-virtio-disk"
QSD_POLL_MAX_NS = 32768  # qemu-storage-daemon's own default
QSD = "qemu-storage-daemon"
_SMALLEST_BLOCK = 512  # bytes; the default


@dataclass(frozen=True)
class BackendSpec:
    """The back-end that is wanted. `storage` is null, memory, memory:PATH, or file:PATH."""

    kind: str = DEFAULT_KIND
    storage: str = "memory"
    size_bytes: int = 1 << 30
    queues: int = 1
    block_size: int = _SMALLEST_BLOCK  # bytes
    read_only: bool = False
    poll_max_ns: int | None = None  # qsd: how long an idle thread polls before it sleeps
    cpus: str | None = None  # as taskset takes it: "0,2-3"
    options: tuple[str, ...] = ()  # KEY=VALUE, of option_keys.py

    @property
    def file(self) -> Path | None:
        """The file that holds the blocks, if the storage is a file, mapped or not."""
        _, _, path = self.storage.partition(":")
        return Path(path) if path else None

    def as_scsi(self) -> "BackendSpec":
        """The same disk behind a virtio-scsi controller, unless its options name a device."""
        if self.kind != "builtin":
            raise UsageError(
                "cannot serve device=scsi", f"{self.kind} has no virtio-scsi", "use builtin"
            )
        if any(option.startswith("device=") for option in self.options):
            return self
        return replace(self, options=(*self.options, "device=scsi"))

    def describe(self) -> str:
        """Describes the disk, for the line that is printed before a run."""
        size = "" if self.file else f", {format_size(self.size_bytes)}"
        queues = f"{self.queues} queue" + ("s" if self.queues != 1 else "")
        read_only = ", read-only" if self.read_only else ""
        return f"{KINDS[self.kind].program}, storage {self.storage}{size}, {queues}{read_only}"

    def details(self) -> str:
        """What describe() leaves out, because most users set none of it; "" if nothing is set."""
        block = f", {self.block_size}-byte blocks" if self.block_size != 512 else ""
        polls = "" if self.poll_max_ns is None else f", poll-max-ns {self.poll_max_ns}"
        cpus = f", CPUs {self.cpus}" if self.cpus else ""
        return f"{block}{polls}{cpus}" + "".join(f", {option}" for option in self.options)

    def unfilled(self) -> str:
        """Why a disk that is made is not filled before it is served; "" if it is."""
        if self.storage == "memory":
            return filling.short_of_memory(self.size_bytes)
        if self.file is None or self.file.exists() or not self.file.parent.is_dir():
            return ""
        return filling.short_of_room(self.file.absolute(), self.size_bytes)

    def note(self) -> str:
        """What to know before it is started; mostly nothing."""
        if unfilled := self.unfilled():
            return unfilled
        if self.file is None or self.file.exists():
            return ""
        size = format_size(self.size_bytes)
        return f"{self.file} is new, so all of its {size} are written first"

    def start_timeout_s(self) -> float:
        filled = self.size_bytes if self.storage == "memory" else 0
        return START_TIMEOUT_S + filled / _FILLED_BYTES_PER_S

    def check(self) -> None:
        """Refuses impossible values, so that the user gets our message and not the back-end's."""
        if self.kind not in KINDS:
            raise UsageError(f"unknown back-end {self.kind!r}", "", f"use {', '.join(KINDS)}")
        kind, _, path = self.storage.partition(":")
        option_values.check_storage(self.storage)
        if path and kind == "memory" and self.kind != "builtin":
            raise UsageError(
                f"{self.kind} has no storage {self.storage}",
                "only the built-in back-end maps files",
                f"use file:{path}",
            )
        if self.block_size < 512 or self.block_size & (self.block_size - 1):
            raise UsageError(
                f"unusable block size {self.block_size}", "it must be 512 or a higher power of two"
            )
        numbers = {"size": self.size_bytes, "poll-max-ns": self.poll_max_ns or 0}
        for name, number in {**numbers, "number of queues": self.queues}.items():
            if number > _LARGEST:
                raise UsageError(f"unusable {name} {number}", "it does not fit into 63 bits")
        if self.size_bytes < self.block_size or self.size_bytes % self.block_size:
            raise UsageError(
                f"unusable size {self.size_bytes}",
                f"it must be a multiple of the block size {self.block_size}",
            )
        if self.poll_max_ns is not None and self.kind != "qsd":
            raise UsageError(f"{self.kind} has no --poll-max-ns", "only qsd has it")
        if self.queues < 1:
            raise UsageError(f"unusable number of queues {self.queues}", "it must be 1 or more")
        if self.cpus:
            cpu_lists.check(self.cpus, f"CPUs {self.cpus} for the back-end")
        option_keys.check(self.kind, self.options, self.storage)


@dataclass(frozen=True)
class Backend:
    """A back-end that serves `socket`. Its log holds what it wrote to stdout and stderr."""

    spec: BackendSpec
    socket: str
    log: str
    command: tuple[str, ...]  # as a user would type it
    process: process.Process
    socket_file: SocketFile | None = None  # the file that we made at `socket`

    def is_running(self) -> bool:
        return self.process.is_running()

    def has_died(self) -> bool:
        """Whether it ended with an error. After its last client it ends without one."""
        child = self.process.child  # None: another process started it and knows its status
        return not self.is_running() and (child is None or child.returncode != 0)

    def has_its_socket(self) -> bool:
        """Whether `socket` is still the file that we made."""
        return self.socket_file is not None and socket_file(self.socket) == self.socket_file

    def last_words(self) -> str:
        """The last line of its log, where programs say why they ended."""
        lines = _end_of_file(self.log).decode(errors="replace").strip().splitlines()
        return "".join(each if each.isprintable() else " " for each in lines[-1]) if lines else ""

    def end(self) -> None:
        """Ends the process."""
        # When qemu-storage-daemon ends, it removes any file at its path. So if that file is not our
        # socket, the daemon is killed at once.
        self.process.end(KINDS[self.spec.kind].grace_s if self.has_its_socket() else 0)

    def stop(self) -> None:
        """Ends the process, and removes the socket if it is still the one that we made."""
        self.end()
        if self.has_its_socket():
            Path(self.socket).unlink(missing_ok=True)


def _end_of_file(path: str) -> bytes:
    """The last bytes of a plain file; nothing if another kind of file is there."""
    try:
        with open_plain(Path(path)) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LAST_BYTES))
            return file.read(_LAST_BYTES)
    except OSError:
        return b""


@dataclass(frozen=True)
class Storage:
    """Where the disk's blocks are stored: a path that the back-end opens, or "" for null."""

    path: str = ""
    fds: tuple[int, ...] = field(default=())  # kept open for the back-end
    made: disk_files.FileId | None = None  # the file at `path`, if it was made for this start

    def remove_made(self) -> None:
        """Removes the file that was made, because nothing serves it."""
        if self.made:
            disk_files.remove(Path(self.path), self.made)


def _qsd_node(spec: BackendSpec, storage: Storage) -> str:
    """The option of qemu that describes the disk, which gets the name "disk"."""
    read_only = "on" if spec.read_only else "off"
    if storage.path:
        node = f"driver=raw,node-name=disk,read-only={read_only},discard=unmap"
        node += f",file.driver=file,file.filename={option_keys.escaped(storage.path)}"
    else:
        node = f"driver=null-co,node-name=disk,read-only={read_only}"
        node += f",size={spec.size_bytes},read-zeroes=off"
    return ",".join([node, *option_keys.of_qsd_node(spec.options)])


def _qsd_address(socket: str, fd: int | None) -> str:
    if fd is not None:
        return f"addr.type=fd,addr.str={fd}"
    return f"addr.type=unix,addr.path={option_keys.escaped(socket)}"


def qsd_command(
    spec: BackendSpec, socket: str, storage: Storage, fd: int | None = None
) -> list[str]:
    """qemu-storage-daemon(1) with one disk on one socket."""
    writable = "off" if spec.read_only else "on"
    export = (
        f"type=vhost-user-blk,id=export,node-name=disk,writable={writable},iothread=thread"
        f",num-queues={spec.queues},logical-block-size={spec.block_size}"
        f",{_qsd_address(socket, fd)}"
    )
    poll_max_ns = QSD_POLL_MAX_NS if spec.poll_max_ns is None else spec.poll_max_ns
    thread = f"iothread,id=thread,poll-max-ns={poll_max_ns}"
    thread = ",".join([thread, *option_keys.of_qsd_thread(spec.options)])
    node = _qsd_node(spec, storage)
    return [QSD, "--blockdev", node, "--object", thread, "--export", export]


def nbd_command(
    spec: BackendSpec, socket: str, storage: Storage, fd: int | None = None
) -> list[str]:
    """The same disk as an NBD export called "disk", for comparisons."""
    writable = "off" if spec.read_only else "on"
    server = _qsd_address(socket, fd)
    export = f"type=nbd,id=export,node-name=disk,name=disk,writable={writable}"
    node = _qsd_node(spec, storage)
    return [QSD, "--blockdev", node, "--nbd-server", server, "--export", export]


def builtin_command(
    spec: BackendSpec, socket: str, storage: Storage, fd: int | None = None
) -> list[str]:
    """Our own back-end, as a process. It makes null and memory disks by itself."""
    kind = spec.storage.partition(":")[0]
    where = f"{kind}:{storage.path}" if spec.file else spec.storage
    size = [] if spec.file else [f"--size={spec.size_bytes}"]
    # Direct access to a file may need larger blocks than the default.
    block = [] if spec.block_size == _SMALLEST_BLOCK else [f"--block-size={spec.block_size}"]
    return [
        *(*python.command(), "-m", "pyfio_virtio.backends.builtin"),
        *(f"--socket={socket}", f"--storage={where}"),
        *(*size, *block, f"--queues={spec.queues}"),
        *(["--read-only"] if spec.read_only else []),
        *([f"--socket-fd={fd}"] if fd is not None else []),
    ]


@dataclass(frozen=True)
class Kind:
    """A program that can serve: its name, its command line, and how to find and install it."""

    program: str
    command: Callable[[BackendSpec, str, Storage, int | None], list[str]]
    is_installed: Callable[[], bool]
    how_to_install: str
    grace_s: float = 2.0  # the time that it gets to end before it is killed


_QSD_INSTALL = "install it (Debian 12: apt install qemu-system-common; 13: qemu-utils)"
# Release 7.2 sometimes hangs when it ends. A kill loses nothing, because it buffers no data.
_QSD_GRACE_S = 0.3


def _has_qsd() -> bool:
    return shutil.which(QSD) is not None


KINDS = {
    "builtin": Kind(
        "built-in back-end",
        builtin_command,
        engine.has_builtin_backend,
        engine.how_to_build(),
    ),
    "qsd": Kind(QSD, qsd_command, _has_qsd, _QSD_INSTALL, _QSD_GRACE_S),
    "nbd": Kind(f"{QSD} by NBD", nbd_command, _has_qsd, _QSD_INSTALL, _QSD_GRACE_S),
}
# The kinds that the engine can use.
VHOST_USER_KINDS = ("builtin", "qsd")


def command(spec: BackendSpec, socket: str, storage: Storage, fd: int | None = None) -> list[str]:
    """The whole command line, with the CPUs that the back-end may run on.

    `fd` is a descriptor that is bound to `socket`; the back-end listens on it.
    """
    pinning = ["taskset", "-c", spec.cpus] if spec.cpus else []
    options = [f"--{each}" for each in option_keys.of_program(spec.kind, spec.options)]
    return [*pinning, *KINDS[spec.kind].command(spec, socket, storage, fd), *options]


def dry_command(spec: BackendSpec, socket: str) -> str:
    """The command as a user would type it. The descriptor of a memory disk is shown as N."""
    path = str(spec.file or ("/proc/self/fd/N" if _needs_memfd(spec) else ""))
    return shlex.join(command(spec, socket, Storage(path)))


def _needs_memfd(spec: BackendSpec) -> bool:
    """qemu-storage-daemon serves only files, so a memory disk is passed to it as a file."""
    return spec.kind in ("qsd", "nbd") and spec.storage == "memory"


def start(
    spec: BackendSpec,
    socket: str,
    log: str,
    *,
    outlives_us: bool = False,
    environment: Mapping[str, str] | None = None,
    before: Callable[[Backend], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Backend:
    """Starts a back-end and waits until its socket accepts connections.

    With `outlives_us` the back-end keeps running when this process ends; otherwise the kernel kills
    it then. `before` is called with it, as process.start() says. `tell` gets the note of the
    specification before the disk is made. If the start fails, what it made is removed.
    """
    spec.check()
    check_socket_path(socket)
    check_program(spec.kind)
    bound = bind(socket)
    made = socket_file(socket)
    backend = storage = None
    try:
        # Our copy is closed before we wait: it would accept connections after the back-end died.
        with bound:
            storage = _open_storage(spec, tell)
            backend = _launch(spec, socket, log, bound, storage, outlives_us, environment, before)
        _wait_until_it_serves(backend)
    except BaseException:  # ^C too: everything that was started here is stopped
        if backend:
            backend.stop()
        if made and socket_file(socket) == made:
            Path(socket).unlink()
        if storage:
            storage.remove_made()
        Path(log).unlink(missing_ok=True)
        raise
    return backend


def _launch(
    spec: BackendSpec,
    socket: str,
    log: str,
    bound: socket_module.socket,
    storage: Storage,
    outlives_us: bool,
    environment: Mapping[str, str] | None,
    before: Callable[[Backend], None] | None,
) -> Backend:
    made, typed = socket_file(socket), tuple(command(spec, socket, storage))

    def known(started: process.Process) -> Backend:
        return Backend(spec, socket, log, typed, started, made)

    try:
        with Path(log).open("wb") as output:
            started = process.start(
                command(spec, socket, storage, bound.fileno()),
                death_signal=None if outlives_us else signal.SIGKILL,
                output=output,
                errors=subprocess.STDOUT,
                environment=environment,
                keep_fds=(*storage.fds, bound.fileno()),
                session=True,
                before=None if before is None else lambda child: before(known(child)),
            )
    finally:
        for fd in storage.fds:
            os.close(fd)
    return known(started)


def check_program(name: str) -> None:
    """Refuses a kind of back-end whose program is not installed."""
    kind = KINDS[name]
    if not kind.is_installed():
        raise MachineError(
            f"cannot start {kind.program}", "there is no such program", kind.how_to_install
        )


def _open_storage(spec: BackendSpec, tell: Callable[[str], None] | None) -> Storage:
    # A file that exists already keeps its size.
    is_new = spec.file is not None and not disk_files.check(spec.file, spec.read_only)
    if tell and (note := spec.note()):
        tell(note)
    if spec.file is not None:
        path, filled = spec.file.absolute(), not spec.unfilled()
        made = disk_files.make(path, spec.size_bytes, is_filled=filled) if is_new else None
        return Storage(str(path), made=made)
    if not _needs_memfd(spec):
        return Storage()
    # The memory is freed when the back-end ends, however it ends, so no file can be left over.
    fd = os.memfd_create(MEMORY_FD_NAME)
    try:
        os.ftruncate(fd, spec.size_bytes)
        if not spec.unfilled():
            filling.fill_memory(fd, spec.size_bytes)
    except OSError as error:
        os.close(fd)
        what = f"cannot make a disk of {format_size(spec.size_bytes)} in memory"
        raise PyfioVirtioError(what, error.strerror or str(error), "use a smaller one") from error
    return Storage(f"/proc/self/fd/{fd}", (fd,))


def _wait_until_it_serves(backend: Backend) -> None:
    what = f"{KINDS[backend.spec.kind].program} did not start"
    timeout_s = backend.spec.start_timeout_s()
    deadline = time.monotonic() + timeout_s
    while (pid := listener(backend.socket)) is None:
        if not backend.is_running():
            raise PyfioVirtioError(what, backend.last_words())
        if time.monotonic() >= deadline:
            why = f"nobody listens on {backend.socket} after {timeout_s:g} s"
            raise PyfioVirtioError(what, why)
        time.sleep(0.005)
    if pid != backend.process.pid:
        raise PyfioVirtioError(what, f"process {pid} serves {backend.socket} in its place")

# SPDX-License-Identifier: GPL-2.0-or-later
"""How child processes are started, identified and ended.

Owns the identity of a process: its number, its start time and the boot, because numbers are reused.
Owns the parent-death signal, so that children do not survive a kill -9 of this process. Any thread
may call. The kernel sends that signal when the *thread* that started a child ends, so the thread
must live longer than its children. Nothing is printed. No process is searched by name, and no
process is signalled that could be another one than was meant.
"""

import errno
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pyfio_virtio.errors import MachineError
from pyfio_virtio.machine import signals

if TYPE_CHECKING:
    import psutil

_SECRET = re.compile("secret|passw|token|credential", re.IGNORECASE)
_EXEC_S = 1.0  # far more than an execve(2) takes
_INTERVAL_S = 0.05  # between two looks whether a child that prints nothing has ended
_PIECE_BYTES = 1 << 16
_AFTER_KILL_S = 5.0  # the kernel needs time to free the memory of a process


def start_ticks(pid: int) -> int | None:
    """When process `pid` started, in clock ticks since boot; None if no such process runs.

    psutil is not used, because it gives a time of day, which changes when the clock is set.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name, in brackets, may have spaces, so fields are counted from the last bracket (proc(5)).
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def is_paused(pid: int) -> bool:
    """Whether a signal has stopped the process, so that it does nothing until it is continued."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt"
    except OSError:
        return False


def command_line(pid: int) -> str:
    """The command of a process, for a shell; empty if it cannot be read.

    It is shown to others, so words that may contain a secret are replaced.
    """
    import psutil  # slow to import, and mostly not needed

    try:
        words = psutil.Process(pid).cmdline()
    except (psutil.Error, OSError):
        return ""
    return shlex.join("(hidden)" if _SECRET.search(word) else word for word in words)


@cache
def boot_id() -> str:
    """Identifies this boot of the machine, because start times are counted from the boot."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


@dataclass(frozen=True)
class Process:
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    start_ticks: int
    child: "subprocess.Popen[bytes] | None" = field(default=None, repr=False, compare=False)
    boot_id: str = field(default_factory=boot_id)
    mark: str = ""  # NAME=VALUE that its environment must have; "": it need not have one

    def is_running(self) -> bool:
        if self.child is not None:
            return self.child.poll() is None  # poll() also reaps the child
        return (
            self.boot_id == boot_id()
            and start_ticks(self.pid) == self.start_ticks
            and (not self.mark or _is_marked(self.pid, self.mark))
        )

    def is_paused(self) -> bool:
        """Whether a signal has stopped it; it is running all the same."""
        return is_paused(self.pid) and self.is_running()

    def wait(self, timeout_s: float) -> bool:
        """Waits until the process ends; False if it does not end in time."""
        deadline = time.monotonic() + timeout_s
        while self.is_running():
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        return True

    def end(self, grace_s: float = 2.0) -> None:
        """Sends SIGTERM, and SIGKILL after `grace_s` seconds. If that is 0, only SIGKILL."""
        if self.child is None:
            self._end_by_descriptor(grace_s)
            return
        for number, limit_s in _ways_to_end(grace_s):
            self.child.send_signal(number)  # does nothing if the child was waited for
            if self.wait(limit_s):
                return

    def _end_by_descriptor(self, grace_s: float) -> None:
        """Ends it by a pidfd, because its number may be given to another process at any time."""
        descriptor = _open(self.pid)
        if descriptor is None:
            return
        try:
            # is_running() is called after the pidfd was opened, so both mean the same process.
            if self.is_running():
                _end(descriptor, grace_s)
        finally:
            os.close(descriptor)


def _ways_to_end(grace_s: float) -> list[tuple[int, float]]:
    """The signals to send, each with the seconds that the process then has to end."""
    asked = [(signal.SIGTERM, grace_s)] if grace_s else []
    return [*asked, (signal.SIGKILL, _AFTER_KILL_S)]


def _open(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        # There is no such process, or the number is that of a thread.
        if error.errno in (errno.ESRCH, errno.EINVAL, errno.ENOENT):
            return None
        raise MachineError(
            f"will not end process {pid}",
            f"its number may have been given to a later process: pidfd_open: {error.strerror}",
            f"end it yourself: kill {pid}",
        ) from error


def _end(descriptor: int, grace_s: float) -> None:
    """Ends the process of a pidfd."""
    ended = select.poll()
    ended.register(descriptor, select.POLLIN)
    for number, limit_s in _ways_to_end(grace_s):
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, number)
        if ended.poll(limit_s * 1000):
            return


def _is_marked(pid: int, mark: str) -> bool:
    """Whether a process belongs to this user and was started with `mark` in its environment."""
    import psutil  # slow to import, and mostly not needed

    name, _, value = mark.partition("=")
    try:
        found = psutil.Process(pid)
        return found.uids().effective == os.geteuid() and _environment(found).get(name) == value
    except (psutil.Error, OSError):
        return False


def _environment(of: "psutil.Process") -> Mapping[str, str]:
    """The environment is empty for a moment while a process executes another program."""
    deadline = time.monotonic() + _EXEC_S
    while not (found := of.environ()) and time.monotonic() < deadline:
        time.sleep(0.001)
    return found


def finish(process: Process) -> int:
    """Waits for a child of ours. Returns its return code. More of its output is not wanted."""
    if process.child is None:
        raise ValueError(f"process {process.pid} is not a child of ours")
    code = process.child.wait()
    if process.child.stdout is not None:
        process.child.stdout.close()
    return code


def has_ended(pid: int) -> bool:
    """Whether a child of ours has ended. It can still be waited for."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # it was waited for already
        return True


def pieces(process: Process) -> Iterator[bytes]:
    """What a child prints whose stdout is captured, until it closes it or ends. What it started may
    keep its stdout open for longer.
    """
    output = output_of(process)
    while True:
        is_over = has_ended(process.pid)
        readable, _, _ = select.select([output], [], [], 0 if is_over else _INTERVAL_S)
        piece = os.read(output, _PIECE_BYTES) if readable else b""
        if piece:
            yield piece
        elif readable or is_over:
            return


def output_of(process: Process) -> int:
    """The descriptor from which the captured stdout of a child is read."""
    if process.child is None or process.child.stdout is None:
        raise ValueError(f"the output of process {process.pid} is not captured")
    return process.child.stdout.fileno()


def this_process() -> Process:
    pid = os.getpid()
    return Process(pid, start_ticks(pid) or 0)


# A new process waits for a line before it executes the command, so that its starter knows it then.
# If the starter ends before, the process reads the end of the pipe and ends too. The line names the
# starter: if that ended before setpriv asked for the signal, the process has another parent now. No
# code of ours runs between fork and exec, because another thread may hold locks at the fork.
_ANY = "any"
_BEGIN = (
    f'read -r starter && [ "$starter" = {_ANY} -o "$starter" = "$PPID" ] && exec "$@" </dev/null'
)
# If we are killed, a program whose output we read must still be able to end its own children, so
# SIGPIPE does not end it when it prints.
_OUTLIVES_READER = f"trap '' PIPE; {_BEGIN}"


def dying_with_parent(number: int) -> list[str]:
    """The first words of a command that gets signal `number` when its starting thread ends."""
    if shutil.which("setpriv") is None:
        raise MachineError(
            "cannot start processes",
            "there is no setpriv, which makes them end with us",
            "install it: apt install util-linux",
        )
    return ["setpriv", "--pdeathsig", signal.Signals(number).name.removeprefix("SIG"), "--"]


def start(
    command: Sequence[str],
    *,
    death_signal: int | None,
    output: IO[bytes] | int | None = None,
    errors: IO[bytes] | int | None = None,
    environment: Mapping[str, str] | None = None,
    keep_fds: Sequence[int] = (),
    session: bool = False,
    folder: Path | None = None,
    before: Callable[[Process], None] | None = None,
) -> Process:
    """Starts `command` in its own process group (or session), in `folder` or in our folder.

    The kernel sends it `death_signal` when the starting thread ends; with None it keeps running.
    It has its own group so that ^C in the terminal does not reach it: this process decides what ^C
    does. `before` is called with the new process before that executes `command`. `command` runs
    only after `before` has returned, even if we are killed at any moment.
    """
    if start_ticks(os.getpid()) is None:
        why = "/proc is not mounted, which tells processes apart"
        raise MachineError("cannot start processes", why, "mount it: mount -t proc proc /proc")
    prefix = [] if death_signal is None else dying_with_parent(death_signal)
    begin = _OUTLIVES_READER if output == subprocess.PIPE else _BEGIN
    with signals.held(), _pipe() as (reader, writer):
        try:
            child = subprocess.Popen(
                [*prefix, "sh", "-c", begin, "sh", *command],
                stdin=reader,
                stdout=output,
                stderr=errors,
                env=environment,
                cwd=folder,
                pass_fds=keep_fds,
                start_new_session=session,
                process_group=None if session else 0,
            )
        except OSError as error:
            why, advice = error.strerror or str(error), "see the limits of this shell: ulimit -a"
            if error.filename:
                why, advice = f"{error.filename}: {why}", ""
            raise MachineError(f"cannot start {command[0]}", why, advice) from error
        started = Process(child.pid, start_ticks(child.pid) or 0, child)
        try:
            if before is not None:
                before(started)
        except BaseException:
            writer.close()
            child.wait()
            raise
        with suppress(BrokenPipeError):  # the process has ended already
            starter = _ANY if death_signal is None else str(os.getpid())
            writer.write(f"{starter}\n".encode())
    return started


@contextmanager
def _pipe() -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", 0) as source, os.fdopen(writer, "wb", 0) as sink:
        yield source, sink

# SPDX-License-Identifier: GPL-2.0-or-later
"""Unix sockets in the file system: makes them, identifies them, and finds the process that listens.

It never replaces or removes a file. Any thread may call.
"""

import errno
import os
import pwd
import shlex
import stat
import struct
from pathlib import Path
from socket import AF_UNIX, SO_PEERCRED, SO_SNDTIMEO, SOCK_STREAM, SOL_SOCKET, socket

from pyfio_virtio.errors import UsageError
from pyfio_virtio.machine.folders import check_socket_path

# Device, inode and time of a socket's file. A later file at the same path has different ones.
SocketFile = tuple[int, int, int]


def socket_file(path: str) -> SocketFile | None:
    try:
        status = Path(path).lstat()
    except OSError:
        return None
    if not stat.S_ISSOCK(status.st_mode):
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns


def bind(path: str) -> socket:
    """Makes a socket at `path` that does not listen yet.

    bind(2) makes a new file or fails, so two sockets never share a path, and no file is replaced.
    """
    bound = socket(AF_UNIX, SOCK_STREAM)
    try:
        bound.bind(path)
    except OSError as error:
        bound.close()
        raise UsageError(f"cannot serve {path}", *_obstacle(path, error)) from error
    return bound


def _obstacle(path: str, error: OSError) -> tuple[str, str]:
    """Why a socket cannot be made there, and what to do."""
    another = "choose another --socket"
    if error.errno == errno.ENOENT:
        return "its folder does not exist", another
    if error.errno != errno.EADDRINUSE:
        return error.strerror or str(error), another
    if socket_file(path) is None:
        return "a file that is not a socket is already there", another
    try:
        connect(path).close()
    except ConnectionRefusedError:
        left = f"if no program is about to serve it: rm {shlex.quote(path)}"
        return "a socket is already there, but nobody listens on it", left
    except OSError:
        pass  # refused for another reason, so a process may be listening
    return "it is in use", f"stop what serves it, or {another}"


def connect(path: str) -> socket:
    """Connects to the listening process. Raises BlockingIOError if it stays busy for 1 s."""
    probe = socket(AF_UNIX, SOCK_STREAM)
    # With settimeout(), connect(2) would not wait while the queue of connections is full, and
    # qemu's queue holds only one.
    probe.setsockopt(SOL_SOCKET, SO_SNDTIMEO, struct.pack("ll", 1, 0))
    try:
        probe.connect(path)
    except BaseException:
        probe.close()
        raise
    return probe


def check_served(path: str) -> None:
    """Refuses a path at which no program can be reached: why not, and what to do."""
    check_socket_path(path)
    try:
        connect(path).close()
    except BlockingIOError:
        return  # a program listens, and is busy
    except OSError as error:
        raise UsageError(f"cannot use the back-end at {path}", *_absence(path, error)) from error


def check_present(path: str) -> None:
    """Refuses a path where there is no socket that this user may use. It does not connect, because
    some back-ends serve one client and then end.
    """
    check_socket_path(path)
    try:
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            raise ConnectionRefusedError(errno.ECONNREFUSED, "")
        if not os.access(path, os.W_OK, effective_ids=True):
            raise PermissionError(errno.EACCES, "")
    except OSError as error:
        raise UsageError(f"cannot use the back-end at {path}", *_absence(path, error)) from error


def _absence(path: str, error: OSError) -> tuple[str, str]:
    """Why nothing can be reached there, and what to do."""
    start = "start the back-end there, or name the socket of one that runs"
    if error.errno in (errno.EACCES, errno.EPERM):
        return _forbidden(path)
    if error.errno == errno.ENOENT:
        return "there is no such socket", start
    if error.errno == errno.ENOTDIR:
        return "a part of the path is not a folder", start
    if error.errno == errno.EPROTOTYPE:
        return "it is not a stream socket", start
    if error.errno != errno.ECONNREFUSED:
        return error.strerror or str(error), start
    if Path(path).is_socket():
        return "nobody listens on this socket", "start its back-end (again)"
    return "it is not a socket", "name the Unix socket on which the back-end listens"


def _forbidden(path: str) -> tuple[str, str]:
    """Why this user may not connect. The owner is unknown if even the folder is closed."""
    quoted = shlex.quote(path)
    try:
        owner = pwd.getpwuid(Path(path).stat().st_uid).pw_name
    except OSError:
        return "permission denied: this user may not enter its folder", "run as its owner or root"
    except KeyError:
        owner = "its owner"
    return (
        f"permission denied: the socket belongs to {owner}",
        f"run as {owner} or root, or give this user the right to write to it: "
        f"sudo setfacl -m u:{os.geteuid()}:rw {quoted}",
    )


def listener(path: str) -> int | None:
    """The ID of the process that listens on a socket, as the kernel says (unix(7), SO_PEERCRED).

    0 if the process is in another container; None if no process can be reached.
    """
    try:
        with connect(path) as probe:
            size = struct.calcsize("3i")
            found = probe.getsockopt(SOL_SOCKET, SO_PEERCRED, size)
    except OSError:
        return None
    pid, _, _ = struct.unpack("3i", found)
    return int(pid)


def is_abandoned(path: str) -> bool:
    """Whether there is a socket on which no process listens."""
    try:
        connect(path).close()
    except ConnectionRefusedError:
        return socket_file(path) is not None
    except OSError:
        pass
    return False


def accepts(path: str) -> bool:
    """Whether a process listens on the socket."""
    try:
        connect(path).close()
    except BlockingIOError:
        return True
    except OSError:
        return False
    return True

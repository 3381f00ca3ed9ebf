# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of each kind of back-end. Pure."""

import shlex

from pyfio_virtio.backends import option_keys
from pyfio_virtio.backends.kinds import QSD
from pyfio_virtio.backends.spec import SMALLEST_BLOCK, BackendSpec
from pyfio_virtio.backends.storage import Storage, needs_memfd
from pyfio_virtio.machine import python

QSD_POLL_MAX_NS = 32768  # qemu-storage-daemon's own default


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
    block = [] if spec.block_size == SMALLEST_BLOCK else [f"--block-size={spec.block_size}"]
    return [
        *(*python.command(), "-m", "pyfio_virtio.backends.builtin"),
        *(f"--socket={socket}", f"--storage={where}"),
        *(*size, *block, f"--queues={spec.queues}"),
        *(["--read-only"] if spec.read_only else []),
        *([f"--socket-fd={fd}"] if fd is not None else []),
    ]


COMMANDS = {"builtin": builtin_command, "qsd": qsd_command, "nbd": nbd_command}


def command(spec: BackendSpec, socket: str, storage: Storage, fd: int | None = None) -> list[str]:
    """The whole command line, with the CPUs that the back-end may run on.

    `fd` is a descriptor that is bound to `socket`; the back-end listens on it.
    """
    pinning = ["taskset", "-c", spec.cpus] if spec.cpus else []
    options = [f"--{each}" for each in option_keys.of_program(spec.kind, spec.options)]
    return [*pinning, *COMMANDS[spec.kind](spec, socket, storage, fd), *options]


def dry_command(spec: BackendSpec, socket: str) -> str:
    """The command as a user would type it. The descriptor of a memory disk is shown as N."""
    path = str(spec.file or ("/proc/self/fd/N" if needs_memfd(spec) else ""))
    return shlex.join(command(spec, socket, Storage(path)))

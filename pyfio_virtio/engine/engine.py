# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine for Python. Only this module imports the shared object.

The shared object is loaded when it is first needed, because most commands do not need it. Any
thread may call. Errors of the engine become a DiskError with the engine's sentence.
"""

import errno
import os
import re
from dataclasses import MISSING, dataclass, fields, replace
from functools import cache
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from pyfio_virtio.errors import DiskError, MachineError, PyfioVirtioError

NAME = "fio_virtio"
BACKEND_NAME = "vhost_backend"
# Names the folder of another build of the engine, such as one for another fio or with sanitizers.
FOLDER_VARIABLE = "PYFIO_VIRTIO_LIB"
_PACKAGE = Path(__file__).resolve().parents[1]
# `make` puts the engine into the first folder; an installed package has it in the second.
_FOLDERS = (_PACKAGE.parent / "build" / "lib", _PACKAGE / "lib")


def how_to_build() -> str:
    """What to do if it is missing: an installed package was built without a compiler then."""
    if (_PACKAGE.parent / "Makefile").is_file():
        return "build it: make"
    needed = "a C compiler and Python's headers (Debian: gcc, libc6-dev and python3-dev)"
    return f"install pyfio-virtio again where there are {needed}"


def folder() -> Path:
    """The folder of the engine. It is absolute, because fio may run in another folder."""
    named = os.environ.get(FOLDER_VARIABLE)
    candidates = (Path(named).absolute(),) if named else _FOLDERS
    for candidate in candidates:
        if (candidate / NAME).is_file():
            return candidate
    where = " or ".join(str(each / NAME) for each in candidates)
    raise MachineError("cannot find the engine", f"there is no {where}", how_to_build())


def has_builtin_backend() -> bool:
    """Whether the built-in back-end is in the folder of the engine."""
    try:
        return (folder() / BACKEND_NAME).is_file()
    except MachineError:
        return False


def load(name: str) -> ModuleType:
    """Loads a cffi module from the engine's folder. It has the functions (lib) and types (ffi)."""
    path = folder() / name
    loader = ExtensionFileLoader(name, str(path))
    try:
        module = module_from_spec(ModuleSpec(name, loader, origin=str(path)))
        loader.exec_module(module)
    except (ImportError, OSError) as error:
        raise MachineError(f"cannot load {path}", str(error), _how_to_load(str(error))) from error
    return module


def _how_to_load(said: str) -> str:
    """What to do if the loader says this: a wheel may come from a machine with more libraries."""
    lacking = re.match(r"(\S+): cannot open shared object file", said)
    return f"install the package that has {lacking[1]}" if lacking else how_to_build()


@cache
def library() -> ModuleType:
    """The same shared object that fio loads."""
    return load(NAME)


def _text(pointer: object) -> str:
    return str(library().ffi.string(pointer).decode(errors="replace"))


def version() -> str:
    return _text(library().lib.engine_version())


@cache
def waits() -> tuple[str, ...]:
    """The names of the ways of waiting, in the order of enum wait_kind."""
    names: list[str] = []
    while name := library().lib.wait_name(len(names)):
        names.append(_text(name))
    return tuple(names)


def fio_release() -> str:
    """The only release of fio that can load this engine, such as "fio-3.33"."""
    return _text(library().lib.engine_fio_release())


@dataclass(frozen=True)
class Disk:
    """A disk behind a virtio-scsi controller: struct disk_summary of api.h."""

    target: int
    lun: int
    block_size: int
    physical_exponent: int  # a physical block is block_size << this
    capacity_bytes: int
    is_thin: bool
    vendor: str
    product: str
    serial: str


@dataclass(frozen=True)
class DeviceInfo:
    """What a back-end offers, and what was negotiated: struct device_info of api.h."""

    type: int
    read_only: bool
    can_flush: bool
    can_discard: bool
    can_write_zeroes: bool
    has_config: bool
    writeback: bool
    offered_features: int
    features: int
    offered_protocol: int
    protocol: int
    capacity_bytes: int
    block_size: int
    physical_block_size: int
    optimal_io_size: int
    max_queues: int
    max_mem_slots: int
    size_max: int
    seg_max: int
    max_discard_bytes: int
    max_discard_segments: int
    discard_alignment: int
    max_write_zeroes_bytes: int
    max_write_zeroes_segments: int
    num_queues: int
    queue_size: int
    page_size: int
    hugepages_short: bool
    id: str
    # The disks of a virtio-scsi controller, which are not in the structure. The other fields
    # describe one of them.
    disks: tuple[Disk, ...] = ()


@dataclass(frozen=True)
class Reconnects:
    """How often a back-end hung up and came back: struct device_reconnects of api.h."""

    count: int
    replayed: int  # requests that the next back-end was given
    away_ns: int  # in all, from a hang-up until the rings ran again
    longest_away_ns: int


def describe(socket: str, timeout_s: float, device: str = "auto") -> DeviceInfo:
    """Connects, negotiates, starts one queue, describes the device, and disconnects.

    If a controller has several disks, the first is described and all are listed.
    """
    config = library().ffi.new("struct device_config *")
    path = library().ffi.new("char[]", os.fsencode(socket))  # must live as long as config
    config.socket = path
    config.connect_timeout_ms = max(1, round(timeout_s * 1000))
    config.depth = 16  # so that the queue fits back-ends whose queues are small
    config.type = getattr(library().lib, f"DEVICE_{device.upper()}")
    info, disks = _visit(config)
    if info is None:
        config.scsi_target, config.scsi_lun = disks[0].target, disks[0].lun
        config.scsi_address_set = True
        info, _ = _visit(config)
    if info is None:
        raise PyfioVirtioError(f"{socket}: the list of its disks changed while it was read")
    return replace(info, disks=disks)


def _visit(config: object) -> tuple[DeviceInfo | None, tuple[Disk, ...]]:
    """The device and its disks; no device if there are several disks and none is chosen."""
    ffi, lib = library().ffi, library().lib
    handle = ffi.new("struct device **")
    check(lib.device_open(handle, config))
    try:
        code = lib.device_start(handle[0])
        disks = _disks(handle[0])
        if code == -errno.ENODEV and len(disks) > 1:
            return None, disks
        check(code)
        lib.device_identify(handle[0])
        return device_info(handle[0]), disks
    finally:
        lib.device_close(handle[0])


def device_info(handle: object) -> DeviceInfo:
    """`handle` is a struct device *."""
    info = library().ffi.new("struct device_info *")
    library().lib.device_describe(handle, info)
    return DeviceInfo(**_values(DeviceInfo, info))


def reconnects(handle: object) -> Reconnects:
    """`handle` is a struct device *."""
    counts = library().ffi.new("struct device_reconnects *")
    library().lib.device_count_reconnects(handle, counts)
    return Reconnects(**_values(Reconnects, counts))


def _disks(handle: object) -> tuple[Disk, ...]:
    ffi, lib = library().ffi, library().lib
    room = ffi.new("struct disk_summary[]", lib.DEVICE_MAX_DISKS)
    count = lib.device_list_disks(handle, room, lib.DEVICE_MAX_DISKS)
    return tuple(Disk(**_values(Disk, room[i])) for i in range(min(count, len(room))))


def _values(kind: type[DeviceInfo | Disk | Reconnects], structure: object) -> dict[str, Any]:
    """The value in the structure of each field of `kind`. A char array becomes text."""
    values: dict[str, Any] = {}
    for each in fields(kind):
        if each.default is MISSING:
            value = getattr(structure, each.name)
            values[each.name] = value if isinstance(value, (bool, int)) else _text(value)
    return values


def failure(code: int) -> DiskError:
    """The error of the last call that failed: its sentence has the socket, reason and remedy."""
    return DiskError(-code, _text(library().lib.error_message()) or os.strerror(-code))


def check(code: int) -> int:
    if code < 0:
        raise failure(code)
    return code

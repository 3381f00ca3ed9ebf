# SPDX-License-Identifier: GPL-2.0-or-later
"""The specification of a back-end that is wanted: its kind, its disk and its options.

It says whether such a disk is possible. It changes nothing, but it looks how much memory and room
is free, and whether the disk's file exists.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from pyfio_virtio.backends import filling, option_keys, option_values
from pyfio_virtio.backends.kinds import DEFAULT_KIND, KINDS
from pyfio_virtio.errors import UsageError
from pyfio_virtio.machine import cpu_lists
from pyfio_virtio.sizes import format_size

START_TIMEOUT_S = 10.0
# The slowest rate at which memory is filled: in a guest whose hypervisor has to find it first.
_FILLED_BYTES_PER_S = 128 << 20
_LARGEST = (1 << 63) - 1  # number that back-ends read
SMALLEST_BLOCK = 512  # bytes; the default


@dataclass(frozen=True)
class BackendSpec:
    """The back-end that is wanted. `storage` is null, memory, memory:PATH, or file:PATH."""

    kind: str = DEFAULT_KIND
    storage: str = "memory"
    size_bytes: int = 1 << 30
    queues: int = 1
    block_size: int = SMALLEST_BLOCK  # bytes
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
        block = f", {self.block_size}-byte blocks" if self.block_size != SMALLEST_BLOCK else ""
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
        if self.block_size < SMALLEST_BLOCK or self.block_size & (self.block_size - 1):
            raise UsageError(
                f"unusable block size {self.block_size}",
                f"it must be {SMALLEST_BLOCK} or a higher power of two",
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

# SPDX-License-Identifier: GPL-2.0-or-later
"""The built-in back-end in Python: its settings, start, commands and stop.

This is the only module that imports the back-end's shared object. The back-end runs in threads of
this process; backends/builtin.py is a process around it. Only one thread at a time may use a
BuiltinBackend.
"""

import json
from dataclasses import dataclass, fields
from functools import cache
from types import ModuleType, TracebackType
from typing import Any, Self

from pyfio_virtio.engine import engine
from pyfio_virtio.errors import PyfioVirtioError

NAME = "vhost_backend"
_ANSWER_BYTES = 16384  # as on the control socket


@dataclass(frozen=True)
class Settings:
    """struct backend_config of engine/backend/api.h, which explains each field. "" and 0 mean the
    default."""

    socket_path: str
    control_path: str = ""
    device: str = ""
    storage: str = ""
    serve: str = ""
    profile: str = ""
    latency: str = ""
    fault: str = ""
    explain_path: str = ""
    cpus: str = ""
    aio: str = ""
    size_bytes: int = 0
    block_bytes: int = 0
    queue_count: int = 0
    queue_size_max: int = 0
    thread_count: int = 0
    target_count: int = 0
    lun_count: int = 0
    size_max: int = 0
    seg_max: int = 0
    discard_sectors_max: int = 0
    discard_segments_max: int = 0
    explain_every: int = 0
    clients_max: int = 0
    socket_fd: int = 0
    read_only: bool = False
    direct: bool = False
    populate: bool = False
    populate_huge: bool = False
    own_process: bool = False
    log_fd: int = -1


@cache
def _module() -> ModuleType:
    return engine.load(NAME)


def _last_error() -> str:
    module = _module()
    return str(module.ffi.string(module.lib.backend_error()).decode(errors="replace"))


class BuiltinBackend:
    """A back-end that serves from threads of this process until it is stopped."""

    def __init__(self, settings: Settings) -> None:
        module = _module()
        config = module.ffi.new("struct backend_config *")
        strings = []  # kept referenced, because cffi frees them; the C side makes its own copies
        for field in fields(settings):
            value = getattr(settings, field.name)
            if isinstance(value, str):
                value = module.ffi.new("char[]", value.encode())
                strings.append(value)
            try:
                setattr(config, field.name, value)
            except OverflowError as error:
                raise PyfioVirtioError(
                    "cannot start the built-in back-end", f"{field.name}: {error}"
                ) from error
        self._handle = module.lib.backend_start(config)
        if self._handle == module.ffi.NULL:
            raise PyfioVirtioError("cannot start the built-in back-end", _last_error())
        self.settings = settings

    def command(self, line: str) -> str:
        """Carries out one command line, as on the control socket, and returns the answer."""
        module = _module()
        answer = module.ffi.new("char[]", _ANSWER_BYTES)
        module.lib.backend_command(self._handle, line.encode(), answer, _ANSWER_BYTES)
        text = str(module.ffi.string(answer).decode(errors="replace"))
        if text.startswith("error: "):
            raise PyfioVirtioError(
                f"the built-in back-end refused '{line}'", text.removeprefix("error: ")
            )
        return text

    def statistics(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.command("stats"))
        return loaded

    def stop(self) -> None:
        """Stops the back-end. A second call does nothing."""
        handle, self._handle = self._handle, None
        if handle is not None:
            _module().lib.backend_stop(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

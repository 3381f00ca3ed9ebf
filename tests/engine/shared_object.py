# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine's inside: the module engine_internals, with what engine/internals.cdef declares.

It is compiled from the same files as the engine that users load, and lies beside it.
`lib` and `ffi` are cffi's; `sentence()` is what the last failure in this thread left behind.
"""

from typing import Any, TypeAlias

from pyfio_virtio.engine import engine

# A pointer or a structure that only C knows the type of.
CData: TypeAlias = Any

_module = engine.load("engine_internals")
lib: Any = _module.lib
ffi: Any = _module.ffi


def sentence() -> str:
    return str(ffi.string(lib.error_message()).decode())

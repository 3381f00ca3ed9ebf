# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine's one shared object, with the internals that engine/internals.cdef declares.

The tests of this folder call the same code that fio runs; nothing is compiled apart for them.
`lib` and `ffi` are cffi's; `sentence()` is what the last failure in this thread left behind.
"""

from typing import Any, TypeAlias

from pyfio_virtio.engine import engine

# A pointer or a structure that only C knows the type of.
CData: TypeAlias = Any

_module = engine.library()
lib: Any = _module.lib
ffi: Any = _module.ffi


def sentence() -> str:
    return str(ffi.string(lib.error_message()).decode())

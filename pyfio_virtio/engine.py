# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine as Python sees it: the only module that imports the shared object.

The shared object is loaded when it is first needed, since most commands do without. Any thread
may call; errors of the engine become PyfioVirtioError with the engine's own sentence.
"""

import os
from functools import cache
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType

from pyfio_virtio.errors import MachineError

NAME = "fio_virtio"
# Names a folder with another build of the engine: for another fio, or with sanitizers.
FOLDER_VARIABLE = "PYFIO_VIRTIO_LIB"
_PACKAGE = Path(__file__).resolve().parent
# Where `make` leaves it in a checkout, and where an installed package carries it.
_FOLDERS = (_PACKAGE.parent / "build" / "lib", _PACKAGE / "lib")


def folder() -> Path:
    """The folder of the engine, absolute: fio may run elsewhere."""
    named = os.environ.get(FOLDER_VARIABLE)
    candidates = (Path(named).absolute(),) if named else _FOLDERS
    for candidate in candidates:
        if (candidate / NAME).is_file():
            return candidate
    raise MachineError(
        "cannot find the engine", f"there is no {candidates[0] / NAME}", "build it: make"
    )


@cache
def _module() -> ModuleType:
    """The cffi module: its lib and ffi."""
    path = folder() / NAME
    loader = ExtensionFileLoader(NAME, str(path))
    try:
        module = module_from_spec(ModuleSpec(NAME, loader, origin=str(path)))
        loader.exec_module(module)
    except ImportError as error:
        raise MachineError(
            f"cannot load the engine {path}", str(error), "build it anew: make clean && make"
        ) from error
    return module


def _text(pointer: object) -> str:
    return str(_module().ffi.string(pointer).decode(errors="replace"))


def version() -> str:
    return _text(_module().lib.engine_version())


def fio_release() -> str:
    """The one release of fio that can load this engine: "fio-3.33"."""
    return _text(_module().lib.engine_fio_release())

# SPDX-License-Identifier: GPL-2.0-or-later
"""How a program is linked, as its ELF header says. This tells why a fio can load no engine of ours.

It reads the file and runs nothing.
"""

import struct
from pathlib import Path

_MAGIC = b"\x7fELF"
_32_BIT = 1
_64_BIT = 2
_INTERPRETER = 3  # PT_INTERP: the path of the dynamic loader
# Program headers begin within the first page of every program that is in use.
_HEAD_BYTES = 64 << 10


def obstacle(program: str) -> str:
    """Why this program cannot load our engine, whatever it is built for; empty if it may."""
    try:
        with Path(program).open("rb") as file:
            head = file.read(_HEAD_BYTES)
        return _obstacle(head)
    except (OSError, struct.error, IndexError):
        return ""


def _obstacle(head: bytes) -> str:
    if head[:4] != _MAGIC:
        return ""  # a script, which may start anything
    if head[4] == _32_BIT:
        return "it is a 32-bit program, and the engine is for 64 bits"
    if head[4] != _64_BIT:
        return ""
    loader = _loader(head)
    if loader is None:
        return "it is linked statically, so it can load no engines"
    if b"ld-musl" in loader:
        return "it is linked with musl, and the engine with the GNU C library"
    return ""


def _loader(head: bytes) -> bytes | None:
    """The path of the loader that a 64-bit program asks for."""
    order = "<" if head[5] == 1 else ">"
    [begin] = struct.unpack_from(order + "Q", head, 32)
    size, count = struct.unpack_from(order + "HH", head, 54)
    for number in range(count):
        at = begin + number * size
        [kind] = struct.unpack_from(order + "I", head, at)
        if kind == _INTERPRETER:
            [offset] = struct.unpack_from(order + "Q", head, at + 8)
            [length] = struct.unpack_from(order + "Q", head, at + 32)
            return head[offset : offset + length]
    return None

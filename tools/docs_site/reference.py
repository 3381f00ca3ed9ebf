# SPDX-License-Identifier: GPL-2.0-or-later
"""The pages of the reference that are made of the sources, in reStructuredText, by path.

The command is described by click's objects (sphinx-click), the Python library by its docstrings
(autodoc), the C library by the comments of its header, which manual_library.py reads too, and the
columns of results by the comments of the fields of a record.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import manual_library

from docs_site.pages import SiteError
from pyfio_virtio import efficiency
from pyfio_virtio.cli import main
from pyfio_virtio.cli.help import first_sentence
from pyfio_virtio.cli.main import PROGRAM, cli
from pyfio_virtio.fio import directions
from pyfio_virtio.machine import cpu_use
from pyfio_virtio.results import record

FOLDER = "reference"
OPAQUE = re.compile(r"^struct (pyfio_\w+);$", re.MULTILINE)


def pages() -> Mapping[str, str]:
    commands = {f"{FOLDER}/commands/{name}.rst": _command(name) for name in cli.commands}
    return {
        f"{FOLDER}/commands.rst": _commands(),
        **commands,
        f"{FOLDER}/python.rst": PYTHON,
        f"{FOLDER}/c.rst": "\n".join(_c_library(manual_library.HEADER.read_text())),
        f"{FOLDER}/columns.rst": "\n".join(_columns()),
    }


# The rows that the map of the pages gets, with links from the top. The commands are below theirs.
ROWS = """\
| [Commands](reference/commands.rst) | Which options and arguments has each command? |
| [Python library](reference/python.rst) | Which functions and classes has the Python library? |
| [C library](reference/c.rst) | Which functions and structures has the C library? |
| [Columns of results](reference/columns.rst) | What do the columns of stored results mean? |
"""


def _title(text: str, line: str = "=") -> str:
    return f"{text}\n{line * len(text)}\n"


# ---- the command ---------------------------------------------------------------------------------


def _commands() -> str:
    rows = "".join(
        f"   * - :doc:`{name} <commands/{name}>`\n     - {_escaped(first_sentence(command))}\n"
        for name, command in sorted(cli.commands.items())
    )
    names = "".join(f"   {name} <commands/{name}>\n" for name in sorted(cli.commands))
    return (
        f"{_title('Commands')}\n"
        f".. list-table::\n   :widths: 20 80\n\n{rows}\n.. toctree::\n   :hidden:\n\n{names}"
    )


def _command(name: str) -> str:
    """sphinx-click wants a name by which it can import the object. Importing main also gives each
    command the end of its help.
    """
    attribute = next(key for key, value in vars(main).items() if value is cli.commands[name])
    place = f"{main.__name__}:{attribute}"
    return f".. click:: {place}\n   :prog: {PROGRAM} {name}\n   :nested: full\n"


# ---- the Python library --------------------------------------------------------------------------

PYTHON = f"""{_title("Python library")}
:doc:`/docs/library` shows how these are used.

.. currentmodule:: pyfio_virtio

.. autofunction:: pyfio_virtio.open

.. autoclass:: pyfio_virtio.Disk()
   :members:

{_title("Operations", "-")}
.. autoclass:: pyfio_virtio.disk.operations.Operations()
   :members: submit, completed, cancel, fd, close

.. autoclass:: pyfio_virtio.Read
.. autoclass:: pyfio_virtio.Write
.. autoclass:: pyfio_virtio.Flush
.. autoclass:: pyfio_virtio.Discard
.. autoclass:: pyfio_virtio.WriteZeroes

.. autoclass:: pyfio_virtio.disk.operation.Operation()
   :members: offset, is_in_flight, count, check

{_title("asyncio", "-")}
.. autofunction:: pyfio_virtio.aio.open

.. autoclass:: pyfio_virtio.aio.AsyncDisk()
   :members:

{_title("What is told of a device", "-")}
.. autoclass:: pyfio_virtio.engine.engine.DeviceInfo()
   :members:

.. autoclass:: pyfio_virtio.engine.engine.Reconnects()
   :members:

{_title("Errors", "-")}
.. autoexception:: pyfio_virtio.PyfioVirtioError()
.. autoexception:: pyfio_virtio.DiskError()
.. autoexception:: pyfio_virtio.ArgumentError()
"""


# ---- the C library -------------------------------------------------------------------------------


def _escaped(text: str) -> str:
    """Text for reStructuredText, in which the names of functions are links."""
    text = re.sub(r"([\\*_|])", r"\\\1", text)
    return re.sub(r"\b(pyfio(?:\\_\w+?)+)\(\)", _link, text)


def _link(match: re.Match[str]) -> str:
    return f":c:func:`{match[1].replace(chr(92), '')}`"


def _indented(text: str, by: str = "   ") -> str:
    return "\n".join(f"{by}{line}".rstrip() for line in text.splitlines())


def _code(text: str, by: str = "") -> str:
    return f"{by}.. code-block:: c\n\n{_indented(text.expandtabs(8), by + '   ')}\n"


def _c_library(header: str) -> Iterator[str]:
    yield _title("C library")
    yield ":doc:`/docs/library` shows how these are used, and how a program is linked.\n"
    for text, is_code in manual_library.introduction(header):
        yield _code(text) if is_code else f"{_escaped(text)}\n"
    found = {page.name: page for page in manual_library.pages(header)}
    pieces = manual_library.SECTION.split(header)[1:]
    for title, text in zip(pieces[::2], pieces[1::2], strict=True):
        yield _title(title[0].upper() + title[1:], "-")
        for note in manual_library.FOR_ALL.finditer(text):
            yield from (f"{_escaped(each)}\n" for each in manual_library.plain(note[1]))
        yield from (f".. c:struct:: {name}\n" for name in OPAQUE.findall(text))
        yield from map(_type, manual_library.TYPE.finditer(text))
        for name in manual_library.NAME.findall(re.sub(manual_library.COMMENT, "", text)):
            if name in found:
                yield _function(found[name])


def _type(match: re.Match[str]) -> str:
    body = match[0][match.end(1) + len("*/\n") - match.start() :] if match[1] else match[0]
    described = "".join(f"   {_escaped(each)}\n\n" for each in manual_library.plain(match[1] or ""))
    kind = body.split()[0]
    return f".. c:{kind}:: {match[2]}\n\n{described}{_code(body, '   ')}"


def _function(page: manual_library.Page) -> str:
    paragraphs = [
        *page.description,
        *(f"{each}" for each in page.returns),
        *page.threads,
        f"Since release {page.since}.",
    ]
    text = "\n\n".join(f"   {_escaped(each)}" for each in paragraphs)
    return f".. c:function:: {page.prototype.rstrip(';')}\n\n{text}\n"


# ---- the columns of results ----------------------------------------------------------------------


def _columns() -> Iterator[str]:
    yield _title("Columns of results")
    yield (
        f"A folder of results has a file ``runs.jsonl`` with one line for each run. These are the "
        f"columns of version {record.SCHEMA} (``schema``). The options of the job, the counters of "
        f"the engine and the facts of the host (``host_*``) are columns too.\n"
    )
    for title, prefix, module, kind in (
        ("The run", "", record, "Record"),
        ("The point, which its repeats share", "", record, "Point"),
        ("Results; those of one direction begin with its name", "", directions, "Summary"),
        ("CPU time of fio", "fio_", cpu_use, "CpuUse"),
        ("CPU time of the back-end", "backend_", cpu_use, "CpuUse"),
        ("The record of one of several hosts", "on_", record, "OnHost"),
        ("The record of several hosts together", "across_", record, "Across"),
    ):
        yield _title(title, "-")
        yield from _table(Path(str(module.__file__)).read_text(), kind, prefix)
    yield _title("IOPS per core", "-")
    yield (
        f"``{efficiency.BOTH}`` is of both sides together, and ``{efficiency.FIO}`` and "
        f"``{efficiency.BACKEND}`` are of one side.\n"
    )


def _table(source: str, kind: str, prefix: str) -> Iterator[str]:
    """The columns that the fields of a class become."""
    yield ".. list-table::\n   :header-rows: 1\n   :widths: 25 20 55\n"
    yield "   * - column\n     - type\n     - meaning"
    for name, type_, meaning in _fields(source, kind):
        if type_ in SCALARS:
            if not meaning:
                raise SiteError(f"the field {name} of {kind} has no comment with its meaning")
            yield f"   * - ``{prefix}{name}``\n     - {type_}\n     - {_escaped(meaning)}"
    yield ""


SCALARS = {f"{kind}{maybe}" for kind in ("int", "float", "str") for maybe in ("", " | None")}


def _fields(source: str, name: str) -> Iterator[tuple[str, str, str]]:
    """Name, type and meaning of each field. The meaning is the comment behind it."""
    lines = source.splitlines()
    classes = [each for each in ast.parse(source).body if isinstance(each, ast.ClassDef)]
    body = next(each.body for each in classes if each.name == name)
    for field in body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            _, _, comment = lines[field.lineno - 1].partition("  # ")
            yield field.target.id, ast.unparse(field.annotation), comment

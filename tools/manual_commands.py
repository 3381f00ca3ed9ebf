# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the manual pages of section 1: pyfio-virtio, and one for each of its commands.

Everything comes from the help texts of the commands, so a page says what --help says. click-man
does the same, but it knows neither paragraphs that keep their lines nor the end of a help text,
and mandoc complains about its pages.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import project
import roff

sys.path.insert(0, str(project.ROOT))

from pyfio_virtio.cli.endings import ENDINGS, walk
from pyfio_virtio.cli.help import first_sentence
from pyfio_virtio.cli.main import PROGRAM, cli

KEEPS_LINES = "\b\n"
OTHERS = ("fio(1)", "fio_virtio(7)")
ENVIRONMENT = (
    (
        "PYFIO_VIRTIO_LIB",
        "The folder of the engine and of the built-in back-end, instead of the installed ones.",
    ),
    ("XDG_RUNTIME_DIR", "Where the folder with sockets and records of back-ends lies."),
    (
        "XDG_CACHE_HOME",
        "Where built engines and a list of fonts for pictures lie, instead of below ~/.cache.",
    ),
    ("FIO_SOURCE_DIR", "The sources of the fio at hand, for an engine that has to be built."),
)


def name_of(path: str) -> str:
    """The name of a command's page."""
    return "-".join((PROGRAM, *path.split()))


def context_of(path: str) -> click.Context:
    context = click.Context(cli, info_name=PROGRAM, **cli.context_settings)
    for word in path.split():
        command = context.command.commands[word]  # type: ignore[attr-defined]
        context = click.Context(command, info_name=word, parent=context)
    return context


def paragraphs(text: str) -> Iterator[str]:
    """The help of a command. Lines behind \\b stay as they are."""
    for paragraph in re.split(r"\n{2,}", inspect.cleandoc(text)):
        if paragraph.startswith(KEEPS_LINES):
            yield roff.verbatim(paragraph.removeprefix(KEEPS_LINES))
        else:
            yield roff.filled(" ".join(paragraph.split()))


def synopsis(context: click.Context) -> str:
    pieces = " ".join(context.command.collect_usage_pieces(context))
    return f".B {roff.escaped(context.command_path)}\n{roff.escaped(pieces)}"


def term(words: str) -> str:
    """An option: its flags are bold, and what stands for a value is in italics."""
    found = []
    for word in re.split(r"( / |, | )", words):
        style = "B" if word.startswith("-") else "I" if word.strip(" ,/") else ""
        found.append(rf"\f{style}{roff.escaped(word)}\fP" if style else word)
    return "".join(found)


def options(context: click.Context) -> str:
    found = context.command.get_params(context)
    records = [each.get_help_record(context) for each in found if isinstance(each, click.Option)]
    return roff.tagged([(term(words), roff.filled(text)) for words, text in filter(None, records)])


def commands(path: str, command: click.Command) -> str:
    below = getattr(command, "commands", {})
    pairs = []
    for name, each in sorted(below.items()):
        page = name_of(f"{path} {name}")
        pairs.append((f".BR {roff.escaped(page)} (1)", roff.filled(first_sentence(each))))
    return roff.tagged(pairs)


def see_also(path: str, command: click.Command) -> str:
    """The page above, those below or beside, and those of what the command uses."""
    above = path.rpartition(" ")[0]
    near = dict(walk(cli))[above].commands if " " in path else {}  # type: ignore[attr-defined]
    beside = [f"{above} {name}" for name in near]
    below = [f"{path} {name}".lstrip() for name in getattr(command, "commands", {})]
    pages = [each for each in (*sorted(beside), *sorted(below)) if each != path]
    over = [above] if path else []
    return roff.references([*(f"{name_of(each)}(1)" for each in (*over, *pages)), *OTHERS])


def sections(path: str, command: click.Command) -> dict[str, str]:
    context, ending = context_of(path), ENDINGS[path]
    summary = first_sentence(command).rstrip(".")
    statuses = [(f"\\fB{number}\\fP", roff.filled(text)) for number, text in ending.statuses()]
    variables = [(f".B {name}", roff.filled(text)) for name, text in ENVIRONMENT]
    return {
        "NAME": f"{roff.escaped(name_of(path))} \\- {roff.escaped(summary)}",
        "SYNOPSIS": synopsis(context),
        "DESCRIPTION": "\n.PP\n".join(paragraphs(command.help or "")),
        "COMMANDS": commands(path, command),
        "OPTIONS": options(context),
        "EXIT STATUS": roff.tagged(statuses),
        "ENVIRONMENT": "" if path else roff.tagged(variables),
        "EXAMPLES": roff.example("\n".join(ending.examples)),
        "SEE ALSO": see_also(path, command),
    }


def write(folder: Path) -> None:
    for path, command in walk(cli):
        roff.write(folder, name_of(path), 1, sections(path, command))

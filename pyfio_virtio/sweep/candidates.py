# SPDX-License-Identifier: GPL-2.0-or-later
"""What a sweep compares beside options: back-ends, builds of the engine, and programs fio.

Owns how users write them, [NAME=]WHAT, and the names by which results are told apart. A single one
without a name has the name "", because nothing has to be told apart. It starts nothing, and looks
at files only to tell sockets from misspelt words. Any thread may call.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from pyfio_virtio.backends import option_keys
from pyfio_virtio.backends.kinds import VHOST_USER_KINDS
from pyfio_virtio.errors import UsageError, did_you_mean

BUILTIN = "builtin"
# A path is told from a name by its slash.
_NAMED = re.compile(r"([A-Za-z0-9][\w.+-]*)=(.+)", re.DOTALL)


@dataclass(frozen=True)
class Candidate:
    """A back-end to measure: a kind that we start, or a socket that somebody else serves."""

    name: str
    kind: str = ""  # "": there is a socket
    socket: str = ""
    options: tuple[str, ...] = ()  # KEY=VALUE


def backends(texts: Sequence[str], options: Sequence[str]) -> tuple[Candidate, ...]:
    """The back-ends that --backend and --backend-option name, each with a name of its own.

    `options` apply to every back-end that has them and does not set them itself. An option with
    several values makes several back-ends of one.
    """
    found = [_backend(text) for text in texts]
    for one in found:
        _refuse_alternatives(one)
    if len(found) > 1:
        names = [one.name or name for one, name in zip(found, _default_names(found), strict=True)]
        _refuse_twins(names, "--backend")
        found = [replace(each, name=name) for each, name in zip(found, names, strict=True)]
    _refuse_unknown(found, options)
    values = _alternatives(options)
    return tuple(each for one in found for each in _with_options(one, values))


def one_backend(text: str) -> Candidate:
    """The back-end that --backend names where there is only one."""
    return _backend(text)


def located(text: str) -> str:
    """What --backend names, with an absolute path of a socket."""
    return located_path(text) if _backend(text).socket else text


def located_path(text: str) -> str:
    """[NAME=]PATH with an absolute path."""
    name, what = _split(text)
    path = Path(what).absolute()
    return f"{name}={path}" if name else str(path)


def located_program(text: str) -> str:
    """[NAME=]PROGRAM with an absolute path, unless it is the name of a program in PATH."""
    return located_path(text) if "/" in _split(text)[1] else text


def _refuse_alternatives(one: Candidate) -> None:
    """Refuses aio=threads,io_uring after a kind, where a comma begins the next option."""
    last = ""
    for option in one.options:
        if "=" in option:
            last = option
        elif last and option not in option_keys.KEYS[one.kind]:
            key = option_keys.key_of(last)
            raise UsageError(
                f"--backend {one.kind} takes one value of {key}",
                f"{option} is another one",
                f"write --backend-option {last},{option} to measure both",
            )


def _with_options(one: Candidate, values: Mapping[str, Sequence[str]]) -> Iterator[Candidate]:
    own = [option_keys.key_of(option) for option in one.options]
    known = option_keys.KEYS.get(one.kind, ())
    added = [v for key, v in values.items() if key.partition("#")[0] in known and key not in own]
    varied = [len(each) > 1 for each in added]
    for chosen in product(*added):
        words = [option for option, varies in zip(chosen, varied, strict=True) if varies]
        name = " ".join(filter(None, [one.name, *words]))
        yield replace(one, name=name, options=(*chosen, *one.options))


def _refuse_unknown(found: Sequence[Candidate], options: Sequence[str]) -> None:
    """Refuses options that no back-end of the sweep has."""
    kinds = [each.kind for each in found if each.kind]
    if options and not kinds:
        raise UsageError(
            f"cannot pass {options[0]} to the back-end",
            "the sweep does not start it",
            "leave out --backend-option, and start the back-end with this option",
        )
    for option in options:
        if not any(option_keys.key_of(option) in option_keys.KEYS[kind] for kind in kinds):
            option_keys.check_keys(kinds[0], [option])


def _backend(text: str) -> Candidate:
    name, what = _split(text)
    kind, comma, options = what.partition(",")
    parts = what.split(",")
    if (
        len(parts) > 1
        and all("/" in p or p in VHOST_USER_KINDS for p in parts)
        and not _is_socket(what)
    ):
        flags = " ".join(f"--backend {part}" for part in parts)
        raise UsageError(f"{what} is no back-end", "", f"for several back-ends write {flags}")
    if comma and not _is_socket(what) and (_is_socket(kind) or _is_path_with_options(parts)):
        raise UsageError(
            f"cannot pass {options} to {kind}",
            "a socket takes no options",
            "start the back-end with them",
        )
    if kind in VHOST_USER_KINDS:
        return Candidate(name, kind, options=option_keys.split(kind, options) if comma else ())
    if "/" in what or _is_socket(what):
        return Candidate(name, socket=what)
    advice = did_you_mean(kind, VHOST_USER_KINDS)
    raise UsageError(
        f"unknown back-end {what!r}",
        "",
        f"{advice}use {', '.join(VHOST_USER_KINDS)} or the path of a socket, such as ./{kind}",
    )


def _is_path_with_options(parts: Sequence[str]) -> bool:
    known = {key for keys in option_keys.KEYS.values() for key in keys}
    return "/" in parts[0] and all(
        "=" in each and option_keys.key_of(each) in known for each in parts[1:]
    )


def _is_socket(path: str) -> bool:
    """Whether there is a socket at this path, which may have a comma."""
    return Path(path).is_socket()


def _default_names(found: Sequence[Candidate]) -> list[str]:
    """A socket is called by its file if that is unique, and others by what was written."""
    stems = Counter(Path(each.socket).stem for each in found if each.socket)
    return [
        (Path(each.socket).stem if stems[Path(each.socket).stem] == 1 else each.socket)
        if each.socket
        else ",".join((each.kind, *each.options))
        for each in found
    ]


def paths(texts: Sequence[str], flag: str) -> Mapping[str, str]:
    """The paths or programs that a flag names, by their names."""
    pairs = [_split(text) for text in texts]
    if len(pairs) == 1:
        return dict(pairs)
    names = [name or what for name, what in pairs]
    _refuse_twins(names, flag)
    return dict(zip(names, (what for _, what in pairs), strict=True))


def _split(text: str) -> tuple[str, str]:
    """The name, or "", and what it names."""
    named = _NAMED.fullmatch(text)
    return (named[1], named[2]) if named else ("", text)


def _refuse_twins(names: Sequence[str], flag: str) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise UsageError(
                f"{flag} has {name} {count} times",
                "the results could not be told apart",
                f"name them: {flag} a=... {flag} b=...",
            )


def _alternatives(options: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The values of each option, as KEY=VALUE.

    aio=threads,io_uring are two values, and so are two options with the same key. Several faults
    are not: all of them are there at the same time, so each gets a key of its own here.
    """
    found: dict[str, tuple[str, ...]] = {}
    for number, option in enumerate(options):
        key, equals, text = option.partition("=")
        if key in option_keys.REPEATED:
            found[f"{key}#{number}"] = (option,)
            continue
        values = [text] if key in option_keys.WITH_COMMAS else text.split(",")
        new = tuple(f"{key}{equals}{value}" for value in values)
        found[key] = tuple(dict.fromkeys((*found.get(key, ()), *new)))
    return found

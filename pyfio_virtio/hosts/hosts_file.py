# SPDX-License-Identifier: GPL-2.0-or-later
"""The file hosts.toml: on which hosts a job runs, how they are reached, and what differs on them.

Owns its keys and their checks. A key outside of [[host]] is the default of all hosts. Pure except
read(), which reads one file. It looks up no name and connects to nothing. Any thread may call it.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pyfio_virtio import files
from pyfio_virtio.backends import option_keys
from pyfio_virtio.backends.kinds import VHOST_USER_KINDS
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.errors import UsageError, did_you_mean
from pyfio_virtio.fio.job import Job
from pyfio_virtio.hosts import addresses
from pyfio_virtio.hosts.addresses import Address
from pyfio_virtio.results.record import HOST_NAME
from pyfio_virtio.sizes import parse_size

SCRATCH = "file"  # storage: a file that the host makes for the session
_MOST_HOSTS = 1024
_PLACE = re.compile(r"[0-9,-]*:[0-9,-]*")
# ssh takes a word that begins with a dash for an option.
_SSH_TARGET = re.compile(r"[A-Za-z0-9_][^\s\x00-\x1f]*")


@dataclass(frozen=True)
class Host:
    """One host. What is None is as the command line says."""

    name: str
    address: Address
    ssh: str | None = None  # connect through this ssh target
    backend: str | None = None  # builtin or qsd, with options after commas
    socket: str | None = None  # of a back-end that runs there
    cpus: str | None = None  # FIO:BACKEND
    disk_size: int | None = None  # bytes
    block_size: int | None = None  # bytes
    storage: str | None = None

    def __str__(self) -> str:
        way = f" through ssh {self.ssh}" if self.ssh else ""
        return f"host {self.name} ({self.address}{way})"

    @property
    def fio_cpus(self) -> str | None:
        """The CPUs of fio's jobs there; None: any."""
        return (self.cpus or ":").partition(":")[0] or None

    def placed(self, job: Job) -> Job:
        """The job on the CPUs that the file names for fio on this host."""
        return job.with_options({"cpus_allowed": self.fio_cpus}) if self.fio_cpus else job

    def disk(self, usual: BackendSpec) -> BackendSpec | str:
        """The back-end that is started on the host, or the socket of one that runs there. `usual`
        is what a host without settings of its own has.
        """
        if self.socket:
            return self.socket
        spec = usual
        if self.backend:
            kind, comma, options = self.backend.partition(",")
            chosen = option_keys.split(kind, options) if comma else ()
            spec = replace(spec, kind=kind, options=chosen)
        given = {"size_bytes": self.disk_size, "block_size": self.block_size}
        wanted: dict[str, Any] = {name: each for name, each in given.items() if each is not None}
        cpus = (self.cpus or "").partition(":")[2] or spec.cpus
        spec = replace(spec, **wanted, cpus=cpus, storage=self.storage or spec.storage)
        # This machine need not have the host's CPUs, and the host makes the scratch file.
        storage = f"{SCRATCH}:PATH" if spec.storage == SCRATCH else spec.storage
        replace(spec, cpus=None, storage=storage).check()
        return spec


def read(path: Path) -> tuple[Host, ...]:
    """Reads the file. Every mistake is refused in one sentence."""
    try:
        text = files.read(path, files.TEXT_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"cannot read {path}", error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not a TOML file", str(error)) from error
    return parse(text, str(path))


def parse(text: str, source: str = "hosts.toml") -> tuple[Host, ...]:
    """The hosts of a file's text."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{source} is not a TOML file", str(error)) from error
    except (RecursionError, ValueError) as error:  # of Python, which reads most TOML
        why = "its brackets are nested too deeply, or a number has thousands of digits"
        raise UsageError(f"cannot read {source}", why) from error
    entries = table.pop("host", [])
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise UsageError(f"{source}: host is not a list of tables", "", "begin each with [[host]]")
    if not entries:
        raise UsageError(f"{source} has no hosts", "", "begin each host with the line [[host]]")
    if len(entries) > _MOST_HOSTS:
        raise UsageError(f"{source} has {len(entries)} hosts", f"at most {_MOST_HOSTS} are allowed")
    shared = _values(table, _SHARED, source)
    hosts = [_host(shared, each, f"{source}: host {n}") for n, each in enumerate(entries, 1)]
    _refuse_twins(hosts, source)
    return tuple(hosts)


def _host(shared: Mapping[str, Any], entry: Mapping[str, Any], place: str) -> Host:
    if isinstance(name := entry.get("name"), str) and HOST_NAME.fullmatch(name):
        place = f"{place} ({name})"
    own = _values(entry, _KEYS, place)
    if "address" not in own:
        raise UsageError(f"{place} has no address", "", 'write it as address = "10.0.0.1:8765"')
    address: Address = own["address"]
    own.setdefault("name", _name_of(address, place))
    # What a host says replaces the default for the same thing.
    if {"backend", "socket"} <= own.keys():
        raise UsageError(f"{place} has a backend and a socket", "", "leave one of them out")
    usual = dict(shared)
    if "backend" in own or "socket" in own:
        for key in ("backend", "socket"):
            usual.pop(key, None)
    return Host(**{**usual, **own})


def _name_of(address: Address, place: str) -> str:
    name = address.host or Path(address.path).stem
    if not HOST_NAME.fullmatch(name):
        raise UsageError(
            f"{place} needs a name", f"{name!r} cannot be one", 'write for example name = "a"'
        )
    return name


def _refuse_twins(hosts: Sequence[Host], source: str) -> None:
    for name, count in Counter(each.name for each in hosts).items():
        if count > 1:
            raise UsageError(
                f"{source} has {count} hosts with the name {name}",
                "their results could not be told apart",
                "give each host a name of its own",
            )


# ---- values -------------------------------------------------------------------------------------


def _values(
    table: Mapping[str, Any], known: Mapping[str, Callable[[Any], Any]], place: str
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            near = did_you_mean(key, known)
            where = f"{place}: " if known is _KEYS else f"{place}: outside of [[host]], "
            names = ", ".join(sorted(known))
            raise UsageError(f"{where}unknown key {key}", "", f"{near}the keys are {names}")
        try:
            found[key.replace("-", "_")] = known[key](value)
        except UsageError as error:
            why = f"{error.what}: {error.why}" if error.why else error.what
            raise UsageError(f"{place}: {key} = {value!r:.80}", why, error.next_step) from None
    return found


def _text(value: object) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise UsageError("it is not a text", "", "write it between quotes")
    return value


def _name(value: object) -> str:
    name = _text(value)
    if not HOST_NAME.fullmatch(name):
        raise UsageError(
            "it is not a name", "", "use up to 63 letters, digits, dots, underscores and dashes"
        )
    return name


def _address(value: object) -> Address:
    text = _text(value)
    if text.startswith("unix:") and not text.startswith("unix:/"):
        raise UsageError("the path of a socket begins with /", "", "write unix:/PATH")
    return addresses.parse(text)


def _ssh(value: object) -> str:
    target = _text(value)
    if not _SSH_TARGET.fullmatch(target):
        raise UsageError("it is not a target for ssh", "", "write it as USER@HOST or HOST")
    return target


def _backend(value: object) -> str:
    text = _text(value)
    kind, comma, options = text.partition(",")
    if kind not in VHOST_USER_KINDS:
        raise UsageError(
            "it is not a back-end",
            "",
            f"{did_you_mean(kind, VHOST_USER_KINDS)}use {' or '.join(VHOST_USER_KINDS)}, "
            'with options after a comma, or socket = "/PATH"',
        )
    if comma:
        option_keys.check_keys(kind, option_keys.split(kind, options))
    return text


def _socket(value: object) -> str:
    path = _text(value)
    if not path.startswith("/"):
        raise UsageError("the path of a socket begins with /")
    return path


def _cpus(value: object) -> str:
    text = _text(value)
    if not _PLACE.fullmatch(text) or text == ":":
        raise UsageError("it is no place for fio and the back-end", "", "write FIO:BACKEND as 0:1")
    return text


def _size(value: object) -> int:
    return parse_size(_text(value))


_SHARED: Mapping[str, Callable[[Any], Any]] = {
    "backend": _backend,
    "socket": _socket,
    "cpus": _cpus,
    "disk-size": _size,
    "block-size": _size,
    "storage": _text,
}
_KEYS = {**_SHARED, "name": _name, "address": _address, "ssh": _ssh}

# SPDX-License-Identifier: GPL-2.0-or-later
"""Which back-end the user means: by its name, by the socket that it serves, or the only one.

It reads the records and changes nothing. Called from the main thread.
"""

from collections.abc import Sequence

from pyfio_virtio.backends import control, option_keys, records
from pyfio_virtio.backends.kinds import KINDS
from pyfio_virtio.backends.records import Record
from pyfio_virtio.backends.unix_sockets import socket_file
from pyfio_virtio.errors import PyfioVirtioError, UsageError
from pyfio_virtio.machine.folders import absolute

_START = "start one: pyfio-virtio backend start"


def is_name(word: str) -> bool:
    """Whether a word names a back-end, and is not a value for the only one."""
    return (
        word.startswith(("/", "./", "../"))
        or word in records.names()
        or socket_file(word) is not None
    )


def choose(word: str | None, *, may_have_ended: bool = False) -> Record:
    """The back-end with that name or socket. None means the only one that runs, or with
    `may_have_ended` the only one, if none runs."""
    if word is None:
        return _only(may_have_ended)
    if word in records.names():
        record = records.load(word)
        if record is not None:
            return record
    served = _served(word)
    if not served:
        records.check_known(word)
        raise UsageError(f"no back-end is named {word} yet", "another command is starting it")
    return served[0]


def _served(word: str) -> list[Record]:
    path = absolute(word)
    found, _ = records.load_all()
    # A socket may have been served by another back-end before.
    found.sort(key=lambda each: not each.backend.is_running())
    return [each for each in found if each.backend.socket == path]


def _only(may_have_ended: bool) -> Record:
    found, _ = records.load_all()
    running = [each for each in found if each.backend.is_running()]
    meant = found if may_have_ended and not running else running
    if len(meant) == 1:
        return meant[0]
    if not meant:
        ended = f"these have ended: {_names(found)}" if found else ""
        raise UsageError("no back-end runs", ended, _START)
    raise UsageError(f"there are {len(meant)} back-ends", f"{_names(meant)}", "name one of them")


def _names(found: Sequence[Record]) -> str:
    return ", ".join(each.name for each in found)


def ask(record: Record, lines: Sequence[str]) -> list[str]:
    """Gives commands to a back-end that runs and has a control socket; returns its answers."""
    backend, name = record.backend, record.name
    if backend.spec.kind != "builtin":
        raise UsageError(
            f"{name} is {KINDS[backend.spec.kind].program}",
            "only the built-in back-end has stats, faults, a latency and a new size",
            f"{_START} builtin",
        )
    if not backend.is_running():
        raise PyfioVirtioError(
            f"{name} does not run",
            record.state(),
            f"see: pyfio-virtio backend logs {name}",
        )
    path = option_keys.value_of("control", backend.spec.options)
    if not path:
        raise UsageError(
            f"{name} was started without a control socket",
            "",
            f"stop it and start it again: pyfio-virtio backend stop {name}",
        )
    return control.ask(path, backend.process.pid, name, lines)

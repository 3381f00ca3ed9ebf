# SPDX-License-Identifier: GPL-2.0-or-later
"""Records of the back-ends that `backend start` left running, so that list and stop find them.

One JSON file a back-end in this user's folder, beside its socket and its log. Called from the
main thread. A record never outlives stop(), and never leads to a process that is not ours: the
start time is compared with the number.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pyfio_virtio.backends import KINDS, Backend, BackendSpec
from pyfio_virtio.errors import UsageError
from pyfio_virtio.folders import absolute, make_state_folder, state_folder
from pyfio_virtio.process import Process


@dataclass(frozen=True)
class Record:
    name: str
    backend: Backend

    def as_dict(self) -> dict[str, Any]:
        """What `backend list --json` shows and the file holds."""
        backend = self.backend
        return {
            "name": self.name,
            "running": backend.is_running(),
            "pid": backend.process.pid,
            "start_ticks": backend.process.start_ticks,
            "socket": backend.socket,
            "log": backend.log,
            "command": list(backend.command),
            "spec": asdict(backend.spec),
        }


def _path(name: str) -> Path:
    return state_folder() / f"{name}.json"


def free_name(kind: str) -> str:
    """The first of qsd-0, qsd-1 ... that no record bears."""
    number = 0
    while _path(f"{kind}-{number}").exists():
        number += 1
    return f"{kind}-{number}"


def check_name(name: str) -> None:
    if not name.replace("-", "").replace("_", "").isalnum():
        raise UsageError(f"cannot name a back-end {name!r}", "use letters, digits, - and _")
    if _path(name).exists():
        raise UsageError(
            f"a back-end is named {name} already", "", f"pyfio-virtio backend stop {name}"
        )


def save(record: Record) -> None:
    """Writes the whole record or none."""
    folder = make_state_folder()
    draft = folder / f".{record.name}.{os.getpid()}"
    draft.write_text(json.dumps(record.as_dict(), indent=1) + "\n")
    draft.rename(_path(record.name))


def load_all() -> list[Record]:
    """Every record of this user, by name; files that are none are passed over."""
    folder = state_folder()
    found = (_load(path) for path in sorted(folder.glob("*.json")))
    return [record for record in found if record is not None]


def _load(path: Path) -> Record | None:
    try:
        data = json.loads(path.read_text())
        backend = Backend(
            spec=BackendSpec(**(data["spec"] | {"options": tuple(data["spec"]["options"])})),
            socket=data["socket"],
            log=data["log"],
            command=tuple(data["command"]),
            process=Process(data["pid"], data["start_ticks"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Record(path.stem, backend) if backend.spec.kind in KINDS else None


def find(name: str) -> Record:
    for record in load_all():
        if record.name == name:
            return record
    known = ", ".join(record.name for record in load_all()) or "none"
    raise UsageError(f"no back-end is named {name}", f"there are: {known}")


def stop(record: Record) -> None:
    """Ends the back-end and forgets it; a disk in a file stays."""
    record.backend.stop()
    Path(record.backend.log).unlink(missing_ok=True)
    _path(record.name).unlink(missing_ok=True)


def is_scratch_disk(socket: str) -> bool:
    """Whether `socket` is a back-end that we started and that holds nothing of the user's."""
    return any(
        record.backend.spec.file is None
        and record.backend.is_running()
        and absolute(socket) == record.backend.socket
        for record in load_all()
    )

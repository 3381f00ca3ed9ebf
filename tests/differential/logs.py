# SPDX-License-Identifier: GPL-2.0-or-later
"""The logs that jobs replay: each is written by another run of fio, on no disk.

A log is in fio's own form, or in that of blktrace. fio also writes logs while a job runs on a side;
requests() is what can be compared of them.
"""

from collections.abc import Iterator, Mapping

from tests.differential.jobs import Job, Log
from tests.differential.running import in_full, new_folder, run_fio
from tests.end_to_end.blktrace import DISCARD, FLUSH, READ, WRITE, Action, completed, queued, trace

_EMPTY = "fio version 3 iolog\n"
_KINDS = {"read": READ, "write": WRITE, "trim": DISCARD, "sync": FLUSH, "datasync": FLUSH}


def write_logs(job: Job) -> Mapping[str, bytes]:
    """The logs by name."""
    return {log.name: _write(job, log) for log in job.logs}


def _write(job: Job, log: Log) -> bytes:
    own = f"ioengine=null\nwrite_iolog={log.name}\n"
    with new_folder() as folder:
        run_fio(folder, in_full(job, own, [log.section]), {})
        written = folder / log.name
        text = written.read_text() if written.exists() else _EMPTY
    return trace(_actions(text)) if log.is_blktrace else text.encode()


def _actions(text: str) -> Iterator[Action]:
    """One request at a time. All are of one disk, because such a replay has only one."""
    for line in text.splitlines():
        words = line.split()
        if len(words) == len(("time", "file", "kind", "offset", "size")) and words[2] in _KINDS:
            kind = _KINDS[words[2]]
            yield queued(kind, int(words[3]), int(words[4]))
            yield completed(kind)


def requests(text: str) -> list[str]:
    """The lines of a log in fio's form, without their times."""
    return [line.partition(" ")[2] for line in text.splitlines()]

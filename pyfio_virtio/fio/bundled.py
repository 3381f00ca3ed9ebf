# SPDX-License-Identifier: GPL-2.0-or-later
"""The job files that come with this package, which users may name without their folder.

`latency`, `latency.fio` and `jobs/latency.fio` are the same job, in any working directory. A file
of the user with that name takes precedence. It looks at paths, and reads no job.
"""

import re
import stat
from pathlib import Path

from pyfio_virtio.errors import UsageError, did_you_mean

_FOLDER = Path(__file__).resolve().parent.parent / "jobs"
_SUFFIX = ".fio"


def names() -> list[str]:
    return sorted(path.stem for path in _FOLDER.glob(f"*{_SUFFIX}"))


def default() -> Path:
    """The job that runs if the user names none."""
    return _FOLDER / "virtio.fio"


def is_job(word: str) -> bool:
    """Whether this word looks like a job file, or is the name of one of these jobs."""
    return word.endswith(_SUFFIX) or word in names()


def find(path: Path) -> Path:
    """The job file that the user means: the one at this path, or a bundled one of this name."""
    name = str(path).removeprefix("jobs/").removesuffix(_SUFFIX)
    bundled = _FOLDER / f"{name}{_SUFFIX}" if name in names() else None
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        if bundled is None:
            raise _unknown(path, name) from None
        return bundled
    except OSError:
        return path  # reading it will fail, and say why
    return bundled if is_folder and bundled else path


def _unknown(path: Path, name: str) -> UsageError:
    if re.match(r"\w+=", name):
        return UsageError(
            f"cannot read the job file {path}",
            "there is no such file",
            f"options of fio have two dashes and follow --: -- --{name}",
        )
    question = did_you_mean(name, names())
    return UsageError(
        f"cannot read the job file {path}",
        "there is no such file",
        f"{question}the jobs that come with pyfio-virtio are {', '.join(names())}",
    )

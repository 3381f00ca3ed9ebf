# SPDX-License-Identifier: GPL-2.0-or-later
"""Analyses stored runs: tables, statistics, pictures and a report.

Enter at report.py (the page). frame.py reads the runs, stats.py and findings.py say what they
show, plots.py and timeplots.py draw, and picture_names.py has the names of pictures for the
command `plot`. matplotlib is imported together with plots.py, and not before somebody needs a
picture.

pyfio_virtio/analysis is a symbolic link to this folder, so that the folder is at the top level
and is imported as pyfio_virtio.analysis. A package-dir mapping does not replace the link, because
mypy fails with it after a default editable install, and imports from the root fail after a strict
one.
"""

import os
import resource

from pyfio_virtio.errors import MachineError

# numpy and its libraries crash, hang, or print errors of their own if the memory is too little for
# them. They take about 400 MiB of addresses.
_LEAST_BYTES = 512 << 20


def _check_memory() -> None:
    """Refuses a limit of memory with which numpy cannot be imported."""
    for name, kind in (("v", resource.RLIMIT_AS), ("d", resource.RLIMIT_DATA)):
        limit, _ = resource.getrlimit(kind)
        if limit != resource.RLIM_INFINITY and limit < _LEAST_BYTES:
            raise MachineError(
                "cannot analyse results",
                f"memory is limited to {limit >> 20} MiB, and they need {_LEAST_BYTES >> 20} MiB",
                f"raise the limit: ulimit -{name} unlimited",
            )


_check_memory()
# One thread is enough, and each takes memory. If numpy cannot start one, it raises SIGINT.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from pyfio_virtio.analysis.frame import load  # noqa: E402 - after the limit was checked

__all__ = ["load"]

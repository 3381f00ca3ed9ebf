# SPDX-License-Identifier: GPL-2.0-or-later
"""Where matplotlib keeps its files, if a command of ours uses it.

A command calls this before it imports the analysis. A program that imports the analysis itself
keeps its own settings of matplotlib.
"""

import os
from contextlib import suppress

from pyfio_virtio.errors import MachineError
from pyfio_virtio.machine import folders

_VARIABLE = "MPLCONFIGDIR"


def keep_files_in_cache() -> None:
    """Makes matplotlib keep its list of fonts in our cache, and not in folders of its own in the
    home folder. Where this is impossible, it chooses a place itself."""
    if _VARIABLE not in os.environ:
        with suppress(MachineError):
            own = folders.cache_folder() / "matplotlib"
            os.environ[_VARIABLE] = str(folders.make_in_cache(own))

# SPDX-License-Identifier: GPL-2.0-or-later
"""Where matplotlib keeps its files, if a command of ours uses it.

A command calls this before it imports the analysis. A program that imports the analysis itself
keeps its own settings of matplotlib, and so does a user who has any.
"""

import os
from contextlib import suppress
from pathlib import Path

from pyfio_virtio.errors import MachineError
from pyfio_virtio.machine import folders

_VARIABLE = "MPLCONFIGDIR"


def keep_files_in_cache() -> None:
    """Makes matplotlib keep its list of fonts in our cache, and not in folders of its own in the
    home folder, unless it has one there. Where this is impossible, it chooses a place itself."""
    if _VARIABLE not in os.environ and not _has_settings():
        with suppress(MachineError):
            own = folders.cache_folder() / "matplotlib"
            os.environ[_VARIABLE] = str(folders.make_in_cache(own))


def _has_settings() -> bool:
    """Whether the user has matplotlib's folder of settings and styles, which the variable hides."""
    with suppress(RuntimeError):  # nobody has a home folder
        config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        return Path(config, "matplotlib").is_dir()
    return False

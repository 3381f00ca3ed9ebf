# SPDX-License-Identifier: GPL-2.0-or-later
"""When root has run make in another user's clone, gives that user the files that root has made.

Else the user's next make could not write to them. `make install`, `make deb` and `make run` call
this file when they have built something, and also when that has failed.
"""

import os
from pathlib import Path

import project


def give_back(tree: Path) -> None:
    owner = tree.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        return
    for place, folders, names in os.walk(tree):
        for path in (Path(place, name) for name in [*folders, *names]):
            if path.lstat().st_uid == 0:
                os.lchown(path, owner.st_uid, owner.st_gid)


if __name__ == "__main__":
    give_back(project.ROOT)

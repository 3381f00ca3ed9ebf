# SPDX-License-Identifier: GPL-2.0-or-later
"""cli/pictures.py: where matplotlib keeps its files, and whose settings it has."""

import os
import subprocess
import sys
from pathlib import Path

SHOW = """
from pyfio_virtio.cli.pictures import keep_files_in_cache
keep_files_in_cache()
import matplotlib
print(matplotlib.rcParams["savefig.dpi"], matplotlib.get_cachedir())
"""


def shown(home: Path) -> list[str]:
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "MPL", "MATPL"))
    }
    environment["HOME"] = str(home)
    line = [sys.executable, "-c", SHOW]
    return subprocess.run(
        line, env=environment, capture_output=True, text=True, check=True
    ).stdout.split()


def test_its_files_are_in_our_cache(tmp_path: Path) -> None:
    assert shown(tmp_path) == ["figure", f"{tmp_path}/.cache/pyfio-virtio/matplotlib"]
    assert [path.name for path in tmp_path.iterdir()] == [".cache"]


def test_a_user_keeps_settings(tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "matplotlib"
    folder.mkdir(parents=True)
    (folder / "matplotlibrc").write_text("savefig.dpi: 55\n")
    assert shown(tmp_path) == ["55.0", f"{tmp_path}/.cache/matplotlib"]

# SPDX-License-Identifier: GPL-2.0-or-later
"""Python looks for modules in the current folder first, but the user's files there are not ours."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("pyfio-virtio")
NAMES = ("argparse", "cffi", "fio_headers", "json", "pathlib", "pyfio_virtio", "random", "signal")


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder whose modules write their names into a file when they are imported."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    for name in NAMES:
        note = f"open({str(tmp_path / 'imported')!r}, 'a').write('{name} ')"
        (folder / f"{name}.py").write_text(f"{note}\nraise SystemExit('wrong module')\n")
    return folder


@pytest.mark.parametrize(
    ("words", "said", "safe"),
    [
        ("run -- --runtime=0 --number_ios=1 --size=4k", "Run status", ""),
        ("restart-test --restarts 1 --every 10ms --iodepth 1 --size 64k", "lost", ""),
        ("build-engine --sources .", "cannot run no-such-compiler", ""),
        # The programs that build the engine import one another from their folder.
        ("build-engine --sources .", "cannot run no-such-compiler", "1"),
    ],
)
def test_modules_in_the_current_folder_are_not_imported(
    words: str, said: str, safe: str, hostile: Path
) -> None:
    environment = {**os.environ, "CC": "no-such-compiler", "PYTHONSAFEPATH": safe}
    environment["XDG_CACHE_HOME"] = str(hostile.parent)
    line = [str(COMMAND), *words.split()]
    done = subprocess.run(line, cwd=hostile, env=environment, capture_output=True, text=True)
    assert said in done.stdout + done.stderr
    assert "wrong module" not in done.stderr
    assert not (hostile.parent / "imported").exists()

# SPDX-License-Identifier: GPL-2.0-or-later
"""machine/sampling.py: what is slow to import is there before fio runs."""

import subprocess
import sys
from pathlib import Path

import pytest

MEASURE = """
from pathlib import Path
from pyfio_virtio.sweep import measure
def start(*words): sys.exit("psutil" not in sys.modules)
measure.fio.start = start
measure.measure(measure.Task([], {}, Path(sys.argv[1]), 1, 0, 1, None), print)
"""
SERVE = """
from pyfio_virtio.hosts.moments import Moments
Moments(1, None)
sys.exit("psutil" not in sys.modules)
"""


@pytest.mark.parametrize("program", [MEASURE, SERVE])
def test_the_first_look_imports_nothing(program: str, tmp_path: Path) -> None:
    line = [sys.executable, "-c", f"import sys\n{program}", str(tmp_path)]
    assert subprocess.run(line, check=False).returncode == 0

# SPDX-License-Identifier: GPL-2.0-or-later
"""bench/result.h: what a loop measured is read as if fio had written it."""

import subprocess
from pathlib import Path

from pyfio_virtio.fio.directions import summarise
from pyfio_virtio.fio.output import read_fio_json
from tests.conftest import ROOT

PROGRAM = """
#include "result.h"

static struct histogram latencies;

int main(int argc, char **argv)
{
	for (int i = 0; i < 2999; i++)
		histogram_note(&latencies, 15);
	histogram_note(&latencies, 5000000);
	return argc != 2 || result_write(argv[1], &latencies, 2 * NS_PER_S);
}
"""


def test_what_a_loop_writes_is_read_as_fio_s(tmp_path: Path) -> None:
    source, program, result = tmp_path / "loop.c", tmp_path / "loop", tmp_path / "fio.json"
    source.write_text(PROGRAM)
    folders = [f"-iquote{ROOT / name}" for name in ("bench", "engine")]
    subprocess.run(["cc", *folders, str(source), "-o", str(program)], check=True)
    subprocess.run([program, result], check=True)
    [job] = read_fio_json(result).jobs
    total = summarise(job.directions.values())
    assert (total.ios, total.iops, job.runtime_ms) == (3000, 1500, 2000)
    assert (total.p50_ns, total.p99_ns, total.lat_max_ns) == (10, 10, 999_990)

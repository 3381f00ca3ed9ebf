# SPDX-License-Identifier: GPL-2.0-or-later
"""engine/counters.py: what a real engine wrote, summed."""

import json
from pathlib import Path

import pytest

from pyfio_virtio.engine.counters import CountersError, read_counters
from tests.conftest import Fio, StartBackend


def test_a_real_run_s_counters_are_summed_over_its_queues(
    qsd: StartBackend, fio: Fio, tmp_path: Path
) -> None:
    disk, file = qsd(queues=2), tmp_path / "stats"
    run = fio(
        disk.socket,
        rw="randread",
        bs="4k",
        number_ios=100,
        numjobs=2,
        iodepth=4,
        wait="sleepy",
        stats_file=str(file),
    )
    assert run.status == 0, run.stderr
    text = file.read_text()
    sums = read_counters(text)
    jobs = [json.loads(line) for line in text.splitlines()]
    assert sums["reaped"] == 200
    assert sums["requests"] == 200
    assert sums["kicks"] == sum(queue["kicks"] for job in jobs for queue in job["queues"])
    assert sums["looks"] == sum(job["looks"] for job in jobs)
    assert sum(sums[f"batches_{2**place}"] for place in range(8)) > 0
    assert not {"ios", "queue_size", "sleepy_poll", "number", "wait"} & set(sums)


def test_nothing_written_is_no_counter() -> None:
    assert read_counters("") == {}


@pytest.mark.parametrize("line", ["{", "[]", "3"])
def test_what_is_no_line_of_the_engine_s_is_refused(line: str) -> None:
    with pytest.raises(CountersError, match="line 2 of the engine's statistics"):
        read_counters('{"looks": 1}\n' + line)

# SPDX-License-Identifier: GPL-2.0-or-later
"""The messages of a controller, and what serve answers."""

import json
import os
import time

from pyfio_virtio.engine import engine
from pyfio_virtio.fio.fio import split_notes
from pyfio_virtio.hosts import wire
from tests.pyfio_virtio.hosts.conftest import Client, RunJob, Serve


def test_a_job_runs_on_the_disk_that_was_prepared(served: Serve, run_job: RunJob) -> None:
    here = served()
    with Client(here.socket) as client:
        hello = client.ask("hello", "hello", version=wire.VERSION).fields
        assert hello["engine"] == engine.version()
        assert hello["fio"] == engine.fio_release()
        assert hello["problem"] == ""
        assert hello["memory"] > 0
        assert hello["facts"]["cpus"] == len(os.sched_getaffinity(0))
        disk = client.prepare().fields
        assert disk["pid"] in here.processes()
        before = time.time_ns()
        ran = run_job(client, disk=disk["disk"])
        after = time.time_ns()
        assert ran.status == 0, ran
        document = json.loads(split_notes(ran.stdout)[1])
        assert document["client_stats"][0]["read"]["total_ios"] == 1000
        collected = client.ask("collect", "collected")
        assert json.loads(collected.data)["ios"] == 1000
        times = [collected.fields[name] for name in ("run_ns", "start_ns", "end_ns")]
        assert [before, *times, after] == sorted([before, *times, after])
        assert collected.fields["died"] == ""
        client.ask("release", "released")
        assert disk["pid"] not in here.processes()
    here.wait_until_idle()

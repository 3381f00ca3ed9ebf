# SPDX-License-Identifier: GPL-2.0-or-later
"""tune/job_file.py: fio takes every job that a tuner may write."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

from pyfio_virtio.engine import engine
from pyfio_virtio.fio import fio, job
from pyfio_virtio.sweep.points import resolve
from pyfio_virtio.sweep.settings import Settings
from pyfio_virtio.tune import job_file
from pyfio_virtio.tune.measuring import Plan, workloads
from pyfio_virtio.tune.search import screen
from pyfio_virtio.tune.setups import Setup, as_sweep, tried

GIVEN = Settings(controls=False, repeats=1, storage="null", backend=("qsd",))


def plan(given: Settings = GIVEN) -> Plan:
    sweep = resolve(as_sweep(given))
    return Plan(tried(given, [[0], [1]]), replace(sweep, cores=[[0], [1]]))


def texts(found: Plan) -> list[str]:
    return [
        job_file.text(found.planned(work.name, setup, 10.0, 0.0), "tuned", ["Why:", "  x y"])
        for work in workloads(found.tried)
        for setup in screen(work.axes)
    ]


def parse_only(*paths: Path) -> tuple[int, bytes]:
    """fio's status and what it says of the job files."""
    environment = {**os.environ, "LD_LIBRARY_PATH": fio.library_path(engine.folder())}
    command = ["fio", "--parse-only", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    return done.returncode, done.stderr


def test_fio_takes_the_jobs(tmp_path: Path) -> None:
    written = [text.replace("[tuned]", f"[{n}]") for n, text in enumerate(texts(plan()))]
    for number, text in enumerate(written):
        (tmp_path / f"{number}.fio").write_text(text)
    paths = sorted(tmp_path.iterdir())
    assert parse_only(*paths) == (0, b"")
    assert len(paths) > 20


def test_a_job_has_the_setup_and_a_socket() -> None:
    setup: Setup = (("wait", (("wait", "busy"),)), ("cpus", (("cpus", "0:1"),)))
    text = job_file.text(plan().planned("latency", setup, 10.0, 0.0), "latency", ["a: b"])
    [section] = job.parse(text).sections()
    expected = {"filename": "/tmp/vhost.0", "wait": "busy", "cpus_allowed": "0", "runtime": "10"}  # noqa: S108
    assert expected.items() <= section.options.items()
    assert section.name == "latency"
    assert "stats_file" not in section.options


def test_it_says_how_to_start_the_back_end() -> None:
    setup: Setup = (("poll_max_ns", (("poll_max_ns", "0"),)),)
    text = job_file.text(plan().planned("latency", setup, 10.0, 0.0), "latency", [])
    command = "pyfio-virtio backend start qsd --storage null --disk-size 1G --poll-max-ns 0"
    assert f"#   {command} --socket /tmp/vhost.0\n" in text


def test_what_the_user_says_is_the_default() -> None:
    options = {"iodepth": ("8", "16"), "event_idx": ("off",), "wait": ("busy", "event")}
    found = tried(replace(GIVEN, options=options, poll_max_ns=7), [[0]])
    assert found.base.options.items() >= {"iodepth": ("8",), "event_idx": ("off",)}.items()
    assert found.base.options["wait"] == ("busy",)
    assert [axis.name for axis in found.latency] == ["wait", "indirect"]
    assert [axis.name for axis in found.throughput] == ["wait", "iodepth", "queue_size", "indirect"]

# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio run --hosts: what it prints, what it refuses, and what is left after ^C."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.conftest import RunCommand
from tests.pyfio_virtio.conftest import Start
from tests.pyfio_virtio.hosts.conftest import Serve
from tests.waiting import wait_until

SHORT = ("--", "--time_based=0", "--number_ios=2000", "--ramp_time=0", "--clocksource=cpu")


def hosts_file(folder: Path, shared: str = 'disk-size = "16M"', **sockets: str) -> str:
    path = folder / "hosts.toml"
    entries = [f'[[host]]\nname = "{n}"\naddress = "unix:{at}"\n' for n, at in sockets.items()]
    path.write_text("\n".join((shared, *entries)))
    return str(path)


def test_the_results_of_each_host_and_of_all_are_printed(
    served: Serve, command: RunCommand, tmp_path: Path
) -> None:
    here = served()
    hosts = hosts_file(tmp_path, a=here.socket, b=here.socket)
    # Two seconds, so that the hosts have a part of them in common.
    ended = command("run", "--hosts", hosts, "--json", "latency", *SHORT, "--rate_iops=1000")
    assert ended.status == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert [each["name"] for each in document["hosts"]] == ["a", "b"]
    assert [each["ios"] for each in document["hosts"]] == [2000, 2000]
    assert all(each["error"] is None for each in document["hosts"])
    assert all(each["p50_ns"] > 0 for each in document["hosts"])
    assert 0 < document["all"]["ios"] <= 4000


def test_a_host_that_is_not_there_is_named_and_nothing_runs(
    served: Serve, command: RunCommand, tmp_path: Path
) -> None:
    hosts = hosts_file(tmp_path, a=served().socket, b="/nowhere/b", c="/nowhere/c")
    ended = command("run", "--hosts", hosts, "latency", *SHORT)
    assert ended.status == 1
    lines = ended.stderr.splitlines()[-2:]
    for name, line in zip("bc", lines, strict=True):
        assert line == (
            f"pyfio-virtio: host {name} (unix:/nowhere/{name}): cannot connect: "
            "No such file or directory; start there: pyfio-virtio serve"
        )
    assert ended.stdout == ""


def test_a_host_that_fails_keeps_the_results_of_the_others(
    served: Serve, command: RunCommand, tmp_path: Path
) -> None:
    here = served()
    text = Path(hosts_file(tmp_path, a=here.socket, b=here.socket)).read_text()
    file = tmp_path / "hosts.toml"
    # Its engine cannot connect there.
    file.write_text(f'{text}socket = "{here.socket}"\n')
    ended = command("run", "--hosts", str(file), "--json", "latency", *SHORT)
    assert ended.status == 1
    one, other = json.loads(ended.stdout)["hosts"]
    assert one["error"] is None
    assert one["ios"] == 2000
    assert other["error"]
    assert f"host b (unix:{here.socket}): {other['error']}" in ended.stderr


def test_dry_run_shows_the_job_of_each_host_and_connects_to_none(
    command: RunCommand, tmp_path: Path
) -> None:
    hosts = hosts_file(tmp_path, 'cpus = "3:4"', a="/nowhere/a")
    ended = command("run", "--hosts", hosts, "latency", "--dry-run")
    assert ended.status == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("# host a (unix:/nowhere/a): built-in back-end")
    assert lines[0].endswith("CPUs 4")
    wanted = {"filename=${DISK}", "write_iops_log=fio", "stats_file=counters.jsonl"}
    assert {*wanted, "cpus_allowed=3"} <= set(lines)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--explain",), "cannot use --explain with --hosts; use it on one of the hosts"),
        (("--counters",), "cannot use --counters with --hosts"),
        (("--socket", "/x"), 'cannot use --socket with --hosts; write socket = "/PATH"'),
        (("--backend", "none"), "cannot use --backend none with --hosts"),
        (("--backend", "/x"), "cannot use --backend /x with --hosts"),
        (("--cpus", "shared"), "cannot use --cpus shared with --hosts"),
        (("latency", "mixed"), "cannot run 2 job files on hosts; put the jobs into one file"),
        (("--", "--eta=always"), "cannot pass --eta=always to fio"),
        (("--", "--write_lat_log=/tmp/x"), "give it a name without /"),
    ],
)
def test_what_means_nothing_on_other_hosts_is_refused(
    arguments: tuple[str, ...], sentence: str, command: RunCommand, tmp_path: Path
) -> None:
    ended = command("run", "--hosts", hosts_file(tmp_path, a="/nowhere/a"), *arguments)
    assert ended.status == 2
    assert sentence in ended.stderr


def test_a_socket_on_a_host_is_written_only_with_yes(command: RunCommand, tmp_path: Path) -> None:
    hosts = hosts_file(tmp_path, 'socket = "/srv/vhost.0"', a="/nowhere/a")
    ended = command("run", "--hosts", hosts, "mixed")
    assert ended.status == 2
    assert "writes to /srv/vhost.0 on a, which was not made for it; use --yes" in ended.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_everything(
    number: signal.Signals, status: int, served: Serve, start: Start, tmp_path: Path
) -> None:
    here = served()
    hosts = hosts_file(tmp_path, a=here.socket)
    running = start("run", "--hosts", hosts, "latency", "--", "--time_based", "--runtime=100")
    wait_until(lambda: bool(here.sessions()) and len(here.processes()) > 3)
    running.send_signal(number)
    _, errors = running.communicate(timeout=30)
    assert running.returncode == status
    assert errors.splitlines()[-1] == "pyfio-virtio: interrupted"
    here.wait_until_idle()

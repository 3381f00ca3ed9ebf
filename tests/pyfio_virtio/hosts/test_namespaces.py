# SPDX-License-Identifier: GPL-2.0-or-later
"""run --hosts with real servers, each in a network namespace with its back-end; see namespaces.py.

Each test is one run on three hosts. After each, nothing is left in any namespace but serve itself.
The numbers are calculated here from what fio wrote for each host, without the code that is tested.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pyfio_virtio.results.results import SweepFolder
from tests.conftest import Finished
from tests.pyfio_virtio.hosts.namespaces import Network, NotAllowedError, Site, network
from tests.waiting import go_on, kill, stop, wait_until

# Far more than a run takes that fails after wire.SILENCE_S.
LIMIT_S = 60.0
NAMES = ("a", "b", "c")
JOB = """[job]
ioengine=fio_virtio
rw=randrw
bs=4k
iodepth=4
time_based=1
runtime={runtime}
thread=1
clocksource=clock_gettime
rate_iops=1000
"""


@pytest.fixture(scope="module")
def made() -> Iterator[Network]:
    try:
        with network() as found:
            for name in NAMES:
                found.add(name)
            yield found
    except NotAllowedError as error:
        pytest.skip(f"needs network namespaces: {error}")


@pytest.fixture
def net(made: Network) -> Iterator[Network]:
    """The hosts a, b, c serve. Nothing else may be left in any namespace afterwards."""
    for name in NAMES:
        made.sites[name].serve()
    yield made
    check_that_nothing_is_left(made)


def check_that_nothing_is_left(net: Network) -> None:
    for name in NAMES:
        net.sites[name].serve()  # one that was killed clears away what its sessions left
    for site in net.sites.values():
        site.wait_until_clear()
        assert "Traceback" not in site.said(), site.said()
    wait_until(lambda: not net.own.processes(), "the end of the controller")
    assert list(net.own.folder.glob("pyfio-virtio/run-*")) == []


@dataclass
class Running:
    """A run of `pyfio-virtio run --hosts`."""

    process: subprocess.Popen[str]

    def end(self) -> Finished:
        out, errors = self.process.communicate(timeout=LIMIT_S)
        return Finished(self.process.returncode, out, errors)


def begin(net: Network, sites: Sequence[Site], *arguments: str, runtime: int = 2) -> Running:
    write_hosts(net, sites)
    (net.own.folder / "job.fio").write_text(JOB.format(runtime=runtime))
    disk = ("--backend", "builtin", "--storage", "null", "--disk-size", "16M")
    line = ("run", "--hosts", "hosts.toml", "--json", *disk, *arguments, "job.fio")
    return Running(net.own.start(*line, stdout=subprocess.PIPE, stderr=subprocess.PIPE))


def write_hosts(net: Network, sites: Sequence[Site]) -> None:
    hosts = [f'[[host]]\nname = "{s.name}"\naddress = "{s.address}"\n' for s in sites]
    (net.own.folder / "hosts.toml").write_text("\n".join(hosts))


def all_of(net: Network) -> list[Site]:
    return [net.sites[name] for name in NAMES]


def wait_until_all_run(sites: Sequence[Site]) -> None:
    for site in sites:
        site.wait_until_it_runs()


def by_name(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {each["name"]: each for each in document["hosts"]}


# ---- what comes out ------------------------------------------------------------------------------

# A controller's fio that leaves second names for the files that it will write.
KEEPING_FIO = """#!/bin/sh
case "$*" in *--client=*)
    kept={folder}/kept/$(basename "$PWD")
    mkdir -p "$kept"
    for name in fio.json fio_iops.1.log.${{PWD##*/}}.sock fio_bw.1.log.${{PWD##*/}}.sock; do
        : >"$name"
        ln "$name" "$kept"
    done
esac
exec fio "$@"
"""


def test_the_combined_results_are_those_of_the_hosts_together(net: Network) -> None:
    keeping = net.own.folder / "fio"
    keeping.write_text(KEEPING_FIO.format(folder=net.own.folder))
    keeping.chmod(0o700)
    ended = begin(net, all_of(net), "--fio", str(keeping)).end()
    assert ended.status == 0, ended.stderr
    document = json.loads(ended.stdout)
    hosts = [KeptHost(each, net.own.folder / "kept") for each in document["hosts"]]
    assert [each.name for each in hosts] == list(NAMES)
    whole = document["all"]

    begin_ns = max(each.begin_ms for each in hosts)
    end_ns = min(each.end_ms for each in hosts)
    window_s = (end_ns - begin_ns) / 1000
    assert whole["window_s"] == pytest.approx(window_s, abs=0.002)
    for direction, number in (("read", 0), ("write", 1)):
        shares = [each.share("iops", number, begin_ns, end_ns) for each in hosts]
        ios = sum(
            each.of(direction)["total_ios"] * s for each, s in zip(hosts, shares, strict=True)
        )
        found = whole["directions"][direction]
        assert found["ios"] == pytest.approx(ios, rel=0.002)
        assert found["iops"] == pytest.approx(ios / window_s, rel=0.004)
        shares = [each.share("bw", number, begin_ns, end_ns) for each in hosts]
        size = sum(
            each.of(direction)["io_bytes"] * s for each, s in zip(hosts, shares, strict=True)
        )
        assert found["bw_bytes"] == pytest.approx(size / window_s, rel=0.004)
        assert_percentiles(found, merged(hosts, [direction]))
        for each in hosts:
            assert each.of(direction)["total_ios"] > 0
    assert_percentiles(whole, merged(hosts, ["read", "write"]))
    sums = [sum(each.of(name)["total_ios"] for name in ("read", "write")) for each in hosts]
    assert [each.told["ios"] for each in hosts] == sums
    assert whole["iops"] == pytest.approx(
        sum(each["iops"] for each in whole["directions"].values())
    )


class KeptHost:
    """What fio wrote for a host, and what our JSON tells of it."""

    def __init__(self, told: Mapping[str, Any], folder: Path) -> None:
        self.told, self.name = told, str(told["name"])
        self._folder = folder / self.name
        text = (self._folder / "fio.json").read_text()
        document = json.loads(text[text.index("{") :])
        (self.job,) = (each for each in document["client_stats"] if each["jobname"] == "job")
        self._logs = {kind: self._log(kind) for kind in ("iops", "bw")}
        self.begin_ms = min(start for start, *_ in self._logs["iops"])
        self.end_ms = self.begin_ms + max(self.of(n)["runtime"] for n in ("read", "write"))

    def of(self, direction: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.job[direction]
        return found

    def _log(self, kind: str) -> list[tuple[float, float, int]]:
        """When each 100 ms began on the controller's clock, the rate, and the direction."""
        path = self._folder / f"fio_{kind}.1.log.{self.name}.sock"
        fields = [line.split(",") for line in path.read_text().splitlines()]
        offset_ms = self.told["clock_offset_ms"] + 100
        return [(float(f[0]) - offset_ms, float(f[1]), int(f[2])) for f in fields]

    def share(self, kind: str, direction: int, begin_ms: float, end_ms: float) -> float:
        """Of all that it did in this direction, what lies in between."""
        inside = total = 0.0
        for start, rate, number in self._logs[kind]:
            if number == direction:
                total += rate * 100
                inside += rate * max(0.0, min(start + 100, end_ms) - max(start, begin_ms))
        return inside / total


def merged(hosts: Sequence[KeptHost], directions: Sequence[str]) -> Counter[int]:
    bins: Counter[int] = Counter()
    for each in hosts:
        for name in directions:
            for value, count in each.of(name)[f"{each.told['percentiles_of']}_ns"]["bins"].items():
                bins[int(value)] += count
    return bins


def assert_percentiles(found: Mapping[str, Any], bins: Counter[int]) -> None:
    samples = sorted(bins.elements())
    for column, thousandths in (("p50_ns", 500), ("p90_ns", 900), ("p99_ns", 990)):
        rank = -(-len(samples) * thousandths // 1000)
        assert found[column] == samples[rank - 1], column


# ---- a bad link ----------------------------------------------------------------------------------


def test_a_host_behind_a_slow_and_lossy_link_takes_part(net: Network) -> None:
    try:
        far = net.sites.get("far") or net.add("far", delay_s=0.02, loss=0.01)
    except NotAllowedError as error:
        pytest.skip(f"needs a slow link: {error}")
    far.serve()
    ended = begin(net, [net.sites["a"], net.sites["b"], far]).end()
    assert ended.status == 0, ended.stderr
    document = json.loads(ended.stdout)
    errors = {name: each["clock_error_ms"] for name, each in by_name(document).items()}
    assert errors["far"] >= 10.0
    assert errors["far"] > max(errors["a"], errors["b"])
    assert document["all"]["window_s"] > 0
    assert document["all"]["start_skew_ms"] == max(e["start_ms"] for e in document["hosts"])


# ---- failures during a run -----------------------------------------------------------------------


def kill_serve(site: Site) -> None:
    kill(site.serving)


def kill_fio(site: Site) -> None:
    kill_all(site, "fio")


def kill_backend(site: Site) -> None:
    kill_all(site, "pyfio_virtio.backends.builtin")


def kill_all(site: Site, name: str) -> None:
    found = site.processes(name)
    assert found
    for pid in found:
        with suppress(ProcessLookupError):  # it has ended with the others
            kill(pid)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (kill_serve, "it closed the connection"),
        (kill_fio, "fio"),
        (kill_backend, "its back-end ended during the run; its last words: "),
    ],
)
def test_what_is_killed_on_one_host_is_named_and_the_others_are_kept(
    net: Network, harm: Callable[[Site], None], words: str
) -> None:
    running = begin(net, all_of(net))
    wait_until_all_run(all_of(net))
    harm(net.sites["b"])
    check_failures(running.end(), {"b": words}, net)


def test_hosts_that_fall_silent_are_named_and_the_others_are_kept(net: Network) -> None:
    running = begin(net, all_of(net))
    wait_until_all_run(all_of(net))
    stopped = [*net.sites["b"].sessions(), net.sites["b"].serving]
    for pid in stopped:
        stop(pid)
    net.sites["c"].ip("link set eth0 down\n")
    try:
        words = "it said nothing for 15 s"
        check_failures(running.end(), {"b": words, "c": words}, net)
    finally:
        for pid in stopped:
            go_on(pid)
    # The session behind the link ends by itself, though the link stays down.
    net.sites["c"].wait_until_clear()
    net.sites["c"].ip("link set eth0 up\n")


def check_failures(ended: Finished, expected: Mapping[str, str], net: Network) -> None:
    assert ended.status == 1, ended.stderr
    document = json.loads(ended.stdout)
    hosts = by_name(document)
    assert set(document["all"]["failed"].split(",")) == set(expected)
    for name in NAMES:
        if name in expected:
            assert expected[name] in hosts[name]["error"]
            says = f"host {name} ({net.sites[name].address}): {hosts[name]['error']}"
            assert says in ended.stderr
        else:
            assert hosts[name]["error"] is None
            assert hosts[name]["ios"] > 0
            assert hosts[name]["p50_ns"] > 0


# ---- sweeps --------------------------------------------------------------------------------------

SWEEP = (
    *("sweep", "--hosts", "hosts.toml", "--wait", "event", "--iodepth", "4", "--no-controls"),
    *("--runtime", "2", "--ramp-time", "0.2", "--repeats", "2", "--disk-size", "16M", "-o", "out"),
)


def begin_command(net: Network, *words: str) -> Running:
    return Running(net.own.start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE))


def test_a_sweep_shows_which_host_was_killed_and_loses_nothing_else(net: Network) -> None:
    """Three hosts give one sweep and one report; a host that is lost half way is made up for."""
    write_hosts(net, all_of(net))
    running = begin_command(net, *SWEEP)
    out = SweepFolder(net.own.folder / "out")
    wait_until(lambda: len(out.rows()) == 1, "the first run")
    wait_until_all_run(all_of(net))
    kill_serve(net.sites["b"])
    ended = running.end()
    assert ended.status == 1, ended.stderr
    assert "host b: it closed the connection" in ended.stderr
    first, second = out.rows()
    assert (first["error"], second["across_failed"]) == (None, "b")
    kept = {row["on_name"]: row for row in out.host_rows() if row["repeat"] == second["repeat"]}
    did_some = {name: row["ios"] > 0 for name, row in kept.items()}
    assert did_some == {"a": True, "b": False, "c": True}
    said = begin_command(net, "report", "out", "--markdown").end().stdout
    assert "Host b failed in 1 run: it closed the connection" in said
    assert "The results of the other hosts in these runs are kept (2 results)" in said

    net.sites["b"].serve()
    again = begin_command(net, *SWEEP).end()
    assert again.status == 0, again.stderr
    assert [row["error"] for row in out.rows()] == [None, None]
    page = begin_command(net, "report", "out", "-o", "page.html").end()
    assert page.status == 0, page.stderr
    text = (net.own.folder / "page.html").read_text()
    assert "rounds are needed to show that one is slower" in text


# ---- the controller ------------------------------------------------------------------------------


def test_the_hosts_end_all_by_themselves_when_the_controller_is_killed(net: Network) -> None:
    running = begin(net, all_of(net), runtime=60)
    wait_until_all_run(all_of(net))
    serving = [each.serving for each in all_of(net)]
    running.process.send_signal(signal.SIGKILL)
    running.process.communicate(timeout=LIMIT_S)
    for site in all_of(net):
        site.wait_until_clear()
    assert [each.serving for each in all_of(net)] == serving
    ended = begin(net, all_of(net), runtime=1).end()
    assert ended.status == 0, ended.stderr


# ---- refused before the start --------------------------------------------------------------------

OTHER_FIO = """#!/bin/sh
case "$*" in *--version*) echo fio-3.99; exit ;; esac
exec fio "$@"
"""


def test_hosts_that_do_not_fit_are_all_named_before_anything_starts(net: Network) -> None:
    a, b, c = all_of(net)
    a.end()
    c.end()
    other = c.folder / "fio"
    other.write_text(OTHER_FIO)
    other.chmod(0o700)
    c.serve("--fio", str(other))
    jobs_before = b.said().count("runs a job")
    ended = begin(net, all_of(net)).end()
    c.end()  # so that it serves with the usual fio from now on
    assert ended.status == 1
    assert ended.stdout == ""
    assert f"host a ({a.address}): cannot connect: Connection refused" in ended.stderr
    assert f"host c ({c.address}): it has fio-3.99, and this machine has fio-" in ended.stderr
    assert "host b" not in ended.stderr
    assert b.said().count("runs a job") == jobs_before

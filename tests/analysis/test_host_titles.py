# SPDX-License-Identifier: GPL-2.0-or-later
"""The titles of pictures of hosts: none names a host or a ratio that was not shown."""

import re
from pathlib import Path

import pytest

from pyfio_virtio.analysis import claims, hostplots, hosts, picture_names, style
from pyfio_virtio.analysis.frame import load
from tests.analysis.host_sweeps import NAMES, write_host_sweep

PICTURES = ("hosts", "hosts-time", "fairness", "scaling")
PACE = 0.6  # of the slow host


def titles(path: Path) -> dict[str, str]:
    runs = load(path)
    return {
        name: style.finding_of(picture_names.draw(runs, name).axes[0])
        for name in PICTURES
        if name != "scaling" or runs["hosts"].nunique() > 1
    }


@pytest.mark.parametrize(("repeats", "noise"), [(1, 0.02), (3, 0.02), (4, 0.5), (6, 1.5)])
def test_no_title_has_an_order_that_was_not_shown(
    repeats: int, noise: float, tmp_path: Path
) -> None:
    # Of four rounds, nothing is shown, not even of a host that is slow.
    slow = "gamma" if repeats < 5 else ""
    write_host_sweep(tmp_path, counts=(2, 4), depths=(1,), repeats=repeats, slow=slow, noise=noise)
    found = titles(tmp_path)
    assert not [each for each in found.values() if any(name in each for name in NAMES)]
    assert "times" not in found["scaling"]
    of_hosts = hosts.compared(hosts.of_hosts(load(tmp_path)))
    assert hosts.claim(of_hosts) == ""
    assert not any("slowest" in said for said in hosts.sentences(load(tmp_path)))


def test_what_was_shown_is_the_title_and_the_sentence(tmp_path: Path) -> None:
    write_host_sweep(tmp_path, counts=(4,), depths=(1, 32), repeats=12)
    runs = load(tmp_path)
    of_hosts = hosts.compared(hosts.of_hosts(runs))
    claimed = hosts.claim(of_hosts)
    assert titles(tmp_path)["fairness"] == claimed
    assert f"{claimed}." in hosts.sentences(runs)
    low, high = map(float, re.findall(r"\((.*?) to (.*?)\)", claimed)[0])
    assert low <= PACE <= high


def test_a_host_is_the_slowest_only_if_it_is_below_every_other(tmp_path: Path) -> None:
    write_host_sweep(tmp_path, counts=(4,), depths=(1,), repeats=12)
    of_hosts = hosts.compared(hosts.of_hosts(load(tmp_path)))
    alike = {**of_hosts, "delta": of_hosts["alpha"]}
    assert "slowest" not in hosts.claim({name: alike[name] for name in ("alpha", "delta")})


def test_each_straggler_is_named(tmp_path: Path) -> None:
    write_host_sweep(tmp_path, counts=(4,), depths=(1,), repeats=12, slow="gamma delta")
    of_hosts = hosts.compared(hosts.of_hosts(load(tmp_path)))
    claimed = hosts.claim(of_hosts)
    assert re.fullmatch(
        r"Hosts (gamma and delta|delta and gamma) are stragglers of 4 hosts: "
        r"each does 0\.7\d to 0\.7\d of the median host's IOPS",
        claimed,
    )
    many = {f"host{number}": of_hosts["gamma"] for number in range(9)}
    assert "Hosts host0, host1, host2, host3, host4, host5 and 3 more are" in hosts.claim(many)


def test_the_efficiency_has_the_interval_of_the_ratio(tmp_path: Path) -> None:
    write_host_sweep(tmp_path, counts=(1, 4), depths=(1,), repeats=12, slow="")
    title = titles(tmp_path)["scaling"]
    found = re.search(r"4 hosts do .* \((.*) to (.*)\) times .* of 1, .* (\d+)% to (\d+)%", title)
    assert found, title
    low, high, least, most = map(float, found.groups())
    assert low <= 4 / (1 + 0.06 * 3) <= high
    assert (least, most) == pytest.approx((25 * low, 25 * high), abs=0.6)


def test_a_number_of_hosts_has_a_verb_that_fits(tmp_path: Path) -> None:
    write_host_sweep(tmp_path, counts=(1, 4), depths=(1, 32), repeats=12, slow="")
    said = claims.headline(claims.study(load(tmp_path), "hosts"))
    assert said == "hosts=4 has the most IOPS at all 2 iodepths measured."


def test_a_run_in_which_all_hosts_failed_has_no_others(tmp_path: Path) -> None:
    write_host_sweep(tmp_path, counts=(1,), depths=(1,), repeats=1, fails=("alpha", 1))
    run = load(tmp_path)
    with style.look():
        axes = hostplots.over_time(run, style.figure().add_subplot())
    assert style.finding_of(axes) == "Host alpha failed"

# SPDX-License-Identifier: GPL-2.0-or-later
"""sweep --hosts: what hosts that serve measure together, and what is kept when one fails."""

from pathlib import Path

import pytest

from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.errors import UsageError
from pyfio_virtio.fio.output import read_fio_json
from pyfio_virtio.hosts.addresses import Address
from pyfio_virtio.hosts.hosts_file import Host
from pyfio_virtio.results.record import Row
from pyfio_virtio.results.results import FIO_JSON, HOSTS, SweepFolder
from pyfio_virtio.sweep.fleet import disk_of
from pyfio_virtio.sweep.job import Wanted
from pyfio_virtio.sweep.settings import Settings, counts
from tests.conftest import RunCommand
from tests.pyfio_virtio.hosts.conftest import Serve, Served

QUICK = (
    *("--wait", "event", "--runtime", "3", "--ramp-time", "0.2", "--repeats", "1"),
    *("--no-controls", "--disk-size", "16M"),
)


def hosts_toml(folder: Path, addresses: dict[str, str]) -> Path:
    path = folder / "hosts.toml"
    lines = [f'[[host]]\nname = "{name}"\naddress = "{each}"\n' for name, each in addresses.items()]
    path.write_text("".join(lines))
    return path


def words(*arguments: object) -> tuple[str, ...]:
    return ("sweep", *map(str, (*QUICK, *arguments)))


@pytest.fixture
def two(served: Serve, private: Path) -> tuple[Path, Served]:
    """A hosts.toml with two hosts, and the second host."""
    first, second = served(), served("--listen", f"unix:{private / 'second.sock'}")
    return hosts_toml(private, {"a": first.address, "b": second.address}), second


def test_a_sweep_keeps_the_hosts_and_all_together(
    command: RunCommand, two: tuple[Path, Served], tmp_path: Path
) -> None:
    done = command(
        *words("--hosts", two[0], "--iodepth", "4", "--host-count", "1,2", "-o", tmp_path / "out")
    )
    assert done.status == 0, done.stderr
    folder = SweepFolder(tmp_path / "out")
    whole = {row["hosts"]: row for row in folder.rows()}
    assert sorted(whole) == [1, 2]
    both = [row for row in folder.host_rows() if row["hosts"] == 2]
    assert [row["on_name"] for row in both] == ["a", "b"]
    assert all(row["iops"] > 0 and row["reaped"] > 0 for row in both)
    check_sums(folder, whole[2], both)


def check_sums(folder: SweepFolder, whole: Row, parts: list[Row]) -> None:
    """What all hosts did is what each of them did, in the time that they share."""
    run = folder.run_folder(whole["hash"], whole["repeat"])
    jobs = [read_fio_json(run / HOSTS / row["on_name"] / FIO_JSON).jobs[0] for row in parts]
    assert [job.directions["read"].ios for job in jobs] == [row["ios"] for row in parts]
    assert whole["ios"] <= sum(row["ios"] for row in parts)
    assert whole["bw_bytes"] == pytest.approx(4096 * whole["iops"], rel=0.02)
    assert whole["across_window_s"] <= min(row["elapsed_s"] for row in parts) + 1e-3
    assert whole["reaped"] == sum(row["reaped"] for row in parts)
    slowest = min(row["p50_ns"] for row in parts), max(row["p50_ns"] for row in parts)
    assert slowest[0] <= whole["p50_ns"] <= slowest[1]


def test_a_sweep_goes_on_where_a_host_was_lost(
    command: RunCommand, two: tuple[Path, Served], tmp_path: Path
) -> None:
    file, lost = two
    arguments = ("--hosts", file, "-o", tmp_path / "out")
    assert command(*words(*arguments, "--iodepth", "1")).status == 0
    lost.process.kill()
    lost.process.wait()
    refused = command(*words(*arguments, "--iodepth", "1", "--repeats", "2"))
    assert refused.status == 1
    assert "host b " in refused.stderr
    assert len(SweepFolder(tmp_path / "out").rows()) == 1


def test_every_host_that_cannot_be_reached_is_named(command: RunCommand, private: Path) -> None:
    missing = {"x": f"unix:{private / 'x'}", "y": f"unix:{private / 'y'}"}
    done = command(*words("--hosts", hosts_toml(private, missing), "-o", private / "out"))
    assert done.status == 1
    assert "host x (" in done.stderr
    assert "host y (" in done.stderr
    assert not (private / "out").exists()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (Settings(host_count=(1,)), "there are no hosts; add --hosts"),
        (Settings(hosts="h", engines=("libaio",)), "cannot measure libaio on hosts"),
        (Settings(hosts="h", cpus=("separate",)), "cannot use --cpus separate with --hosts"),
        (Settings(hosts="h", heat_map=True), "cannot use --heat-map with --hosts"),
        (Settings(hosts="h", fio=("a", "b=/x")), "cannot use several --fio with --hosts"),
    ],
)
def test_what_hosts_cannot_do_is_refused(settings: Settings, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        settings.check()


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "x", "1..4", "9999999"])
def test_a_number_of_hosts_is_a_whole_number(text: str) -> None:
    with pytest.raises(UsageError, match="unusable host_count"):
        counts(text)


def test_more_hosts_than_the_file_has_are_refused(command: RunCommand, private: Path) -> None:
    file = hosts_toml(private, {"x": f"unix:{private / 'x'}"})
    done = command(*words("--hosts", file, "--host-count", "2", "-o", private / "out"))
    assert done.status == 2
    assert "cannot measure with 2 hosts" in done.stderr


def test_a_host_has_its_own_disk() -> None:
    wanted = Wanted(BackendSpec(storage="file:file", queues=3, options=("device=scsi",)))
    host = Host("a", Address(path="/s"), disk_size=1 << 20)
    disk = disk_of(host, wanted)
    assert isinstance(disk, BackendSpec)
    assert (disk.storage, disk.size_bytes, disk.queues) == ("file", 1 << 20, 3)
    assert disk.options == ("device=scsi",)
    own = Host("b", Address(path="/s"), socket="/run/vhost.0")
    assert disk_of(own, wanted) == "/run/vhost.0"
    assert disk_of(host, Wanted()) is None

# SPDX-License-Identifier: GPL-2.0-or-later
"""cli/probe.py: a real back-end looked at by the real command."""

import json
import os
import pwd
import socket as sockets
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyfio_virtio.backends import unix_sockets
from pyfio_virtio.engine import features
from pyfio_virtio.errors import UsageError
from tests.conftest import Fio, RunCommand, StartBackend


def test_every_feature_has_a_line(command: RunCommand, qsd: StartBackend) -> None:
    shown = command("probe", qsd().socket).stdout
    for feature in (*features.virtio_features(features.BLK), *features.PROTOCOL_FEATURES):
        assert f" {feature.name} " in shown


def test_json_tells_the_same(command: RunCommand, qsd: StartBackend) -> None:
    told = json.loads(command("probe", "--json", qsd(queues=3, block_size=4096).socket).stdout)
    assert told["device"]["max_queues"] == 3
    assert told["device"]["block_size"] == 4096
    offered = {each["name"] for each in told["virtio_features"] if each["offered"]}
    assert {"VIRTIO_F_VERSION_1", "VIRTIO_BLK_F_MQ"} <= offered


def test_nothing_is_negotiated_that_was_not_offered(command: RunCommand, qsd: StartBackend) -> None:
    told = json.loads(command("probe", "--json", qsd().socket).stdout)
    for each in (*told["virtio_features"], *told["protocol_features"]):
        assert each["offered"] or not each["negotiated"]
        assert each["negotiated"] == (each["why_not"] == "")


def test_the_job_that_would_work_works(command: RunCommand, qsd: StartBackend, fio: Fio) -> None:
    job = json.loads(command("probe", "--json", qsd(queues=2).socket).stdout)["job"]
    short = job.replace("time_based", "number_ios=10").replace("runtime=10\n", "")
    assert fio.job(short).status == 0


def test_probing_writes_nothing(command: RunCommand, qsd: StartBackend, private: Path) -> None:
    path = private / "disk"
    path.write_bytes(b"x" * (1 << 20))
    command("probe", qsd(storage=f"file:{path}").socket)
    assert path.read_bytes() == b"x" * (1 << 20)


def test_one_who_does_not_answer_is_given_up(command: RunCommand, private: Path) -> None:
    with sockets.socket(sockets.AF_UNIX) as silent:
        silent.bind(str(private / "silent"))
        silent.listen()
        ended = command("probe", str(private / "silent"), "--connect-timeout", "0.2")
    assert ended.status == 1
    assert ended.stderr.count("\n") == 1
    assert str(private / "silent") in ended.stderr


def test_disks_behind_a_controller_are_listed(command: RunCommand, builtin: StartBackend) -> None:
    controller = builtin(options=("device=scsi", "targets=2", "luns=2"))
    told = json.loads(command("probe", "--json", controller.socket).stdout)
    addresses = [(disk["target"], disk["lun"]) for disk in told["device"]["disks"]]
    assert addresses == [(0, 0), (0, 1), (1, 0), (1, 1)]
    shown = command("probe", controller.socket).stdout
    for disk in told["device"]["disks"]:
        assert disk["vendor"] in shown
        assert disk["serial"] in shown


def test_the_job_names_one_of_several_disks(
    command: RunCommand, builtin: StartBackend, fio: Fio
) -> None:
    controller = builtin(options=("device=scsi", "targets=2"))
    job = json.loads(command("probe", "--json", controller.socket).stdout)["job"]
    assert "scsi_target=0\nscsi_lun=0\n" in job
    short = job.replace("time_based", "number_ios=10").replace("runtime=10\n", "")
    assert fio.job(short).status == 0


@pytest.mark.parametrize("device", ["blk", "scsi"])
@pytest.mark.parametrize("profile", ["minimal", "rust-vmm"])
def test_the_job_works_where_the_back_end_says_little(
    command: RunCommand, builtin: StartBackend, fio: Fio, profile: str, device: str
) -> None:
    backend = builtin(options=(f"profile={profile}", f"device={device}"))
    told = json.loads(command("probe", "--json", backend.socket).stdout)
    assert told["device"]["type"] == (features.SCSI if device == "scsi" else features.BLK)
    short = told["job"].replace("time_based", "number_ios=10").replace("runtime=10\n", "")
    assert fio.job(short).status == 0


def test_what_is_not_known_is_not_stated(command: RunCommand, builtin: StartBackend) -> None:
    shown = command("probe", builtin(options=("profile=minimal",)).socket).stdout
    assert "the back-end does not say (jobs need size=)" in shown
    assert "(assumed: the back-end does not say)" in shown
    assert "0 B" not in shown


def test_the_device_can_be_chosen(command: RunCommand, builtin: StartBackend) -> None:
    backend = builtin(options=("profile=minimal", "device=scsi"))
    told = json.loads(command("probe", "--json", "--device", "scsi", backend.socket).stdout)
    assert told["device"]["type"] == features.SCSI
    assert "device=scsi\n" in told["job"]


def test_a_device_that_does_not_fit_is_refused(command: RunCommand, qsd: StartBackend) -> None:
    refused = command("probe", "--device", "scsi", qsd().socket)
    assert (refused.status, refused.stderr.count("\n")) == (1, 1)
    assert "device=scsi does not fit" in refused.stderr


# ---- a socket that cannot be used ---------------------------------------------------------------

WORDS = ("probe {}", "verify -s {} --yes", "run --socket {}", "sweep --backend {} --dry-run")


@pytest.mark.parametrize("words", WORDS)
def test_a_socket_that_is_missing_is_told_alike(
    command: RunCommand, private: Path, words: str
) -> None:
    path = private / "none.sock"
    ended = command(*words.format(path).split())
    assert (ended.status, ended.stderr) == (
        2,
        f"pyfio-virtio: cannot use the back-end at {path}: there is no such socket; start the "
        "back-end there, or name the socket of one that runs\n",
    )


@pytest.fixture
def closed(qsd: StartBackend, private: Path) -> Iterator[str]:
    """A socket of root, while this process has the rights of another user."""
    path = qsd().socket
    private.chmod(0o711)
    Path(path).chmod(0o600)
    os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        # The command reads its own files as that user.
        if not os.access(__file__, os.R_OK, effective_ids=True):
            pytest.skip("other users may not enter the folder of this checkout")
        yield path
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("words", ["probe {}", "verify -s {} --yes"])
def test_a_socket_of_another_user_is_told_as_in_sweep(
    main_here: RunCommand, closed: str, words: str
) -> None:
    for check in (unix_sockets.check_served, unix_sockets.check_present):
        with pytest.raises(UsageError, match="the socket belongs to root; run as root") as said:
            check(closed)
        ended = main_here(*words.format(closed).split())
        assert (ended.status, ended.stderr) == (2, f"pyfio-virtio: {said.value}\n")

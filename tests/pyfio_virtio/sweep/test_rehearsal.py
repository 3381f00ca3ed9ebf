# SPDX-License-Identifier: GPL-2.0-or-later
"""sweep/rehearsal.py: the engine begins jobs, and nothing is read, written or run."""

import socket as sockets
from dataclasses import replace
from pathlib import Path

import pytest

from pyfio_virtio.errors import UsageError
from pyfio_virtio.sweep.points import resolve
from pyfio_virtio.sweep.rehearsal import covering, rehearse
from pyfio_virtio.sweep.settings import Settings
from tests.conftest import StartBackend
from tests.pyfio_virtio.sweep.test_run import TINY


def settings(**options: str) -> Settings:
    given = {name: tuple(value.split(";")) for name, value in options.items()}
    return replace(TINY, options={**TINY.options, **given})


def test_each_value_is_in_one_of_a_few_points() -> None:
    asked = settings(wait="event;busy;adaptive", iodepth="1;2;4", bs="4k;8k")
    points = resolve(replace(asked, controls=True)).points()
    chosen = list(covering(points))
    assert len(points) == 18 + 2
    assert len(chosen) == 1 + 2 + 2 + 1
    assert [new for _, new in chosen[1:]] == [
        *([("bs", "8k")], [("iodepth", "2")], [("iodepth", "4")]),
        *([("wait", "busy")], [("wait", "adaptive")]),
    ]


@pytest.mark.parametrize("backend", ["builtin", "qsd"])
@pytest.mark.parametrize(
    "options",
    [
        {"rw": "randread;randwrite;randtrim"},
        {"numjobs": "1;2"},
        {"wait": "event;busy", "hugepages": "auto;off", "event_idx": "on;off"},
    ],
)
def test_what_works_is_not_refused(private: Path, backend: str, options: dict[str, str]) -> None:
    rehearse(resolve(replace(settings(**options), backend=(backend,))))
    assert list((private / "pyfio-virtio").iterdir()) == []


def test_a_disk_of_somebody_is_not_written_to(private: Path, builtin: StartBackend) -> None:
    file = private / "file"
    file.write_bytes(b"x" * (1 << 20))
    socket = builtin(storage=f"file:{file}").socket
    rehearse(resolve(replace(settings(rw="randwrite;randtrim"), backend=(socket,))))
    assert set(file.read_bytes()) == {ord("x")}


def test_no_file_is_made_and_no_command_runs(private: Path) -> None:
    made = private / "made"
    asked = settings(exec_prerun=f"touch {made}", write_bw_log=f"{made}", startdelay="1000")
    harmful = (f"stats-file={made}", "clients=1")
    asked = replace(asked, storage=f"file:{made}", backend_option=harmful)
    rehearse(resolve(asked))
    assert [path.name for path in private.iterdir()] == ["pyfio-virtio"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"queue_size": "64;3"}, "cannot measure queue_size=3: it must be a power of two"),
        ({"queue_size": "3"}, "cannot measure queue_size=3: it must be a power of two"),
        ({"bs": "4k;100"}, "cannot measure bs=100: the device has blocks of 512 bytes"),
        ({"device": "blk;scsi", "scsi_lun": "5"}, "cannot measure .*scsi_lun"),
    ],
)
def test_what_the_engine_refuses_is_named(
    private: Path, options: dict[str, str], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        rehearse(resolve(settings(**options)))
    assert list((private / "pyfio-virtio").iterdir()) == []


def test_a_file_has_its_own_size(private: Path) -> None:
    """A job beyond the end of an existing file is refused, whatever --disk-size says."""
    file = private / "file"
    file.write_bytes(bytes(1 << 20))
    beyond = settings(offset="2m")
    with pytest.raises(UsageError, match="offset"):
        rehearse(resolve(replace(beyond, storage=f"file:{file}", disk_size="16M")))
    rehearse(resolve(replace(beyond, disk_size="16M")))


def test_a_busy_back_end_is_named_with_what_to_do(private: Path) -> None:
    path = private / "busy"
    with sockets.socket(sockets.AF_UNIX) as listener, sockets.socket(sockets.AF_UNIX) as other:
        listener.bind(str(path))
        listener.listen(0)
        other.connect(str(path))
        asked = replace(settings(connect_timeout="1"), backend=(str(path),))
        with pytest.raises(UsageError) as refused:
            rehearse(resolve(asked))
    assert f" on {path}: the back-end does not accept connections" in str(refused.value)
    assert str(refused.value).endswith("(kill -CONT), or start it again")

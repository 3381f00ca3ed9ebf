# SPDX-License-Identifier: GPL-2.0-or-later
"""backend_records.py: what list and stop go by."""

from pathlib import Path

import pytest

from pyfio_virtio import backend_records as records
from pyfio_virtio.errors import UsageError
from pyfio_virtio.folders import make_state_folder
from tests.conftest import StartBackend


def test_a_record_saved_is_the_record_loaded(qsd: StartBackend) -> None:
    record = records.Record("disk", qsd())
    records.save(record)
    assert records.load_all() == [record]


def test_a_torn_file_is_passed_over(private: Path) -> None:
    (make_state_folder() / "torn.json").write_text('{"pid": 1')
    assert records.load_all() == []


def test_without_a_folder_there_are_no_records(private: Path) -> None:
    assert records.load_all() == []


def test_stopping_ends_the_back_end_and_forgets_it(qsd: StartBackend) -> None:
    record = records.Record("disk", qsd())
    records.save(record)
    records.stop(record)
    assert not record.backend.is_running()
    assert records.load_all() == []


def test_names_count_up(qsd: StartBackend) -> None:
    records.save(records.Record("qsd-0", qsd()))
    assert records.free_name("qsd") == "qsd-1"


def test_a_name_in_use_is_refused(qsd: StartBackend) -> None:
    records.save(records.Record("disk", qsd()))
    with pytest.raises(UsageError, match="disk"):
        records.check_name("disk")


@pytest.mark.parametrize("name", ["", "../x", "a b", "a.b"])
def test_a_name_that_is_a_path_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        records.check_name(name)


def test_an_unknown_name_tells_the_known_ones(qsd: StartBackend) -> None:
    records.save(records.Record("disk", qsd()))
    with pytest.raises(UsageError, match="there are: disk"):
        records.find("dusk")


def test_a_disk_in_memory_is_scratch(qsd: StartBackend) -> None:
    disk = qsd()
    records.save(records.Record("disk", disk))
    assert records.is_scratch_disk(disk.socket)


def test_a_disk_in_a_file_is_not(qsd: StartBackend, private: Path) -> None:
    disk = qsd(storage=f"file:{private / 'img'}", size_bytes=1 << 20)
    records.save(records.Record("disk", disk))
    assert not records.is_scratch_disk(disk.socket)


def test_a_disk_of_somebody_elses_is_not(qsd: StartBackend) -> None:
    assert not records.is_scratch_disk(qsd().socket)

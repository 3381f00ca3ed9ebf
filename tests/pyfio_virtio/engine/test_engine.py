# SPDX-License-Identifier: GPL-2.0-or-later
"""engine/engine.py: the shared object as Python sees it."""

import subprocess
from pathlib import Path

import pytest

from pyfio_virtio.engine import engine
from pyfio_virtio.errors import MachineError, PyfioVirtioError
from tests.conftest import StartBackend


def test_the_engine_names_the_fio_it_serves() -> None:
    assert engine.fio_release().startswith("fio-3.")


def test_another_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / engine.NAME).touch()
    monkeypatch.setenv(engine.FOLDER_VARIABLE, str(tmp_path))
    assert engine.folder() == tmp_path


def test_a_folder_without_the_engine_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(engine.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(MachineError, match="make"):
        engine.folder()


def test_a_library_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "nothing.c"
    source.write_text("int nothing;\n")
    missing = tmp_path / "libpyfio_missing.so.9"
    shared = ("gcc", "-shared", "-fPIC", str(source))
    soname = f"-Wl,-soname,{missing.name}"
    subprocess.run([*shared, soname, "-o", str(missing)], check=True)
    linked = ("-Wl,--no-as-needed", str(missing), "-o", str(tmp_path / engine.NAME))
    subprocess.run([*shared, *linked], check=True)
    missing.unlink()
    monkeypatch.setenv(engine.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(MachineError, match=f"install the package that has {missing.name}"):
        engine.load(engine.NAME)


@pytest.mark.parametrize("wish", [{"queues": 4}, {"size_bytes": 1 << 20}, {"block_size": 4096}])
def test_a_back_end_is_described_as_it_was_started(qsd: StartBackend, wish: dict[str, int]) -> None:
    names = {"queues": "max_queues", "size_bytes": "capacity_bytes"}
    info = engine.describe(qsd(**wish).socket, timeout_s=5)
    for name, value in wish.items():
        assert getattr(info, names.get(name, name)) == value


def test_a_read_only_disk_is_described_so(qsd: StartBackend) -> None:
    assert engine.describe(qsd(read_only=True).socket, timeout_s=5).read_only


def test_a_back_end_can_be_asked_again(qsd: StartBackend) -> None:
    disk = qsd()
    assert engine.describe(disk.socket, 5) == engine.describe(disk.socket, 5)


def test_what_fails_is_told_in_the_engines_sentence(private: Path) -> None:
    with pytest.raises(PyfioVirtioError, match=str(private / "nobody")):
        engine.describe(str(private / "nobody"), 5)


def test_a_virtio_blk_device_tells_its_id(builtin: StartBackend) -> None:
    info = engine.describe(builtin().socket, 5)
    assert (info.id, info.disks) == ("pyfio-virtio-blk", ())


def test_a_lone_disk_behind_a_controller_is_listed(builtin: StartBackend) -> None:
    info = engine.describe(builtin(options=("device=scsi",), size_bytes=1 << 20).socket, 5)
    [disk] = info.disks
    assert (disk.target, disk.lun, disk.capacity_bytes) == (0, 0, 1 << 20)
    assert disk.vendor
    assert disk.vendor in info.id

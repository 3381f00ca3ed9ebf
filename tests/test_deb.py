# SPDX-License-Identifier: GPL-2.0-or-later
"""The folder that `make deb` empties before it builds (tests/packages tries the packages)."""

from pathlib import Path

import deb
import project
import pytest

OUTPUT = (
    "build.output",
    "libpyfio-virtio-dev_1.0_amd64.deb",
    "libpyfio-virtio0-dbgsym_1.0_amd64.deb",
    "libpyfio-virtio0_1.0_amd64.deb",
    "pyfio-virtio-1.0",
    "pyfio-virtio_1.0_amd64.buildinfo",
    "pyfio-virtio_1.0_amd64.changes",
)


@pytest.mark.parametrize("name", ["notes", "pyfio-virtio", ".git", "other_1.0_amd64.deb"])
def test_a_folder_with_other_files_is_refused(name: str, tmp_path: Path) -> None:
    for each in (*OUTPUT, name):
        (tmp_path / each).write_text("")
    with pytest.raises(deb.DebError, match=f"other files .{name}"):
        deb.refuse_other_contents(tmp_path)


def test_the_output_of_an_earlier_build_is_replaced(tmp_path: Path) -> None:
    for each in OUTPUT:
        (tmp_path / each).write_text("")
    deb.refuse_other_contents(tmp_path)
    deb.refuse_other_contents(tmp_path / "missing")


@pytest.mark.parametrize("folder", [project.ROOT, project.ROOT.parent, Path("/")])
def test_the_sources_are_never_removed(folder: Path) -> None:
    with pytest.raises(deb.DebError, match="holds the sources"):
        deb.refuse_other_contents(folder)


def test_a_file_and_a_link_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    for name in ("file", "link"):
        with pytest.raises(deb.DebError, match="is no folder"):
            deb.refuse_other_contents(tmp_path / name)


def test_a_failure_is_told_in_our_own_sentence_if_there_is_one() -> None:
    ours = ["fio_headers: no sources; set FIO_SOURCE_DIR", "make: *** [debian/rules] Error 2"]
    assert deb.cause(ours) == "no sources; set FIO_SOURCE_DIR"
    assert deb.cause(ours[1:]) == f"dpkg-buildpackage failed:\n{ours[1]}"

# SPDX-License-Identifier: GPL-2.0-or-later
"""The folder that `make deb` empties before it builds (tests/packages tries the packages)."""

import errno
import os
import shutil
import subprocess
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
    "pyfio-virtio-engine_1.0_amd64.deb",
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
    for each in {*OUTPUT, *(f"{name}_1.0_amd64.deb" for name in deb.names())}:
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


@pytest.mark.parametrize(
    ("function", "said"),
    [("rmtree", "cannot remove what an earlier build has made: "), ("copytree", "")],
)
def test_a_folder_of_another_user_is_told_in_one_sentence(
    function: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refused(*_: object, **more: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "of_root"))

    monkeypatch.setattr(shutil, function, refused)
    monkeypatch.setattr("sys.argv", ["deb.py", str(tmp_path)])
    assert deb.main() == 1
    assert capsys.readouterr().err.startswith(f"deb: {said}{tmp_path}/of_root: Permission denied")


def test_a_file_that_cannot_be_copied_is_named(tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "pipe").symlink_to("missing")
    with pytest.raises(shutil.Error) as caught:
        shutil.copytree(tmp_path / "from", tmp_path / "to")
    assert "No such file" in deb.in_words(caught.value)
    assert deb.in_words(caught.value).endswith("/from/pipe'")


def test_the_packages_are_built_for_the_fio_of_debian() -> None:
    line = ["make", "--dry-run", "--file", "debian/rules", "override_dh_auto_build"]
    env = {**os.environ, "FIO": "another"}
    done = subprocess.run(line, cwd=project.ROOT, env=env, capture_output=True, text=True)
    assert " FIO=/usr/bin/fio " in done.stdout

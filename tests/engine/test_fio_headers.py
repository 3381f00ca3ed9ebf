# SPDX-License-Identifier: GPL-2.0-or-later
"""Where fio's headers come from: the real apt-get, in folders of its own."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import fio_headers
import pytest
from fio_headers import Archive, HeadersError, SourceFile

ROOT = Path(__file__).resolve().parent.parent.parent
LISTING = """\
'http://mirror/fio_3.33-3.dsc' fio_3.33-3.dsc 2415 SHA256:0a
'http://mirror/fio_3.33.orig.tar.gz' fio_3.33.orig.tar.gz 6185325 SHA256:0b
'http://mirror/fio_3.33.orig.tar.gz.asc' fio_3.33.orig.tar.gz.asc 858 SHA256:0c
'http://mirror/fio_3.33-3.debian.tar.xz' fio_3.33-3.debian.tar.xz 22064 SHA256:0d
"""
needs_apt = pytest.mark.skipif(shutil.which("apt-get") is None, reason="this system has no apt-get")


def test_upstreams_tarball_is_picked() -> None:
    assert fio_headers.original_tarball(LISTING) == SourceFile(
        "http://mirror/fio_3.33.orig.tar.gz", "fio_3.33.orig.tar.gz", "SHA256:0b"
    )


def test_a_listing_without_a_tarball_gives_none() -> None:
    assert fio_headers.original_tarball("'http://mirror/fio_1.dsc' fio_1.dsc 1 SHA256:0a\n") is None


def test_a_source_line_names_archive_and_suite() -> None:
    line = Archive("http://mirror/debian/", "bookworm", "main", "Debian").source_line()
    assert line.startswith("deb-src ")
    assert line.endswith(" http://mirror/debian/ bookworm main\n")


def test_a_file_with_another_checksum_is_refused_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "fio_3.33.orig.tar.gz"
    path.write_bytes(b"forged")
    with pytest.raises(HeadersError, match="checksum"):
        fio_headers.verify(path, "SHA256:" + hashlib.sha256(b"real").hexdigest())
    assert not path.exists()


def test_a_tarball_loses_its_top_folder(tmp_path: Path) -> None:
    (tmp_path / "fio-9" / "os").mkdir(parents=True)
    (tmp_path / "fio-9" / "os" / "os.h").write_text("os")
    tarball = tmp_path / "fio_9.orig.tar.gz"
    subprocess.run(["tar", "-czf", tarball, "-C", tmp_path, "fio-9"], check=True)
    fio_headers.unpack(tarball, tmp_path / "tree")
    assert (tmp_path / "tree" / "os" / "os.h").read_text() == "os"
    assert not tarball.exists()


def test_a_broken_tarball_leaves_no_tree(tmp_path: Path) -> None:
    tarball = tmp_path / "fio_9.orig.tar.gz"
    tarball.write_bytes(b"not a tarball")
    with pytest.raises(HeadersError, match="tar failed"):
        fio_headers.unpack(tarball, tmp_path / "tree")
    assert not (tmp_path / "tree").exists()


def test_the_release_is_what_fio_says_of_itself() -> None:
    tree = fio_headers.tree_of_installed(ROOT / "build")
    assert fio_headers.release_of(tree) == fio_headers.installed_release()


@pytest.mark.parametrize("content", [None, "empty"])
def test_fio_source_dir_without_sources_is_refused(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "fio"
    if content:
        folder.mkdir()
    monkeypatch.setenv("FIO_SOURCE_DIR", str(folder))
    with pytest.raises(HeadersError, match="holds no sources of fio"):
        fio_headers.configured_tree(tmp_path / "build")


def test_a_configure_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ioengines.h").touch()
    (tmp_path / "configure").write_text("echo no compiler here\nexit 1\n")
    monkeypatch.setenv("FIO_SOURCE_DIR", str(tmp_path))
    with pytest.raises(HeadersError, match="no compiler here"):
        fio_headers.configured_tree(tmp_path / "build")
    assert not (tmp_path / "config-host.h").exists()


def test_without_fio_the_remedy_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "engine" / "fio_headers.py", "--build", tmp_path],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "fio is not installed: run make install-packages" in done.stderr
    assert "FIO_SOURCE_DIR" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@needs_apt
def test_apt_is_given_folders_of_its_own_and_no_hooks(tmp_path: Path) -> None:
    environment = fio_headers.private_apt(tmp_path, ["deb-src http://mirror/ sid main\n"])
    listing = ["apt-config", "dump"]
    dump = subprocess.run(listing, env=environment, capture_output=True, text=True, check=True)
    lines = dump.stdout.splitlines()
    for name in ("Dir::State::lists", "Dir::Cache", "Dir::Etc::sourcelist", "Dir::Etc::parts"):
        assert any(line.lower().startswith(f'{name} "{tmp_path}'.lower()) for line in lines), (
            f"{name} is the system's"
        )
    assert not any("Post-Invoke" in line for line in lines)


def fingerprint(*folders: str) -> set[tuple[str, int, int]]:
    """Every file below the folders, with its size and time of change."""
    return {
        (str(path), path.lstat().st_size, path.lstat().st_mtime_ns)
        for folder in folders
        for path in Path(folder).rglob("*")
    }


@needs_apt
def test_fetching_changes_nothing_of_the_systems(tmp_path: Path) -> None:
    system = ("/etc/apt", "/var/lib/apt/lists", "/var/cache/apt")
    before = fingerprint(*system)
    environment = {**os.environ, "FIO_SOURCE_DIR": ""}
    done = subprocess.run(
        [sys.executable, ROOT / "engine" / "fio_headers.py", "--build", tmp_path],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert fingerprint(*system) == before
    if done.returncode:
        pytest.skip(f"no sources to be had here: {done.stderr.strip()}")
    tree = Path(done.stdout.strip())
    assert (tree / "config-host.h").exists()
    assert [path.name for path in tmp_path.iterdir()] == [tree.name]


@needs_apt
def test_a_release_that_is_not_to_be_had_has_a_status_of_its_own(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, ROOT / "engine" / "fio_headers.py", "--build", tmp_path),
            *("--release", "fio-0.1", "--suite", "no-such-suite"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == fio_headers.EXIT_UNAVAILABLE
    assert "fio-0.1 cannot be had from Debian no-such-suite" in done.stderr
    assert list(tmp_path.iterdir()) == []

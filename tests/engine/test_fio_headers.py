# SPDX-License-Identifier: GPL-2.0-or-later
"""Where fio's headers come from: the real apt-get, in folders of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import fio_headers
import pytest
from fio_headers import Archive, HeadersError

from tests.engine import source_package
from tests.engine.source_package import PATCHED, RELEASE, UPSTREAM, VERSION, LocalArchive

ROOT = Path(__file__).resolve().parent.parent.parent
needs_apt = pytest.mark.skipif(shutil.which("apt-get") is None, reason="this system has no apt-get")
needs_dpkg = pytest.mark.skipif(
    shutil.which("apt-get") is None or shutil.which("dpkg-source") is None,
    reason="this system has no apt-get, or no dpkg-source",
)


def test_a_source_line_names_archive_and_suite() -> None:
    line = Archive("http://mirror/debian/", "bookworm", "main", "Debian").source_line()
    assert line.startswith("deb-src ")
    assert line.endswith(" http://mirror/debian/ bookworm main\n")


@pytest.fixture
def archive(tmp_path: Path) -> LocalArchive:
    return source_package.make_archive(tmp_path)


@pytest.fixture
def build(tmp_path: Path) -> Path:
    folder = tmp_path / "build"
    folder.mkdir()
    return folder


def fetch_patched(archive: LocalArchive, build: Path) -> Path:
    tree = build / "tree"
    fio_headers.fetch_patched(VERSION, RELEASE, [archive.source_line()], tree)
    return tree


@needs_dpkg
def test_the_distributions_patches_are_applied(archive: LocalArchive, build: Path) -> None:
    tree = fetch_patched(archive, build)
    assert (tree / "thread_options.h").read_text() == PATCHED
    assert list(build.iterdir()) == [tree]


@needs_dpkg
def test_upstreams_sources_are_without_them(archive: LocalArchive, build: Path) -> None:
    tree = build / "tree"
    fio_headers.fetch_upstream(RELEASE, [archive.source_line()], tree)
    assert (tree / "thread_options.h").read_text() == UPSTREAM
    assert list(build.iterdir()) == [tree]


@needs_dpkg
@pytest.mark.parametrize("ending", [".orig.tar.gz", ".debian.tar.xz", ".dsc"])
def test_a_file_unlike_the_archives_index_is_refused(
    ending: str, archive: LocalArchive, build: Path
) -> None:
    path = archive.file(ending)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(HeadersError, match="apt-get failed"):
        fetch_patched(archive, build)
    assert list(build.iterdir()) == []


@needs_dpkg
def test_another_version_of_the_package_is_refused(archive: LocalArchive, build: Path) -> None:
    with pytest.raises(HeadersError, match="apt-get failed"):
        fio_headers.fetch_patched("9.9-2", RELEASE, [archive.source_line()], build / "tree")
    assert list(build.iterdir()) == []


@needs_dpkg
def test_another_release_of_upstreams_is_refused(archive: LocalArchive, build: Path) -> None:
    with pytest.raises(
        HeadersError, match=r"has fio_9\.9\.orig\.tar\.gz, but not the sources of fio-9\.8"
    ):
        fio_headers.fetch_upstream("fio-9.8", [archive.source_line()], build / "tree")
    assert list(build.iterdir()) == []


@needs_apt
def test_without_dpkg_source_the_remedy_is_named(
    build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(build))
    with pytest.raises(HeadersError, match="install the Debian package dpkg-dev"):
        fio_headers.fetch_patched(VERSION, RELEASE, [], build / "tree")


@pytest.fixture
def installed(archive: LocalArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package of that archive is the installed fio."""
    monkeypatch.setattr(fio_headers, "installed_release", lambda program: RELEASE)
    monkeypatch.setattr(fio_headers, "installed_package_version", lambda *of: VERSION)
    monkeypatch.setattr(fio_headers, "known_archives", lambda: [archive])


@needs_dpkg
def test_the_installed_packages_tree_bears_its_full_version(installed: None, build: Path) -> None:
    assert fio_headers.tree_of_installed(build) == build / "fio_9.9-1"


@needs_dpkg
def test_an_unpatched_tree_of_the_release_is_not_taken_for_it(installed: None, build: Path) -> None:
    unpatched = build / RELEASE
    unpatched.mkdir()
    (unpatched / "thread_options.h").write_text(UPSTREAM)
    tree = fio_headers.tree_of_installed(build)
    assert (tree / "thread_options.h").read_text() == PATCHED


@needs_dpkg
def test_a_tree_that_is_there_is_not_fetched_again(
    installed: None, archive: LocalArchive, build: Path
) -> None:
    tree = fio_headers.tree_of_installed(build)
    shutil.rmtree(archive.folder)
    assert fio_headers.tree_of_installed(build) == tree


@needs_dpkg
def test_upstreams_sources_are_taken_if_only_those_are_left(
    installed: None, archive: LocalArchive, build: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.file(".dsc").unlink()
    tree = fio_headers.tree_of_installed(build)
    assert (tree / "thread_options.h").read_text() == UPSTREAM
    assert "are used, without the distribution's patches" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "package"),
    [
        ("/usr/bin/fio", "fio"),
        ("/usr/bin/moved", "diverter"),  # the diverter's own file is in that place
        ("/usr/bin/moved.real", "fio-moved"),
        ("/usr/bin/mine", ""),
        ("/usr/local/bin/fio", ""),
    ],
)
def test_the_package_of_a_file_is_found(
    path: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_diverter = [
        *("diversion by diverter from: /usr/bin/moved",),
        *("diversion by diverter to: /usr/bin/moved.real",),
    ]
    mine = ["local diversion from: /usr/bin/mine", "local diversion to: /usr/bin/mine.real"]
    known = {
        "/usr/bin/fio": ["fio: /usr/bin/fio"],
        "/usr/bin/moved": [*by_diverter, "diverter, fio-moved: /usr/bin/moved"],
        "/usr/bin/moved.real": by_diverter,
        "/usr/bin/mine": [*mine, "fio: /usr/bin/mine"],
    }
    monkeypatch.setattr(fio_headers, "files_of_packages", lambda of: known.get(str(of), []))
    assert fio_headers.package_of(Path(path)) == package


@needs_dpkg
def test_a_tree_says_which_package_it_comes_from(archive: LocalArchive, build: Path) -> None:
    assert fio_headers.origin_of(fetch_patched(archive, build)) == "source package fio 9.9-1"


def test_a_tree_of_ones_own_says_where_it_lies(tmp_path: Path) -> None:
    assert fio_headers.origin_of(tmp_path) == f"sources in {tmp_path}"


@pytest.mark.parametrize(
    ("version", "upstream"),
    [("3.33-3", "3.33"), ("1:3.39-1+deb13u1", "3.39"), ("3.28+dfsg-1", "3.28"), ("3.41", "3.41")],
)
def test_a_packages_version_holds_upstreams(version: str, upstream: str) -> None:
    assert fio_headers.upstream_version(version) == upstream


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
    with pytest.raises(HeadersError, match="has no sources of fio"):
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
    assert "fio-0.1 cannot be fetched from Debian no-such-suite" in done.stderr
    assert list(tmp_path.iterdir()) == []

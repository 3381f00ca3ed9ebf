# SPDX-License-Identifier: GPL-2.0-or-later
"""make release, in a clone of a small repository whose packages are a line long."""

import datetime
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

VERSION = "7.8.9"
PACKAGE = 'grep "^version" pyproject.toml > "$RELEASE_FOLDER/package"'
DEB = 'echo deb > "$RELEASE_FOLDER/deb"'
CHANGED = (
    "# Changelog\n\n## Unreleased\n\n### Added\n\n- A thing.\n\n## 7.8.8 - 2020-01-02\n\n- Old.\n"
)


class Clone:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def git(self, *arguments: str) -> str:
        who = ("-c", "user.name=Test", "-c", "user.email=test@localhost")
        done = subprocess.run(
            ["git", *who, *arguments], cwd=self.folder, capture_output=True, text=True, check=True
        )
        return done.stdout

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
        self.git("add", name)
        self.git("commit", "-m", f"Write {name}")

    def release(self, version: str, *builds: str) -> "subprocess.CompletedProcess[str]":
        """With the commands of the Makefile replaced."""
        python, deb = (text.replace("$", "$$") for text in (builds[0], builds[-1]))
        replaced = [f"RELEASE_PYTHON={python}", f"RELEASE_DEB={deb}"]
        return subprocess.run(
            ["make", "-s", "release", f"VERSION={version}", *replaced],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def state(self) -> tuple[str, ...]:
        """All that a release changes, and the work trees."""
        looks = (("status", "--porcelain"), ("for-each-ref",), ("worktree", "list"))
        hidden = [str(path) for path in (self.folder / "build").glob(".release-*")]
        return (*(self.git(*look) for look in looks), *hidden)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    folder = tmp_path / "clone"
    (folder / "tools").mkdir(parents=True)
    tools = ("tools/project.py", "tools/release.py")
    for name in ("Makefile", "pyproject.toml", "setup.py", ".gitignore", *tools):
        shutil.copy(ROOT / name, folder / name)
    for part in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{part}_NAME", "Test")
        monkeypatch.setenv(f"GIT_{part}_EMAIL", "test@localhost")
    made = Clone(folder)
    made.git("init", "--quiet", "--initial-branch=main")
    made.git("add", "--all")
    made.write("CHANGELOG.md", CHANGED)
    return made


def refused(clone: Clone, version: str, *builds: str) -> str:
    """The one sentence; nothing has changed."""
    before = clone.state()
    done = clone.release(version, *(builds or (PACKAGE, DEB)))
    assert done.returncode, done.stdout
    assert clone.state() == before
    assert not (clone.folder / "build" / "release").exists()
    [said] = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert said.startswith("release: ")
    return said


def test_a_release_is_a_commit_a_tag_and_packages_with_their_sums(clone: Clone) -> None:
    done = clone.release(VERSION, PACKAGE, DEB)
    assert done.returncode == 0, done.stderr
    today = datetime.datetime.now(datetime.UTC).date()
    changelog = (clone.folder / "CHANGELOG.md").read_text()
    assert f"## Unreleased\n\n## {VERSION} - {today}\n\n### Added\n" in changelog
    assert f'version = "{VERSION}"' in (clone.folder / "pyproject.toml").read_text()
    assert clone.git("log", "-1", "--format=%s") == f"Release {VERSION}\n"
    assert clone.git("rev-parse", f"v{VERSION}^{{}}") == clone.git("rev-parse", "main")
    assert clone.git("status", "--porcelain") == ""
    folder = clone.folder / "build" / "release"
    assert (folder / "package").read_text() == f'version = "{VERSION}"\n'
    sums = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("deb", "package")
    }
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    assert lines == [f"{sums[name]}  {name}" for name in sorted(sums)]
    assert len(clone.git("worktree", "list").splitlines()) == 1
    assert "Nothing was pushed" in done.stdout


def test_changes_that_are_not_committed_are_refused(clone: Clone) -> None:
    (clone.folder / "new").touch()
    assert "the work tree has changes" in refused(clone, VERSION)


@pytest.mark.parametrize("version", ["1.2", "v1.2.3", "1.2.3rc1", ""])
def test_what_is_no_version_is_refused(clone: Clone, version: str) -> None:
    assert "is no version" in refused(clone, version)


def test_a_version_below_the_projects_is_refused(clone: Clone) -> None:
    assert "is lower than" in refused(clone, "0.0.9")


def test_a_version_that_is_not_above_a_released_one_is_refused(clone: Clone) -> None:
    clone.git("tag", "v7.10.0")
    assert "not higher than 7.10.0, which was released" in refused(clone, VERSION)


def test_a_tag_that_exists_is_refused(clone: Clone) -> None:
    clone.git("tag", f"v{VERSION}")
    assert f"the tag v{VERSION} exists" in refused(clone, VERSION)


def test_a_changelog_that_says_nothing_is_refused(clone: Clone) -> None:
    clone.write("CHANGELOG.md", CHANGED.replace("- A thing.\n", ""))
    assert "Unreleased of CHANGELOG.md is empty" in refused(clone, VERSION)


def test_a_changelog_without_the_section_is_refused(clone: Clone) -> None:
    clone.write("CHANGELOG.md", CHANGED.replace("Unreleased", "Soon"))
    assert "has no section Unreleased" in refused(clone, VERSION)


@pytest.mark.parametrize(
    ("build", "said"), [("exit 3", "this failed with 3"), ("true", "this wrote no package")]
)
def test_a_step_that_fails_leaves_everything_as_it_was(clone: Clone, build: str, said: str) -> None:
    assert said in refused(clone, VERSION, PACKAGE, build)


def test_a_branch_that_moved_meanwhile_is_kept_without_a_tag(clone: Clone) -> None:
    commit = f"git -C {clone.folder} commit --quiet --allow-empty -m Meanwhile"
    moved = f"{commit}; touch $RELEASE_FOLDER/package"
    done = clone.release(VERSION, moved, DEB)
    assert done.returncode
    assert "git merge failed" in done.stderr
    assert clone.git("log", "-1", "--format=%s") == "Meanwhile\n"
    assert clone.git("tag") == ""
    assert len(clone.git("worktree", "list").splitlines()) == 1


def test_an_interrupt_after_the_merge_comes_too_late(clone: Clone) -> None:
    hook = clone.folder / ".git" / "hooks" / "post-merge"
    # The parent of the hook is git, whose parent is release.py.
    hook.write_text("#!/bin/sh\nkill -s INT $(awk '/^PPid/ { print $2 }' /proc/$PPID/status)\n")
    hook.chmod(0o755)
    done = clone.release(VERSION, PACKAGE, DEB)
    assert done.returncode == 0, done.stderr
    assert clone.git("tag") == f"v{VERSION}\n"
    assert (clone.folder / "build" / "release" / "deb").exists()


def test_the_former_packages_come_back_if_the_branch_cannot_move(clone: Clone) -> None:
    former = clone.folder / "build" / "release"
    former.mkdir(parents=True)
    (former / "old").touch()
    changed = f"echo changed >> {clone.folder}/CHANGELOG.md; touch $RELEASE_FOLDER/package"
    assert clone.release(VERSION, changed, DEB).returncode
    assert [each.name for each in former.iterdir()] == ["old"]
    assert clone.git("tag") == ""


def test_a_file_that_is_missing_is_one_sentence(clone: Clone) -> None:
    clone.git("rm", "--quiet", "CHANGELOG.md")
    clone.git("commit", "--quiet", "-m", "Remove it")
    assert "No such file or directory: 'CHANGELOG.md', so nothing changed" in refused(
        clone, VERSION
    )

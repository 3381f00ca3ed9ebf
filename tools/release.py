# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes a release in this checkout: the commit, the tag, and the packages in build/release/.

    python3 tools/release.py VERSION BUILD...

Each BUILD is a command that writes packages into the folder $RELEASE_FOLDER; it runs in a second
work tree, in which the commit is made. build/release/, the tag and the branch come last, when all
commands have succeeded, and a step that fails leaves everything as it was. Nothing is pushed.
docs/releasing.md says what to do before and after. `make release` calls this file.
"""

import datetime
import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import project

CHANGELOG, PROJECT = Path("CHANGELOG.md"), Path("pyproject.toml")
RELEASES = Path("build") / "release"
SUMS = "SHA256SUMS"
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_VERSION_LINE = re.compile(r'^version = ".*"$', re.MULTILINE)
_UNRELEASED = re.compile(r"^## Unreleased\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


class ReleaseError(Exception):
    """The message is a sentence for people."""


def git(*arguments: str, folder: Path = Path()) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ReleaseError(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()


# ---- what is checked first -----------------------------------------------------------------------


def numbers(version: str) -> tuple[int, ...]:
    found = _VERSION.fullmatch(version)
    if not found:
        raise ReleaseError(f"{version!r} is no version: give three numbers, such as 1.2.3")
    return tuple(map(int, found.groups()))


def check(version: str) -> None:
    """Refuses what cannot become a release, before anything is made."""
    wanted = numbers(version)
    if git("status", "--porcelain"):
        raise ReleaseError("the work tree has changes: commit or remove them (git status)")
    if not git("branch", "--show-current"):
        raise ReleaseError("no branch is checked out, and the release is a commit on one")
    tags = git("tag", "--list", "v*").split()
    if f"v{version}" in tags:
        raise ReleaseError(f"the tag v{version} exists: choose a higher version")
    released = [tag[1:] for tag in tags if _VERSION.fullmatch(tag[1:])]
    for other in released:
        if numbers(other) >= wanted:
            raise ReleaseError(f"{version} is not higher than {other}, which was released")
    if numbers(present := project.version()) > wanted:
        raise ReleaseError(f"{version} is lower than {present} in {PROJECT}")
    with_version(PROJECT.read_text(), version)
    dated(CHANGELOG.read_text(), version)


def with_version(text: str, version: str) -> str:
    """The text of pyproject.toml with this version."""
    changed, lines = _VERSION_LINE.subn(f'version = "{version}"', text)
    if lines != 1:
        raise ReleaseError(f"{PROJECT} has {lines} lines such as: version = ..., and one is needed")
    return changed


def dated(changelog: str, version: str) -> str:
    """The changelog in which the section Unreleased is that of the version, and a new one empty."""
    found = _UNRELEASED.search(changelog)
    if not found:
        raise ReleaseError(f"{CHANGELOG} has no section Unreleased")
    if not re.search(r"^- ", found[1], re.MULTILINE):
        raise ReleaseError(f"the section Unreleased of {CHANGELOG} is empty: say what changed")
    today = datetime.datetime.now(datetime.UTC).date()
    heading = f"## Unreleased\n\n## {version} - {today}\n"
    return changelog[: found.start()] + heading + found[1] + changelog[found.end() :]


# ---- how it is made ------------------------------------------------------------------------------


@contextmanager
def second_tree() -> Iterator[Path]:
    """A work tree of the present commit, without a branch."""
    RELEASES.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=RELEASES.parent, prefix=".release-", ignore_cleanup_errors=True
    ) as folder:
        tree = Path(folder).resolve() / "tree"
        git("worktree", "add", "--quiet", "--detach", str(tree))
        try:
            yield tree
        finally:
            git("worktree", "remove", "--force", str(tree))


def commit(tree: Path, version: str) -> str:
    changelog, settings = tree / CHANGELOG, tree / PROJECT
    changelog.write_text(dated(changelog.read_text(), version))
    settings.write_text(with_version(settings.read_text(), version))
    git("commit", "--quiet", "--all", "-m", f"Release {version}", folder=tree)
    return git("rev-parse", "HEAD", folder=tree)


def build(tree: Path, commands: Sequence[str], folder: Path) -> None:
    folder.mkdir()
    for command in commands:
        print(f"release: {command}", flush=True)
        environment = {**os.environ, "RELEASE_FOLDER": str(folder)}
        # A variable of the first make, such as VERSION, is not meant for a make in this command.
        for name in ("MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "MAKELEVEL"):
            environment.pop(name, None)
        before = set(folder.iterdir())
        done = subprocess.run(["sh", "-ec", command], cwd=tree, env=environment, check=False)
        if done.returncode:
            raise ReleaseError(f"this failed with {done.returncode}, so nothing changed: {command}")
        if set(folder.iterdir()) == before:
            raise ReleaseError(f"this wrote no package, so nothing changed: {command}")
    files = sorted(folder.iterdir())
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (folder / SUMS).write_text("".join(sums))


def publish(version: str, made: str, folder: Path) -> None:
    """Moves the branch last, which fails if it or a file changed meanwhile; then all is undone.

    Here, ^C comes too late: git does not get it either.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tag = f"v{version}"
    with ExitStack() as undo:
        if RELEASES.exists():
            former = RELEASES.rename(folder.with_name("former"))
            undo.callback(former.rename, RELEASES)
        undo.callback(folder.rename(RELEASES).rename, folder)
        git("tag", "--annotate", "-m", f"Release {version}", tag, made)
        undo.callback(git, "tag", "--delete", tag)
        git("merge", "--quiet", "--ff-only", made)
        undo.pop_all()


def release(version: str, commands: Sequence[str]) -> None:
    check(version)
    with second_tree() as tree:
        made = commit(tree, version)
        folder = tree.with_name("packages")
        build(tree, commands, folder)
        publish(version, made, folder)
    print(f"v{version} is committed and tagged here, and its packages are in {RELEASES}.")
    print("Nothing was pushed; docs/releasing.md says what comes next.")


def main(arguments: Sequence[str]) -> int:
    try:
        if len(arguments) < 2:
            raise ReleaseError("give a version and the commands that build packages")
        release(arguments[0], arguments[1:])
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"release: {error}, so nothing changed", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("release: interrupted, so nothing changed", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds Debian's packages from a copy of this tree.

    python3 tools/deb.py FOLDER

The packages lie in FOLDER afterwards, together with a .buildinfo and a .changes file. The changelog
is made of CHANGELOG.md, and the maintainer is that of pyproject.toml. Two builds of the same tree
are equal: all times are SOURCE_DATE_EPOCH, or come from the newest release in CHANGELOG.md, or,
before the first one, from the last commit, or, in an unpacked archive, from that file.
"""

import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, time
from email.utils import format_datetime
from pathlib import Path

from project import CHANGELOG, ROOT, maintainer, newest_release, version

CONTROL = Path("debian") / "control"
NOT_COPIED = shutil.ignore_patterns(
    ".git", "build", "__pycache__", "*.egg-info", ".*_cache", ".hypothesis"
)


class DebError(Exception):
    """The message is a sentence for people."""


def release_time() -> datetime:
    if chosen := os.environ.get("SOURCE_DATE_EPOCH"):
        if not chosen.isdecimal():
            raise DebError(f"SOURCE_DATE_EPOCH={chosen} is no number of seconds")
        return datetime.fromtimestamp(int(chosen), tz=UTC)
    if dated := newest_release():
        return datetime.combine(dated, time(), tzinfo=UTC)
    return datetime.fromtimestamp(commit_time() or int(CHANGELOG.stat().st_mtime), tz=UTC)


def commit_time() -> int | None:
    line = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    try:
        return int(subprocess.run(line, capture_output=True, text=True, check=True).stdout)
    except (FileNotFoundError, subprocess.CalledProcessError):  # an unpacked archive
        return None


def changelog() -> str:
    """CHANGELOG.md has the changes in words, and is in the package too."""
    when = format_datetime(release_time())
    return (
        f"pyfio-virtio ({version()}) unstable; urgency=medium\n\n"
        f"  * Release {version()}: CHANGELOG.md lists the changes.\n\n"
        f" -- {maintainer()}  {when}\n"
    )


def names() -> list[str]:
    """Of all packages."""
    return re.findall("^Package: (.*)", (ROOT / CONTROL).read_text(), re.MULTILINE)


def refuse_other_contents(output: Path) -> None:
    """The folder is emptied, so it must hold nothing but the output of an earlier build."""
    if ROOT.is_relative_to(output.resolve()):
        raise DebError(f"{output} holds the sources: give a folder for the packages alone")
    if not os.path.lexists(output):
        return
    if not output.is_dir() or output.is_symlink():
        raise DebError(f"{output} is no folder: give a folder for the packages alone")
    packages = "|".join(map(re.escape, names()))
    ours = re.compile(rf"build\.output|({packages})(-dbgsym)?[-_]\d.*")
    if others := sorted(path.name for path in output.iterdir() if not ours.fullmatch(path.name)):
        raise DebError(
            f"{output} holds other files ({others[0]}): give a folder for packages alone"
        )


def build(output: Path) -> None:
    refuse_other_contents(output)
    remove_earlier(output)
    tree = output / f"pyfio-virtio-{version()}"
    # All copies are new, and dpkg-deb puts the release's time on files that are newer than it.
    shutil.copytree(ROOT, tree, symlinks=True, ignore=NOT_COPIED, copy_function=shutil.copy)
    control = tree / CONTROL
    control.write_text(control.read_text().replace("@MAINTAINER@", maintainer()))
    control.with_name("changelog").write_text(changelog())
    run_build(tree, output / "build.output")
    shutil.rmtree(tree)


def remove_earlier(output: Path) -> None:
    try:
        if output.exists():
            shutil.rmtree(output)
    except OSError as error:
        raise DebError(
            f"cannot remove what an earlier build has made: {in_words(error)}; remove {output} as "
            "the user who made it"
        ) from None


def in_words(error: OSError) -> str:
    if isinstance(error, shutil.Error):  # from copytree: a list of what it could not copy
        return str(error.args[0][0][2])
    return f"{error.filename}: {error.strerror}"


def run_build(tree: Path, log: Path) -> None:
    # debian/rules is a makefile too, in which variables from our own make's command line would win.
    ours = ("MAKEFLAGS", "MFLAGS")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    if sources := os.environ.get("FIO_SOURCE_DIR"):
        environment["FIO_SOURCE_DIR"] = str(Path(sources).absolute())
    with log.open("w") as written:
        done = subprocess.run(
            ["dpkg-buildpackage", "--build=binary", "--no-sign"],
            cwd=tree,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        raise DebError(f"{cause(log.read_text().splitlines())} (all output: {log})")


def cause(lines: list[str]) -> str:
    """What our own program says of fio's sources, which are what is missing most often."""
    ours = [line.partition(": ")[2] for line in lines if line.startswith("fio_headers: ")]
    return ours[-1] if ours else "\n".join(["dpkg-buildpackage failed:", *lines[-20:]])


def main() -> int:
    output = Path(sys.argv[1]).absolute()
    try:
        build(output)
    except OSError as error:
        print(f"deb: {in_words(error)}", file=sys.stderr)
        return 1
    except DebError as error:
        print(f"deb: {error}", file=sys.stderr)
        return 1
    for package in sorted(output.glob("*.deb")):
        print(package.relative_to(Path.cwd()) if package.is_relative_to(Path.cwd()) else package)
    return 0


if __name__ == "__main__":
    sys.exit(main())

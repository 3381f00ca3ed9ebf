# SPDX-License-Identifier: GPL-2.0-or-later
"""Installs pyfio-virtio below a prefix, and removes exactly what it installed.

    installer.py install --prefix DIR [--destdir DIR] [--libdir DIR] [--bundle DIR]
    installer.py uninstall --prefix DIR [--destdir DIR]

`make install` and debian/rules call this file when all that it needs lies below build/. It first
puts all files into a folder of their own (stage.py), so that whatever is missing is missed before
anything is changed. Each file then replaces its former version at once, so a job that runs keeps
the engine that it has loaded. The list of all files lies in the installed package, and only what is
on that list is ever replaced or removed. The list is written first, so that what an interrupted
installation leaves can be replaced or removed too.

Only the standard library is used, because the Python of a Debian package's build has no other.
"""

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import stage

LIST = Path("lib/pyfio-virtio/installed-files")
TEMPORARY = ".pyfio-virtio-new"
WHAT_NEXT = "make install continues from there, and make uninstall removes what is there"


class InstallError(Exception):
    """The message is a sentence for people."""


@dataclass(frozen=True)
class Prefix:
    """The folder below which files are installed, as programs will see it, and where it is now."""

    path: Path
    destdir: str

    @property
    def now(self) -> Path:
        return Path(f"{self.destdir}{self.path}")

    @property
    def is_final(self) -> bool:
        return not self.destdir

    def listed(self) -> list[str]:
        """What was installed, relative to the prefix; folders that were made end with a slash."""
        try:
            lines = (self.now / LIST).read_text().splitlines()
        except FileNotFoundError:
            return []
        if any(Path(line).is_absolute() or ".." in Path(line).parts for line in lines):
            raise InstallError(f"{self.now / LIST} names files outside of {self.now}: remove it")
        return lines


def install(prefix: Prefix, staged: Path, keeps_list: bool) -> None:
    root = prefix.now
    files = sorted(walk(staged))
    before = prefix.listed()
    refuse_foreign_files(prefix, files, set(before))
    folders = [line for line in before if line.endswith("/")]
    folders += missing_folders(root, [*files, str(LIST)] if keeps_list else files)
    after = list(dict.fromkeys([*files, *folders]))
    if keeps_list:
        write_list(root, dict.fromkeys([*before, *after]))
    for name in files:
        with replacing(root / name) as new:
            shutil.copy2(staged / name, new, follow_symlinks=False)
    remove(root, sorted({*before} - {*after}))
    if keeps_list:
        write_list(root, after)


def walk(folder: Path) -> Iterable[str]:
    for place, folders, names in os.walk(folder):
        links = [name for name in folders if Path(place, name).is_symlink()]
        yield from (str(Path(place, name).relative_to(folder)) for name in [*names, *links])


def refuse_foreign_files(prefix: Prefix, files: list[str], ours: set[str]) -> None:
    if not prefix.is_final:
        return
    foreign = [
        shlex.quote(str(prefix.now / name))
        for name in files
        if name not in ours and os.path.lexists(prefix.now / name)
    ]
    if foreign:
        raise InstallError(
            f"files exist that are not on the list of make install ({prefix.now / LIST}), because "
            "another program or an older version, which kept no list, has put them there: remove "
            f"them, or choose another PREFIX: rm {' '.join(foreign)}"
        )


def missing_folders(root: Path, files: Iterable[str]) -> list[str]:
    needed = {folder for name in files for folder in Path(name).parents} - {Path()}
    return [f"{folder}/" for folder in sorted(needed) if not (root / folder).is_dir()]


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A name for the new version of the file, which takes the place of the old one at the end."""
    new = target.with_name(target.name + TEMPORARY)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        new.unlink(missing_ok=True)
        yield new
        if target.is_dir() and not target.is_symlink():
            # A folder of an older release, or one of the user's: only an empty one goes.
            target.rmdir()
        new.replace(target)
    except OSError as error:
        raise InstallError(
            f"cannot write {target}: {error.strerror}; mend this, then {WHAT_NEXT}"
        ) from error
    finally:
        with suppress(OSError):
            new.unlink()


def write_list(root: Path, lines: Iterable[str]) -> None:
    with replacing(root / LIST) as new:
        new.write_text("".join(f"{line}\n" for line in lines))


def uninstall(prefix: Prefix) -> None:
    lines = prefix.listed()
    if not lines:
        raise InstallError(
            f"nothing to uninstall: make install has left no {prefix.now / LIST}; "
            "give the PREFIX that was installed to"
        )
    remove(prefix.now, [*lines, str(LIST)])


def remove(root: Path, lines: list[str]) -> None:
    """Removes the files, what Python has compiled of them, and folders that are empty then."""
    for name in (line for line in lines if not line.endswith("/")):
        path = root / name
        path.unlink(missing_ok=True)
        path.with_name(path.name + TEMPORARY).unlink(missing_ok=True)
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()
    folders = {line for line in lines if line.endswith("/")}
    for name in sorted(folders, key=len, reverse=True):
        for folder in (root / name / "__pycache__", root / name):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def update_loader() -> None:
    """Lets the loader look at its folders again. Only root may, and only glibc has it."""
    if os.geteuid() == 0 and (ldconfig := shutil.which("ldconfig", path="/sbin:/usr/sbin")):
        subprocess.run([ldconfig], check=True)


def what_to_set(prefix: Prefix, libdir: Path) -> str:
    """The last line: how plain fio finds the engine. A process of its own asks the loader."""
    question = "import ctypes; ctypes.CDLL('fio_virtio', mode=1)"
    clean = {name: text for name, text in os.environ.items() if name != "LD_LIBRARY_PATH"}
    asked = subprocess.run([sys.executable, "-c", question], env=clean, capture_output=True)
    folder = prefix.path / libdir
    if asked.returncode == 0 and (folder / stage.ENGINE).exists():
        return f"Installed below {prefix.path}. fio finds the engine: fio --enghelp=fio_virtio"
    return (
        f"Installed below {prefix.path}. For fio, set: "
        f"export LD_LIBRARY_PATH={shlex.quote(str(folder))}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Install pyfio-virtio, or remove it.")
    parser.add_argument("action", choices=("install", "uninstall"))
    parser.add_argument("--prefix", type=Path, required=True)
    parser.add_argument("--destdir", default="", help="put before each path, for packagers")
    parser.add_argument("--libdir", type=Path, default=Path("lib"), help="relative to the prefix")
    parser.add_argument(
        "--bundle", type=Path, help="folder of Python's libraries; without it, the system has them"
    )
    return parser.parse_args()


def stage_and_install(prefix: Prefix, libdir: Path, bundle: Path | None) -> None:
    with tempfile.TemporaryDirectory(prefix="stage-", dir=stage.BUILD) as folder:
        stage.fill(Path(folder), prefix.path, libdir, bundle)
        # Debian's packages have lists of their own.
        install(prefix, Path(folder), keeps_list=prefix.is_final or bundle is not None)


def carry_out(chosen: argparse.Namespace) -> None:
    prefix = Prefix(Path(os.path.normpath(chosen.prefix.absolute())), chosen.destdir)
    if chosen.action == "uninstall":
        uninstall(prefix)
    else:
        stage_and_install(prefix, chosen.libdir, chosen.bundle)
    if prefix.is_final:
        update_loader()
        if chosen.action == "install":
            print(what_to_set(prefix, chosen.libdir))


def main() -> int:
    chosen = arguments()
    # All users may use what root installs.
    os.umask(0o022)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        carry_out(chosen)
    except InstallError as error:
        print(f"{chosen.action}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        place = error.filename or chosen.prefix
        print(f"{chosen.action}: {place}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{chosen.action}: interrupted; {WHAT_NEXT}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

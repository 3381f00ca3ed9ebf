# SPDX-License-Identifier: GPL-2.0-or-later
"""A small source package called fio, in an archive of its own on disk, for apt-get to fetch.

Upstream's sources are a few lines; the distribution's patch puts a member into a structure.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

RELEASE = "fio-9.9"
VERSION = "9.9-1"
UPSTREAM = "struct thread_options {\n\tint magic;\n\tint iodepth;\n};\n"
PATCHED = UPSTREAM.replace("\tint iodepth;", "\tint inserted;\n\tint iodepth;")
PATCH = """\
--- a/thread_options.h
+++ b/thread_options.h
@@ -1,4 +1,5 @@
 struct thread_options {
 \tint magic;
+\tint inserted;
 \tint iodepth;
 };
"""
_FILES = {
    "thread_options.h": UPSTREAM,
    "ioengines.h": "",
    "configure": "touch config-host.h\n",
    "FIO-VERSION-GEN": f"echo 'FIO_VERSION = {RELEASE}' > FIO-VERSION-FILE\n",
}
_DEBIAN = {
    "source/format": "3.0 (quilt)\n",
    "changelog": f"fio ({VERSION}) unstable; urgency=low\n\n  * Patched.\n\n"
    " -- A Tester <tester@example.org>  Thu, 01 Jan 2026 00:00:00 +0000\n",
    "control": "Source: fio\nMaintainer: A Tester <tester@example.org>\n\n"
    "Package: fio\nArchitecture: any\nDescription: nothing\n",
    "patches/series": "insert.patch\n",
    "patches/insert.patch": PATCH,
}


@dataclass(frozen=True)
class LocalArchive:
    """Stands for an archive that apt is configured for."""

    folder: Path
    origin: str = "Debian"

    def source_line(self) -> str:
        return f"deb-src [trusted=yes] file:{self.folder} ./\n"

    def file(self, ending: str) -> Path:
        return next(path for path in self.folder.iterdir() if path.name.endswith(ending))


def make_archive(folder: Path) -> LocalArchive:
    """Builds the package with dpkg-source, and the index that apt-get reads."""
    tree = folder / RELEASE
    archive = folder / "archive"
    archive.mkdir()
    _write(tree, _FILES)
    tarball = archive / "fio_9.9.orig.tar.gz"
    _run(folder, "tar", "-czf", str(tarball), RELEASE)
    _write(tree / "debian", _DEBIAN)
    _run(archive, "dpkg-source", "--build", str(tree))
    index = subprocess.run(
        ["dpkg-scansources", "."], cwd=archive, capture_output=True, text=True, check=True
    )
    (archive / "Sources").write_text(index.stdout)
    return LocalArchive(archive)


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _run(folder: Path, *command: str) -> None:
    subprocess.run(command, cwd=folder, capture_output=True, check=True)

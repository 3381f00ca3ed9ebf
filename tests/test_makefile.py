# SPDX-License-Identifier: GPL-2.0-or-later
"""The Makefile in a checkout whose path has a space and a quote. Nothing is built."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

# fio-3.41 runs fio's own Makefile, also with -n.
TARGETS = re.findall(r"^([a-z0-9.-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkout") / "it's a checkout"
    folder.mkdir()
    for path in ROOT.iterdir():
        if path.name not in ("build", ".git"):
            (folder / path.name).symlink_to(path)
    return folder


@pytest.mark.parametrize("target", sorted({*TARGETS} - {"fio-3.41"}))
def test_the_path_of_the_checkout_is_never_split(checkout: Path, target: str) -> None:
    shown = subprocess.run(
        ["make", "-n", target, f"PREFIX={checkout}", f"DESTDIR={checkout}"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout
    for line in shown.replace("\\\n", " ").splitlines():
        if str(checkout.parent) not in line or re.match(r"make\[\d+\]: ", line):
            continue
        split = [word for word in words_of(line) if is_part(word, checkout)]
        assert not split, line


def is_part(word: str, path: Path) -> bool:
    return str(path.parent) in word and str(path) not in word


def words_of(line: str) -> list[str]:
    """The words of a command; of a word that is a command itself, as of make release, its words."""
    words = shlex.split(line)
    return [part for word in words for part in (shlex.split(word) if " && " in word else [word])]

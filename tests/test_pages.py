# SPDX-License-Identifier: GPL-2.0-or-later
"""README.md and docs/: every command that a page shows is run, or says why it cannot be.

The commands of a page run in one shell, in a folder that looks like the checkout, as
tests/page_session.py puts them together. Some things are changed: the socket lies in the test's
own folder, jobs and sweeps are as short as they can be, and disks in memory are small.
"""

import os
import re
from pathlib import Path

import pytest

from pyfio_virtio.engine import engine
from tests.conftest import ROOT, StartBackend, run_to_end
from tests.page_session import BACKGROUND, NEEDS_DISK, NO_TEST, SOCKET, script, shell_blocks

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
MAP = ROOT / "CONTRIBUTING.md"
OPTIONS = ROOT / "docs" / "options.md"
BLOCKS = {page: shell_blocks(page) for page in PAGES}
RUN = [page for page in PAGES if any(block.is_run for block in BLOCKS[page])]
# Files with commands that pages run, and what else they need of the checkout. What somebody has
# measured there is not among it.
ADAPTED = ("jobs/*.*", "docs/ci-gate.sh")
LINKED = (
    *("Makefile", "analysis", "build", "docs/pictures", "engine", "pyfio_virtio"),
    *("pyproject.toml", "setup.py", "tests", "tools"),
)
SHORTER = (
    (r"\bruntime=\d+", "runtime=200ms"),
    (r"\bramp_time=\d+", "ramp_time=100ms"),
    (r"--runtime \d+", "--runtime 0.2"),
    (r"--quick", "--runtime 0.2 --ramp-time 0"),
    (r"--repeats \d+", "--repeats 1"),
    (r"--restarts \d+", "--restarts 1"),
    # A disk in memory is filled before it is served.
    (r"pyfio-virtio (run|explain) (?!.*--socket)", r"pyfio-virtio \1 --disk-size 64M "),
)
# Ample; it only bounds a hang.
TIMEOUT_S = 600.0


def adapted(text: str, private: Path) -> str:
    """The text with our socket, and with short runs, because their numbers do not matter here."""
    for long, short in SHORTER:
        text = re.sub(long, short, text)
    return text.replace(SOCKET, str(private / "vhost.0"))


@pytest.fixture
def checkout(private: Path) -> Path:
    """What pages need of the checkout: adapted files, and symbolic links."""
    folder = private / "checkout"
    for path in (path for pattern in ADAPTED for path in ROOT.glob(pattern)):
        copy = folder / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(adapted(path.read_text(), private))
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.mark.timeout(TIMEOUT_S + 30)
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_the_commands_work(page: Path, checkout: Path, private: Path, serve: StartBackend) -> None:
    if any(block.needs == NEEDS_DISK for block in BLOCKS[page]):
        (private / "vhost.0").symlink_to(serve("builtin", queues=4).socket)
    variables = {
        "PATH": f"{ROOT / 'build' / 'venv' / 'bin'}:{os.environ['PATH']}",
        engine.FOLDER_VARIABLE: str(engine.folder()),
    }
    home = private / "home"
    if page.name == "tutorial.md":  # it says what is left in this folder
        home.mkdir()
        variables["HOME"] = str(home)
    # Nobody is there to answer a question.
    text = adapted(script(BLOCKS[page]), private)
    ended = run_to_end(["bash", "-c", text], variables, TIMEOUT_S, checkout)
    assert ended.status == 0, f"{ended.stdout}\n{ended.stderr}"
    left = {str(each.relative_to(home)) for each in home.glob("*/*")}
    assert left <= {".cache/pyfio-virtio"}


def test_a_page_ends_at_the_first_command_that_fails(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "\n```sh no-test: it is left out\nexit 3\n```\n"
        "```sh\na=1\n```\n```sh\n[ $a = 2 ]\necho no\n```\n"
    )
    ended = run_to_end(["bash", "-c", script(shell_blocks(page))], {})
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr.splitlines() == ["--- page.md, line 5", "--- page.md, line 8"]


def test_what_runs_in_the_background_ends_with_its_page(tmp_path: Path) -> None:
    page, pid = tmp_path / "page.md", tmp_path / "pid"
    served = tmp_path / "vhost.0"
    serve = (
        f"python3 -c 'import os, socket, time; socket.socket(1).bind(\"{served}\"); time.sleep(99)'"
    )
    page.write_text(f"\n```sh background\n{serve}\n```\n```sh\necho $! > {pid}\n```\n")
    ended = run_to_end(["bash", "-c", adapted(script(shell_blocks(page)), tmp_path)], {})
    assert ended.status == 0, ended.stderr
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()


def test_every_block_says_what_it_needs_or_why_it_is_not_run() -> None:
    for block in (block for blocks in BLOCKS.values() for block in blocks):
        if block.needs.startswith(NO_TEST):
            assert len(block.needs) > len(NO_TEST) + 8, block.place
        else:
            assert block.needs in ("", NEEDS_DISK, BACKGROUND), block.place


def option_names() -> list[str]:
    source = (ROOT / "engine" / "fio" / "options.c").read_text()
    return re.findall(r'OPTION\("(\w+)"', source)


def test_every_option_of_the_engine_is_explained() -> None:
    table = OPTIONS.read_text()
    assert option_names()
    assert [name for name in option_names() if f"`{name}`" not in table] == []


def test_every_option_that_is_explained_exists() -> None:
    rows = [line.split("|")[1] for line in OPTIONS.read_text().splitlines() if line[:3] == "| `"]
    shown = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert shown - set(option_names()) == {"filename"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_linked_exists(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_page_is_listed() -> None:
    table = (ROOT / "docs" / "README.md").read_text()
    listed = re.findall(r"^\| \[[^\]]+\]\(([\w-]+\.md)\)", table, re.M)
    assert sorted(listed) == [page.name for page in PAGES if page.parent != ROOT][1:]


def test_the_map_names_files_that_exist() -> None:
    named = re.findall(r"`((?:engine|pyfio_virtio|tests|analysis|docs)/[\w/.-]+)`", MAP.read_text())
    named = [name for name in named if "NAME" not in name]
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []

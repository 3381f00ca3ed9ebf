# SPDX-License-Identifier: GPL-2.0-or-later
"""README.md and docs/: every command that a page shows is run, or says why it cannot be.

A fenced block of sh is run as it stands, in a folder that looks like the checkout. The words after
`sh` say what it needs: `needs-disk`, a back-end at /tmp/vhost.0; `background`, to run beside the
next block; `no-test: REASON`. Two things are changed: the socket lies in the test's own folder,
and jobs last a second.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pyfio_virtio.backends import unix_sockets
from pyfio_virtio.engine import engine
from pyfio_virtio.machine.process import Process, start_ticks
from tests.conftest import ROOT, StartBackend, run_to_end
from tests.waiting import wait_until

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
MAP = ROOT / "CONTRIBUTING.md"
OPTIONS = ROOT / "docs" / "options.md"
SOCKET = "/tmp/vhost.0"  # noqa: S108 - as the README has it
FENCE = re.compile(r"^```(\w+)(?: ([^\n]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NO_TEST = "no-test: "
# Ample; it only bounds a hang.
TIMEOUT_S = 110.0


@dataclass(frozen=True)
class Block:
    """A fenced block of sh of a page, and what runs beside it."""

    page: Path
    needs: str
    text: str
    beside: str = ""

    @property
    def name(self) -> str:
        return f"{self.page.name}: {self.text.splitlines()[0][:60]}"


def shell_blocks(page: Path) -> list[Block]:
    """In the page's order; a background block is part of the next one."""
    found: list[Block] = []
    beside = ""
    for language, needs, text in FENCE.findall(page.read_text()):
        if language != "sh":
            continue
        if needs == "background":
            beside = text
        else:
            found.append(Block(page, needs, text, beside))
            beside = ""
    return found


BLOCKS = [block for page in PAGES for block in shell_blocks(page)]
RUN = [block for block in BLOCKS if not block.needs.startswith(NO_TEST)]


@pytest.fixture
def checkout(private: Path) -> Path:
    """The checkout by symbolic links, but for its jobs."""
    folder = private / "checkout"
    (folder / "jobs").mkdir(parents=True)
    for entry in ROOT.iterdir():
        if entry.name not in ("jobs", ".git"):
            (folder / entry.name).symlink_to(entry)
    for job in (ROOT / "jobs").iterdir():
        (folder / "jobs" / job.name).write_text(adapted(job.read_text(), private))
    return folder


def adapted(text: str, private: Path) -> str:
    """The text with our socket, and with short runs, because their numbers do not matter here."""
    text = text.replace(SOCKET, str(private / "vhost.0"))
    text = text.replace("--quick", "--runtime 0.2 --ramp-time 0")
    return re.sub(r"runtime=\d+", "runtime=1", text)


@contextmanager
def running(text: str, folder: Path, socket: Path) -> Iterator[None]:
    """A command that serves the socket, for as long as it is needed."""
    if not text:
        yield
        return
    # exec: so that it is the daemon that ends, not a shell around it.
    child = subprocess.Popen(["bash", "-c", f"exec {text}"], cwd=folder)
    try:
        wait_until(lambda: child.poll() is not None or unix_sockets.accepts(str(socket)))
        assert child.poll() is None, f"nobody listens on {socket}"
        yield
    finally:
        Process(child.pid, start_ticks(child.pid) or 0, child).end()


@pytest.mark.parametrize("block", RUN, ids=lambda block: block.name)
def test_the_command_works(
    block: Block, checkout: Path, private: Path, serve: StartBackend
) -> None:
    socket = private / "vhost.0"
    if block.needs == "needs-disk":
        served = serve("builtin", queues=4).socket
        socket.symlink_to(served)
    variables = {
        "PATH": f"{ROOT / 'build' / 'venv' / 'bin'}:{os.environ['PATH']}",
        engine.FOLDER_VARIABLE: str(engine.folder()),
    }
    # Nobody is there to answer a question.
    text = adapted(block.text, private)
    with running(adapted(block.beside, private), checkout, socket):
        ended = run_to_end(["bash", "-euo", "pipefail", "-c", text], variables, TIMEOUT_S, checkout)
    assert ended.status == 0, f"{text}\n{ended.stdout}\n{ended.stderr}"


def test_every_block_says_what_it_needs_or_why_it_is_not_run() -> None:
    for block in BLOCKS:
        if block.needs.startswith(NO_TEST):
            assert len(block.needs) > len(NO_TEST) + 8, block.name
        else:
            assert block.needs in ("", "needs-disk"), block.name


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

# SPDX-License-Identifier: GPL-2.0-or-later
"""tools/docs_site: the site builds without the network, and all that it links to is in it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import manual_library
import pytest
from docs_site.__main__ import sphinx
from docs_site.pages import MARK, SiteError, stage, target

import pyfio_virtio
from pyfio_virtio.cli.backend import backend
from pyfio_virtio.cli.endings import walk
from pyfio_virtio.cli.main import cli

ROOT = Path(__file__).resolve().parent.parent.parent
# What a browser fetches by itself, by tag and attribute. `a` and `link rel=next` are only links.
FETCHED = {"img": "src", "script": "src", "iframe": "src", "link": "href", "source": "src"}


@dataclass
class Page(HTMLParser):
    """What a page of the site links to and fetches, and the anchors and the text that it has."""

    path: Path
    links: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif FETCHED.get(tag) in values:
            self.fetched.append(values[FETCHED[tag]])

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "html"
    command = [sys.executable, "-m", "docs_site", str(folder)]
    if os.geteuid() == 0:
        command = ["unshare", "--net", *command]
    variables = {**os.environ, "PYTHONPATH": str(ROOT / "tools")}
    ended = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert ended.stderr == ""
    assert ended.returncode == 0
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html") if "_downloads" not in path.parts}


def inside(page: Page, links: list[str]) -> Iterator[tuple[Path, str]]:
    """The files and anchors to which links lead that stay inside the site."""
    for link in links:
        parts = urlsplit(link)
        if not parts.scheme:
            path = page.path.parent / unquote(parts.path) if parts.path else page.path
            yield Path(os.path.normpath(path)), unquote(parts.fragment)


def test_every_link_and_anchor_exists(pages: dict[Path, Page], site: Path) -> None:
    assert len(pages) > 20
    for page in pages.values():
        for path, anchor in inside(page, [*page.links, *page.fetched]):
            assert path.is_relative_to(site), f"{page.path.name} leads out of the site: {path}"
            assert path.is_file(), f"{page.path.name} leads to {path}"
            if anchor and path in pages:
                assert anchor in pages[path].anchors, f"{page.path.name} leads to {path}#{anchor}"


def test_nothing_is_fetched_from_elsewhere(pages: dict[Path, Page], site: Path) -> None:
    for page in pages.values():
        assert [each for each in page.fetched if urlsplit(each).scheme or each[:1] == "/"] == []
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert re.findall(r"url\(['\"]?(?:https?:)?//[^)]*|@import[^;]*", styles) == []


def test_links_to_elsewhere_are_whole(pages: dict[Path, Page]) -> None:
    for page in pages.values():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                assert parts.scheme in ("http", "https"), link
                assert "." in parts.netloc, link


def test_the_site_says_which_release_it_describes(site: Path) -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.M)
    assert version
    assert f"pyfio-virtio {version[1]}" in (site / "index.html").read_text()


def test_every_page_is_in_the_navigation_and_in_the_search(site: Path) -> None:
    index = (site / "searchindex.js").read_text()
    home = Page(site / "index.html")
    reached = {path for path, _ in inside(home, home.links)}
    for page in (ROOT / "docs").glob("*.md"):
        if page.name != "README.md":
            assert site / "docs" / f"{page.stem}.html" in reached
            assert f'"docs/{page.stem}"' in index


@pytest.mark.parametrize("name", ["commands/run", "commands/backend", "c", "python", "columns"])
def test_the_reference_is_made_of_the_sources(site: Path, name: str) -> None:
    anchors = Page(site / "reference" / f"{name}.html").anchors
    wanted: Iterable[str] = {
        "commands/run": ["cmdoption-pyfio-virtio-run-backend"],
        "commands/backend": [f"pyfio-virtio-backend-{each}" for each in backend.commands],
        "c": [f"c.{each.name}" for each in manual_library.pages(manual_library.HEADER.read_text())],
        "python": [f"pyfio_virtio.{each}" for each in set(pyfio_virtio.__all__) - {"aio", "open"}],
        "columns": ["iops-per-core"],
    }[name]
    assert set(wanted) - anchors == set()


def test_every_command_has_a_page_with_all_that_its_help_says(site: Path) -> None:
    pages = {path.stem: Page(path) for path in (site / "reference" / "commands").glob("*.html")}
    assert set(pages) == set(cli.commands)
    for path, command in walk(cli):
        if path:
            shown = letters(pages[path.split()[0]].text)
            options = [each for each in command.params if isinstance(each, click.Option)]
            for text in (command.help, command.epilog, *(each.help for each in options)):
                for paragraph in (text or "").split("\n\n"):
                    assert letters(paragraph) in shown, f"{path} lacks: {paragraph}"


def letters(text: str) -> str:
    """Without spaces, and without what marks code and lines that are kept."""
    return re.sub(r"[\s\x08`]", "", text)


def test_only_a_folder_that_it_has_made_is_made_again(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    stage(ours, {"old.rst": ""}, {})
    stage(ours, {}, {})
    assert not (ours / "old.rst").exists()
    theirs.mkdir()
    (theirs / "index.md").write_text("# Other pages\n")
    with pytest.raises(SiteError, match="theirs was not made by this program"):
        stage(theirs, {}, {})
    assert (theirs / "index.md").exists()


def test_a_folder_is_ours_without_the_mark_of_later_versions(tmp_path: Path) -> None:
    stage(tmp_path, {"old.rst": ""}, {})  # it was empty
    (tmp_path / MARK).unlink()
    stage(tmp_path, {}, {})
    assert (tmp_path / MARK).exists()
    assert not (tmp_path / "old.rst").exists()


def test_a_link_that_leads_nowhere_ends_the_build() -> None:
    with pytest.raises(SiteError, match=r"the link missing\.md leads to no file"):
        target("docs/waiting.md", "missing.md")


@pytest.mark.parametrize("text", ["[x](#missing)", "[x](index.md#missing)"])
def test_an_anchor_that_is_missing_ends_the_build(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.md").write_text(f"# Title\n\n{text}\n")
    ended = subprocess.run(sphinx(tmp_path, tmp_path / "html"), capture_output=True, check=False)
    assert ended.returncode == 1
    assert b"index.md:3: WARNING: " in ended.stderr

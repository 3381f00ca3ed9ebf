# SPDX-License-Identifier: GPL-2.0-or-later
"""The pages of the site, as Sphinx is to read them: a copy of the repository's Markdown.

The copy has the layout of the repository, so a relative link leads to the same file here and on a
code host. Four things are changed:

- README.md and docs/README.md together become the home page, index.md.
- A link to a folder leads to its README.md.
- A link whose text is the name of a page gets the title of that page as its text.
- The words behind the language of a fenced block, which are for tests/test_pages.py, are left out.

Files that pages link to are copied too, and so are the pages and files to which these link. A
section (`##`) of docs/README.md, with its table of pages, is a section of the navigation.
"""

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent.parent
README, MAP, HOME = "README.md", "docs/README.md", "index.md"
MARK = ".made-by-docs-site"
FENCED = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[([^][]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
SECTION = re.compile(r"^## (.+)\n((?:.*\n)*?)(?=## |\Z)", re.MULTILINE)
ROW = re.compile(r"^\| \[([^\]]+)\]\(([^)]+\.(?:md|rst))\)", re.MULTILINE)


class SiteError(Exception):
    """The message is a sentence for people."""


@dataclass(frozen=True)
class Section:
    """A kind of pages: its heading in docs/README.md, its pages, and the text with their table."""

    title: str
    pages: Mapping[str, str]  # titles by path from the top of the repository
    text: str


def sections(text: str) -> list[Section]:
    return [
        Section(title, {target(MAP, link): text for text, link in ROW.findall(body)}, body)
        for title, body in SECTION.findall(text)
    ]


def stage(folder: Path, generated: Mapping[str, str], rows: Mapping[str, str]) -> None:
    """Fills a new folder. `generated` has further pages by path, and `rows` those rows with which
    the tables of sections go on, by their titles.
    """
    _renew(folder)
    found = sections((ROOT / MAP).read_text())
    unknown = set(rows) - {each.title for each in found}
    if unknown:
        raise SiteError(f"{MAP} has no section {min(unknown)!r}")
    listed = {page for each in found for page in each.pages}
    for name in _reachable([README, MAP]):
        if name not in (README, MAP):
            _put(folder, name, "" if name in listed else "---\norphan: true\n---\n")
    for name, text in generated.items():
        _write(folder / name, text)
    _write(folder / HOME, _home(found, rows))


def _renew(folder: Path) -> None:
    """Makes an empty folder with a mark. Only a folder of ours is removed for it."""
    if folder.exists():
        if not _is_ours(folder):
            raise SiteError(
                f"{folder} was not made by this program, and all that is in it would be lost: "
                "remove it, or give another folder"
            )
        shutil.rmtree(folder)
    _write(folder / MARK, "tools/docs_site made this folder, and removes it to make it again.\n")


def _is_ours(folder: Path) -> bool:
    """Whether it has the mark, or our home page, because there was no mark at first; or nothing."""
    if not folder.is_dir():
        return False
    home, title = folder / HOME, (ROOT / README).read_text().partition("\n")[0]
    has_home = home.is_file() and home.read_text(errors="replace").startswith(f"{title}\n")
    return (folder / MARK).is_file() or has_home or not any(folder.iterdir())


def _home(found: Sequence[Section], rows: Mapping[str, str]) -> str:
    """The README, with the tables of pages behind its first paragraphs."""
    introduction, heading, rest = (ROOT / README).read_text().partition("\n## ")
    tables = trees = ""
    for each in found:
        more = rows.get(each.title, "")
        tables += f"\n## {each.title}\n{_moved(MAP, each.text).rstrip()}\n{more}"
        trees += _tree(each.title, {**each.pages, **{b: a for a, b in ROW.findall(more)}})
    return _moved(README, introduction) + tables + _moved(README, heading + rest) + trees


def _tree(title: str, pages: Mapping[str, str]) -> str:
    lines = "\n".join(f"{text} </{name.rpartition('.')[0]}>" for name, text in pages.items())
    return f"\n```{{toctree}}\n:caption: {title}\n:hidden:\n\n{lines}\n```\n"


def _reachable(names: Sequence[str]) -> Iterator[str]:
    """These files, and those to which they link."""
    left, seen = list(names), set(names)
    while left:
        name = left.pop()
        yield name
        if name.endswith(".md"):
            found = LINK.findall(FENCED.sub("", (ROOT / name).read_text()))
            new = {target(name, link) for _, link, _ in found if ":" not in link} - seen
            seen |= new
            left += sorted(new)


def target(page: str, link: str) -> str:
    """The path from the top of the repository to which a link of a page leads."""
    name = os.path.normpath(PurePosixPath(page).parent / link)
    if (ROOT / name).is_dir():
        name += "/README.md"
    if name.startswith("../") or not (ROOT / name).is_file():
        raise SiteError(f"{page}: the link {link} leads to no file of the repository")
    return name


def _put(folder: Path, name: str, front: str) -> None:
    if name.endswith(".md"):
        _write(folder / name, front + _moved(name, (ROOT / name).read_text(), name))
    else:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)


def _moved(page: str, text: str, place: str = HOME) -> str:
    """The text of a page with links that are right at its place in the site."""

    def link(match: re.Match[str]) -> str:
        text, path, anchor = match[1], match[2], match[3] or ""
        if ":" in path:
            return match[0]
        name = target(page, path)
        # Sphinx puts the title of the page where there is no text.
        text = "" if text == path and name.endswith(".md") else text
        name = HOME if name in (README, MAP) else name
        return f"[{text}]({os.path.relpath(name, PurePosixPath(place).parent)}{anchor})"

    pieces = re.split(r"(^```\w[^\n]*\n.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(
        FENCED.sub(r"```\1\n\2```", piece) if i % 2 else LINK.sub(link, piece)
        for i, piece in enumerate(pieces)
    )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)

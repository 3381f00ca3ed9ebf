# SPDX-License-Identifier: GPL-2.0-or-later
"""The language of manual pages: what all of our pages have in common.

It turns texts into roff, and knows the version and the date of the pages. The date is that of the
release, so the same sources always give the same pages.
"""

import os
import re
import textwrap
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from project import CHANGELOG, newest_release, version


def released() -> date:
    """The date of the newest release. SOURCE_DATE_EPOCH takes precedence, as in other tools. Before
    the first release, it is the date of the changelog itself.
    """
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        return datetime.fromtimestamp(int(epoch), UTC).date()
    if found := newest_release():
        return found
    return datetime.fromtimestamp(CHANGELOG.stat().st_mtime, UTC).date()


def escaped(text: str) -> str:
    """Text for roff. No line begins with a dot or a quote, which would be a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^(?=[.'])", r"\\&", text, flags=re.MULTILINE)


def filled(text: str) -> str:
    """A paragraph. Each sentence begins a line of the source, so that the space behind it is the
    same everywhere.
    """
    wrap = textwrap.TextWrapper(80, break_long_words=False, break_on_hyphens=False)
    return escaped("\n".join(map(wrap.fill, re.split(r"(?<=[.?!]) +(?=[A-Z])", text))))


def paragraphs(texts: Sequence[str]) -> str:
    return "\n.PP\n".join(map(filled, texts))


def verbatim(text: str) -> str:
    return f".nf\n{escaped(text.expandtabs(8))}\n.fi"


def example(text: str) -> str:
    """Lines that a reader may copy."""
    return f".RS 4\n{verbatim(text)}\n.RE"


def tagged(pairs: Sequence[tuple[str, str]]) -> str:
    """A list of terms, which are roff, and of what they mean, which is roff too."""
    return "\n".join(f".TP\n{term}\n{meaning}" for term, meaning in pairs)


def references(pages: Sequence[str]) -> str:
    """Other pages, each written as name(section)."""
    names = [each.rstrip(")").split("(") for each in pages]
    last = len(names) - 1
    return "\n".join(
        f".BR {escaped(name)} ({section}){'' if place == last else ','}"
        for place, (name, section) in enumerate(names)
    )


def named(text: str) -> list[str]:
    """The pages that the source of a page refers to."""
    found = re.findall(r"^\.BR (\S+) \((\d)\)", text, re.MULTILINE)
    return [f"{name.replace(chr(92), '')}({section})" for name, section in found]


def page(name: str, section: int, sections: Mapping[str, str]) -> str:
    """A whole page. Sections without a text are left out."""
    head = (
        f'.TH {escaped(name)} {section} {released()} "pyfio\\-virtio {version()}" "pyfio\\-virtio"'
    )
    body = "".join(f".SH {title}\n{text}\n" for title, text in sections.items() if text)
    return f"{head}\n{body}"


def write(folder: Path, name: str, section: int, sections: Mapping[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.{section}").write_text(page(name, section, sections))

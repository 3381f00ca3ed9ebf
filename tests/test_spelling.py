# SPDX-License-Identifier: GPL-2.0-or-later
"""Every word of README.md, docs/, the manual pages and the help texts is in a dictionary.

The dictionary is aspell's, together with tests/words.txt. Code in a page is not looked at, nor are
words with a capital letter inside, which are names.
"""

import re
import subprocess
from pathlib import Path

import manual
import pytest

from tests.conftest import ROOT

KNOWN = ROOT / "tests" / "words.txt"
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
CODE = re.compile(r"^```.*?^```|`[^`\n]*`|\]\([^)]*\)|https?://\S+", re.MULTILINE | re.DOTALL)
ROFF = re.compile(r"^\.nf$.*?^\.fi$|\\f[BIRP]|^\.\w+", re.MULTILINE | re.DOTALL)


def unknown(text: str) -> set[str]:
    command = ["aspell", "list", "--lang=en_US", "--mode=none", "--encoding=utf-8"]
    checked = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    known = set(KNOWN.read_text().split())
    return {word for word in checked.stdout.split() if word[1:].islower() and word not in known}


def misspelt(texts: dict[str, str]) -> list[str]:
    words = unknown("\n".join(texts.values()))
    return [
        f"{name}: {word}; correct it, or add it to {KNOWN.relative_to(ROOT)}"
        for name, text in texts.items()
        for word in sorted(words)
        if re.search(rf"\b{word}\b", text)
    ]


def test_every_word_of_the_pages_is_known() -> None:
    assert misspelt({each.name: CODE.sub(" ", each.read_text()) for each in PAGES}) == []


def test_every_word_of_the_manual_is_known(tmp_path: Path) -> None:
    manual.write(tmp_path)
    pages = {each.name: ROFF.sub("", each.read_text()) for each in tmp_path.iterdir()}
    assert misspelt({name: text.replace("\\-", "-") for name, text in pages.items()}) == []


@pytest.mark.parametrize("word", ["recieve", "teh", "benchmrak"])
def test_a_misspelt_word_is_found(word: str) -> None:
    assert unknown(f"We {word} it.") == {word}


def test_the_list_is_sorted_and_has_no_word_twice() -> None:
    words = KNOWN.read_text().split()
    assert words == sorted(set(words))

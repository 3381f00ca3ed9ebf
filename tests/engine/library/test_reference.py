# SPDX-License-Identifier: GPL-2.0-or-later
"""The manual pages, which tools/manual_library.py makes of the header's comments."""

import re
from pathlib import Path

import manual_library
import pytest

from tests.engine.library.installed import HEADERS, functions_of

SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "RETURN VALUE", "THREADS", "UNITS", "SINCE"]
REQUESTS = {"TH", "SH", "PP", "nf", "fi", "B", "BR"}
HEADER = manual_library.HEADER.read_text()


def installed_pages(prefix: Path) -> dict[str, str]:
    """The pages of functions."""
    found = {path.stem: path.read_text() for path in (prefix / "share/man/man3").iterdir()}
    assert found.pop(manual_library.OVERVIEW)
    return found


def test_each_function_has_a_page(prefix: Path) -> None:
    assert set(installed_pages(prefix)) == functions_of(prefix / "include" / HEADERS[0])


def test_each_page_has_every_section(prefix: Path) -> None:
    for name, page in installed_pages(prefix).items():
        found = re.findall(r"^\.SH (.+)\n(?!\.SH)", page, re.MULTILINE)
        assert [each for each in found if each != "NOTES"] == [*SECTIONS, "SEE ALSO"], name


def test_each_page_is_plain_roff(prefix: Path) -> None:
    for page in installed_pages(prefix).values():
        assert set(re.findall(r"^[.'](\w*)", page, re.MULTILINE)) <= REQUESTS
        assert page.isascii()


def test_a_page_tells_everything_about_its_function(prefix: Path) -> None:
    page = installed_pages(prefix)["pyfio_async_completed"].replace("\\-", "-")
    assert '.B "int pyfio_async_completed(struct pyfio_async *async, unsigned int min,' in page
    assert "timeout_ms is in milliseconds." in page
    assert "-ECANCELED after" in page
    assert "pyfio_error_message() returns one sentence" in " ".join(page.split())
    assert ".SH THREADS\nAny number of threads may make a call" in page
    assert ".SH SINCE\nRelease 0.1.\n" in page
    assert ".BR pyfio_async_collect (3)" in page


@pytest.mark.parametrize(
    ("comment", "lacks"),
    [
        ("", ["description", "return value"]),
        ("/* Does it. */\n", ["return value"]),
        ("/* Does it. Returns 0. */\n", []),
    ],
)
def test_a_comment_that_lacks_something_is_found(comment: str, lacks: list[str]) -> None:
    added = f"\n{comment}int pyfio_device_flush(int number);\n"
    page = manual_library.pages(HEADER + added)[-1]
    assert page.name == "pyfio_device_flush"
    assert page.missing() == lacks


def test_a_comment_may_allow_fewer_threads(prefix: Path) -> None:
    page = installed_pages(prefix)["pyfio_device_start"]
    assert ".SH THREADS\nOne thread at a time may use dev for this.\n" in page


def test_a_function_of_no_release_is_found() -> None:
    page = manual_library.pages(HEADER + "\n/* Does it. */\nvoid pyfio_new(void);\n")[-1]
    assert page.missing() == ["since"]

# SPDX-License-Identifier: GPL-2.0-or-later
"""tools/manual*.py: the manual pages, of which each command has one."""

import re
import subprocess
from pathlib import Path

import manual
import manual_commands
import manual_engine
import project
import pytest
import roff

from pyfio_virtio.cli.endings import ENDINGS, walk
from pyfio_virtio.cli.main import cli


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("man")
    manual.write(folder)
    return folder


def test_mandoc_has_nothing_to_say(pages: Path) -> None:
    names = sorted(str(each) for each in pages.iterdir())
    lint = ["mandoc", "-T", "lint", "-W", "warning", *names]
    ended = subprocess.run(lint, capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("", "", 0)


def test_each_command_has_a_page(pages: Path) -> None:
    assert {each.stem for each in pages.glob("*.1")} == {
        manual_commands.name_of(path) for path, _ in walk(cli)
    }


def test_each_page_that_is_named_exists(pages: Path) -> None:
    names = {f"{each.stem}({each.suffix[1:]})" for each in pages.iterdir()} | {"fio(1)"}
    for each in pages.iterdir():
        assert set(roff.named(each.read_text())) <= names, each.name


def test_a_page_says_what_the_help_says(pages: Path) -> None:
    page = (pages / "pyfio-virtio-backend-fault.1").read_text().replace("\\-", "-")
    assert ".SH NAME\npyfio-virtio-backend-fault - List, add or clear the faults" in page
    assert "\n.nf\nActions on requests:\n  error, delay:for=TIME" in page
    assert ".TP\n\\fB-h\\fP, \\fB--help\\fP\nShow this message and exit.\n" in page
    for line in ENDINGS["backend fault"].examples:
        assert f"\n{line}\n" in page


def test_the_table_of_options_has_the_defaults_of_the_engine() -> None:
    source = manual_engine.TABLE.read_text()
    found = dict(re.findall(r'OPTION\("(\w+)"[^}]*?\.def = "(\w+)"', source))
    shown = {
        name: values
        for names, values, _ in manual_engine.rows()
        for name in re.findall(r"`(\w+)`", names)
    }
    assert found
    for name, default in found.items():
        assert f"**{default}**" in shown[name], name


def test_the_page_of_the_engine_has_ranges(pages: Path) -> None:
    page = (pages / "fio_virtio.7").read_text()
    assert "\\fBsleepy_poll\\fP=\\fImicroseconds\\fP\n" in page
    assert "The range is 0 to 1000000.\nThe default is 50.\n" in page


def test_the_overview_lists_every_function(pages: Path) -> None:
    page = (pages / "pyfio_virtio.3").read_text()
    functions = {f"{each.stem}(3)" for each in pages.glob("pyfio_*_*.3")}
    assert functions - {"pyfio_virtio(3)"} <= set(roff.named(page))


def test_the_date_is_that_of_the_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert ' 1 1970-01-02 "pyfio' in roff.page("x", 1, {})
    text = "## Unreleased\n\n## [0.2.0] - 2026-02-03\n\n## [0.1.0] - 2026-01-01\n"
    found = project.RELEASE.search(text)
    assert found is not None
    assert found[1] == "2026-02-03"


def test_a_line_is_no_request_and_a_dash_stays_a_dash() -> None:
    assert roff.escaped(".so -x\\") == "\\&.so \\-x\\e"

# SPDX-License-Identifier: GPL-2.0-or-later
"""report.py: the page alone in its file, opened in a real browser."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from markupsafe import escape

from pyfio_virtio.analysis import claims, front, report, report_pictures
from pyfio_virtio.analysis.frame import load, measured
from tests.analysis import synthetic

PROBE = """
<script>
{
const found = { columns: {} };
const table = document.getElementById("points");
[...table.tHead.rows[0].cells].forEach((head, column) => {
  const texts = () => [...table.tBodies[0].rows].map((row) => row.cells[column].dataset.value);
  head.querySelector("button").click();
  const up = { sort: head.getAttribute("aria-sort"), values: texts() };
  head.querySelector("button").click();
  found.columns[head.textContent] = { up, down: texts() };
});
const style = () => getComputedStyle(document.body);
found.before = [style().color, style().backgroundColor];
document.getElementById("theme").click();
found.after = [style().color, style().backgroundColor];
found.wide = document.documentElement.scrollWidth > innerWidth;
found.pictures = [...document.querySelectorAll("figure svg")].map((svg) => svg.clientHeight);
found.requests = performance.getEntriesByType("resource").map((entry) => entry.name);
const answer = document.createElement("pre");
answer.id = "found";
answer.textContent = JSON.stringify(found);
document.body.append(answer);
}
</script>
"""
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1280,1600",
    "--enable-logging=stderr",
)
Browser = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def page(sweep: pd.DataFrame) -> str:
    return report.html(sweep, {"out": "axes = 'six ways'\n"}, title="sleepy-poll")


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if not program:
        pytest.skip("chromium is not installed (Debian's package chromium)")

    def run(html: str, *arguments: str) -> tuple[str, str]:
        file = tmp_path / "report.html"
        file.write_text(html, encoding="utf-8")
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        ended = subprocess.run(
            [program, *FLAGS, profile, *arguments, file.as_uri()],
            check=True,
            capture_output=True,
            text=True,
            timeout=100,
        )
        return ended.stdout, ended.stderr

    return run


def numbers(values: list[str]) -> list[float] | None:
    try:
        return [float(value) for value in values]
    except ValueError:
        return None


def test_the_front_is_said_under_its_picture(page: str, sweep: pd.DataFrame) -> None:
    [found] = front.fronts([sweep])
    assert all(escape(each) in page for each in front.sentences(found))


def test_a_browser_opens_it_sorts_it_and_asks_for_nothing(page: str, browser: Browser) -> None:
    dom, log = browser(page.replace("</body>", PROBE + "</body>"), "--dump-dom")
    assert "CONSOLE" not in log, "the page complains on the console"
    body = re.search(r'<pre id="found">(.*?)</pre>', dom, re.DOTALL)
    assert body, "the page's script did not run"
    found = json.loads(body[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert found["requests"] == []
    for name, column in found["columns"].items():
        assert column["up"]["sort"] == "ascending", name
        values = numbers(column["up"]["values"])
        assert values is not None, name
        assert values == sorted(values), name
        assert numbers(column["down"]) == sorted(values, reverse=True), name
    assert found["before"] != found["after"], "the theme does not change"
    assert not found["wide"], "the page is wider than the window"
    assert len(found["pictures"]) >= 8
    assert min(found["pictures"]) > 200


@pytest.mark.parametrize(("scheme", "dark"), [("1", False), ("0", True)])
def test_both_themes_are_drawn(
    page: str, browser: Browser, tmp_path: Path, scheme: str, dark: bool
) -> None:
    shot = tmp_path / "shot.png"
    browser(page, f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={shot}")
    grey = matplotlib.image.imread(shot)[..., :3].mean(axis=2)
    ground = float(np.median(grey))
    assert ground < 0.2 if dark else ground > 0.9
    # Text stands out from the ground, whichever it is.
    assert np.abs(grey - ground).max() > 0.7
    assert np.mean(np.abs(grey - ground) > 0.3) > 0.01


class Links(HTMLParser):
    """Gathers everything that a browser would fetch or could be led to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action", "data", "srcset") and value:
                self.found.append(value)


def test_the_page_refers_to_nothing_outside(page: str) -> None:
    links = Links()
    links.feed(page)
    assert all(link.startswith(("#", "data:")) for link in links.found)
    assert not re.search(r"@import|url\((?!#|\"#|data:)", page)


def test_ids_are_unique(page: str) -> None:
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_the_answer_is_the_data_s(sweep: pd.DataFrame, page: str) -> None:
    runs = measured(sweep)
    busy = runs[(runs["way"] == "busy") & (runs["iodepth"] == 1)]["iops"].median()
    assert f"At iodepth 1, busy has the highest median of IOPS: {busy / 1000:.0f}k," in page
    assert "Which way of waiting serves randread 4k best as iodepth varies?" in page


def test_the_page_has_warnings_environment_commands_and_plan(page: str) -> None:
    for words in (
        "Before you believe it",
        "fio used a whole CPU",
        "Noise: one point (event, iodepth 1) was measured twice in each round. In half of the",
        "null engine",
        "Example CPU 3.0 GHz",
        "fio --output-format=json+",
        "axes = &#39;six ways&#39;",
        "iodepth=1",
    ):
        assert words in page


def test_equal_results_make_equal_pages(sweep: pd.DataFrame) -> None:
    few = sweep[sweep["iodepth"] == 32]
    assert report.html(few) == report.html(few)


def test_what_the_data_says_is_escaped(sweep: pd.DataFrame) -> None:
    few = sweep[(sweep["iodepth"] == 32) & (sweep["role"] == "measured")]
    page = report.html(few.assign(host_cpu_model="<script>alert(1)</script>"))
    assert "<script>alert" not in page


def test_unlike_loads_are_drawn_apart(sweep: pd.DataFrame) -> None:
    some = sweep[(sweep["role"] == "measured") & (sweep["repeat"] <= 2)]
    both = pd.concat([some, some.assign(rw="randwrite")], ignore_index=True)
    captions = {picture.caption for picture in report_pictures.draw(both)}
    assert captions == {"randread", "randwrite"}


def test_failures_only_make_a_page_too(sweep: pd.DataFrame) -> None:
    page = report.html(sweep.assign(error="fio hung"))
    assert "No run of a point succeeded." in page
    assert "100 of 100 runs failed" in page


def test_markdown_has_the_answer_the_table_and_the_doubts(sweep: pd.DataFrame) -> None:
    text = report.markdown(sweep)
    lines = text.splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 18
    assert len({line.count("|") for line in table}) == 1
    assert "- At iodepth 1, busy has the highest median of IOPS" in text
    assert "**Before you believe it**" in text
    assert "\n\n\n" not in text


def test_a_title_is_the_heading_of_both(sweep: pd.DataFrame) -> None:
    few = sweep[sweep["iodepth"] == 32]
    assert "<h1>Two disks</h1>" in report.html(few, title="Two disks")
    text = report.markdown(few, title="Two disks")
    assert text.startswith("### Two disks\n\nWhich way of waiting serves randread 4k best?")


def test_a_sweep_that_half_failed_says_so_first(sweep: pd.DataFrame) -> None:
    half = sweep.copy()
    half.loc[half["way"] == "busy", "error"] = "fio hung"
    text = report.markdown(half)
    assert text.index("15 of 100 runs failed, most often: fio hung.") < text.index("event")
    page = report.html(half)
    assert page.index("15 of 100 runs failed") < page.index('class="headline"')


def test_a_sweep_that_stopped_early_says_what_its_intervals_are_worth(sweep: pd.DataFrame) -> None:
    few = sweep[sweep["iodepth"] == 32]
    assert "(target_ci)" in report.markdown(few, {"out": "target_ci = 0.02\n"})
    assert "target_ci" not in report.markdown(few, {"out": "repeats = 5\n"})


def test_no_number_has_an_exponent(sweep: pd.DataFrame) -> None:
    large = sweep.assign(looks_per_io=sweep["looks_per_io"] * 1e5, cpu_us=sweep["cpu_us"] * 100)
    assert not re.search(r"\de[+-]\d", report.markdown(large))


def test_one_way_is_drawn_against_depth(sweep: pd.DataFrame) -> None:
    one = sweep[(sweep["way"] == "busy") & (sweep["role"] == "measured")]
    assert report.question(one).startswith("What do IOPS and latency of randread 4k do as iodepth")
    assert len(list(report_pictures.draw(one))) >= 2


def test_a_report_of_many_points_stays_readable(tmp_path: Path) -> None:
    depths = tuple(range(1, 31))
    patterns = ("randread", "randwrite", "randrw", "read")
    synthetic.write_sweep(
        tmp_path, (0, 20, 100), ("busy",), depths, patterns, repeats=1, details=False
    )
    frame = load(tmp_path)
    page = report.html(frame)
    assert "The pictures show the first 3 of 4 combinations of rw" in page
    assert page.count("<tr>") == 1 + 480
    assert 'id="filter"' in page


def test_a_short_table_needs_no_filter(sweep: pd.DataFrame) -> None:
    few = sweep[(sweep["iodepth"] == 32) & (sweep["role"] == "measured")]
    assert 'id="filter"' not in report.html(few)


def test_a_picture_of_a_part_claims_no_more_than_the_whole(tmp_path: Path) -> None:
    """Its title has the interval of the answer, which corrects for all parts."""
    patterns = ("randread", "randwrite", "randrw")
    synthetic.write_sweep(tmp_path, (0, 20), ("busy",), (1, 8), patterns, details=False)
    frame = load(tmp_path)
    whole = claims.study(frame)
    part = frame[frame["rw"] == "randwrite"]
    shown = claims.within(whole, {"rw": "randwrite"}, part)
    assert [answer.where for answer in shown.answers] == [{"iodepth": 1}, {"iodepth": 8}]
    own = [answer.iops for answer in whole.answers if answer.where["rw"] == "randwrite"]
    assert [answer.iops for answer in shown.answers] == own
    assert claims.title(shown) in re.sub(r"\s+", " ", report.html(frame))

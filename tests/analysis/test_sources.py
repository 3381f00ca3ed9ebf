# SPDX-License-Identifier: GPL-2.0-or-later
"""sources.py: what results are called, and that none of them is given twice."""

from pathlib import Path

import pytest

from pyfio_virtio.analysis import sources
from pyfio_virtio.errors import UsageError


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["base", "new"], ["base", "new"]),
        (["/x/base/", "./new"], ["base", "new"]),
        (["a/out", "b/out"], ["a/out", "b/out"]),
        (["a/out", "b/out", "new"], ["a/out", "b/out", "new"]),
        (["x/a/out", "y/a/out"], ["x/a/out", "y/a/out"]),
        (["/out", "/out/out"], ["/out", "out/out"]),
        (["a.json", "b.json"], ["a.json", "b.json"]),
        (["/"], ["/"]),
    ],
)
def test_the_shortest_ends_that_differ_are_the_names(paths: list[str], names: list[str]) -> None:
    assert sources.names_of(paths) == names


def test_the_folder_here_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert sources.names_of(["."]) == [tmp_path.name]


def test_a_link_keeps_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(tmp_path)
    assert sources.names_of([tmp_path / "latest"]) == ["latest"]


def test_results_given_twice_are_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    for twice in ([tmp_path, tmp_path], [tmp_path, tmp_path / "link"]):
        with pytest.raises(UsageError, match="was given twice"):
            sources.require_different(twice)
    sources.require_different([tmp_path, tmp_path / "other"])

# SPDX-License-Identifier: GPL-2.0-or-later
"""pyproject.toml names each library that the installed package imports."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OWN = {"pyfio_virtio", "fio_virtio", "vhost_backend"}
# jinja2 cannot be installed without markupsafe; typing_extensions is only for checks of types.
IMPLIED = {"markupsafe", "typing_extensions"}


def imported(file: Path) -> Iterator[str]:
    """The top-level names of the modules that a file imports, in functions too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name.split(".")[0] for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def test_every_library_that_is_imported_is_a_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {each.split(">=")[0].replace("-", "_") for each in project["dependencies"]}
    files = [*(ROOT / "pyfio_virtio").rglob("*.py"), *(ROOT / "analysis").rglob("*.py")]
    used = {name for file in files for name in imported(file)}
    assert used - set(sys.stdlib_module_names) - OWN - IMPLIED <= named

# SPDX-License-Identifier: GPL-2.0-or-later
"""Sphinx's settings for the site. __main__.py gives Sphinx this folder and the pages."""

import sys
import tomllib
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
with (ROOT / "pyproject.toml").open("rb") as file:
    _PROJECT = tomllib.load(file)["project"]

# For autodoc and sphinx-click, which import the package.
sys.path.insert(0, str(ROOT))

project = _PROJECT["name"]
version = release = _PROJECT["version"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_click", "sphinx_copybutton"]
root_doc = "index"

# Headings have the anchors that code hosts give them.
myst_heading_anchors = 6
# A link or a reference that leads nowhere is a warning, and the build fails on warnings.
nitpicky = True
# Names from other projects, and types that autodoc shows as text.
nitpick_ignore_regex = [("py:.*", ".*"), ("c:identifier", "(u?int64_t|size_t|ssize_t|iovec)")]
suppress_warnings = ["myst.header"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "separated"

html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = [str(HERE / "static")]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_show_copyright = False
html_permalinks_icon = "#"
pygments_style = "friendly"
pygments_dark_style = "github-dark"
copybutton_exclude = ".linenos, .gp, .go"


def setup(app: Sphinx) -> None:
    """Shows diagrams as their text, because drawing them would need a program from the network."""
    app.add_lexer("mermaid", TextLexer)

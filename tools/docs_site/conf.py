# SPDX-License-Identifier: GPL-2.0-or-later
"""Sphinx's settings for the site. __main__.py gives Sphinx this folder and the pages."""

import re
import sys
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from project import ROOT, settings

HERE = Path(__file__).resolve().parent
_PROJECT = settings()["project"]

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
# Options begin with two hyphens, which may not become a dash.
smartquotes = False
default_role = "literal"
# Names from other projects, and types that autodoc shows as text.
nitpick_ignore_regex = [("py:.*", ".*"), ("c:identifier", "(u?int64_t|size_t|ssize_t|iovec)")]
suppress_warnings = ["myst.header"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"

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


# What reStructuredText would not leave as it is. Text in backticks is code in help texts too.
SPECIAL = re.compile(r"[\\*_|]")


def _help_as_shown(app: Sphinx, context: object, lines: list[str]) -> None:
    """Help texts are plain text. sphinx-click puts a bar before lines that stay as they are."""
    found: list[str] = []
    was_code = False
    for line in lines:
        text = line.removeprefix("| ")
        is_code = line.startswith("| ") and (text.startswith(" ") or not text.endswith(":"))
        if is_code != was_code:
            found += ["", ".. code-block:: text", ""] if is_code else [""]
        found.append(f"   {text}" if is_code else SPECIAL.sub(r"\\\g<0>", text))
        was_code = is_code
    lines[:] = found


def _options_as_shown(app: Sphinx, context: object, lines: list[str]) -> None:
    """The same for options. sphinx-click writes defaults, also paths, as Python does."""
    for i, line in enumerate(lines):
        if line.lstrip().startswith(":default:"):
            lines[i] = re.sub(r"``(?:PosixPath\()?'(.*)'\)?``$", r"``\1``", line)
        elif not line.startswith(".. "):
            lines[i] = SPECIAL.sub(r"\\\g<0>", line)


def _without_arguments(app: Sphinx, context: object, lines: list[str]) -> None:
    """The usage has them, and click knows nothing more about them."""
    lines.clear()


def setup(app: Sphinx) -> None:
    # Diagrams are shown as their text, because a program from the network would have to draw them.
    app.add_lexer("mermaid", TextLexer)
    for part in ("description", "epilog"):
        app.connect(f"sphinx-click-process-{part}", _help_as_shown)
    app.connect("sphinx-click-process-options", _options_as_shown)
    app.connect("sphinx-click-process-arguments", _without_arguments)

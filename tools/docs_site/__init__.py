# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes web pages of docs/ and of the sources.

pages.py copies and changes the Markdown, reference.py makes pages of the sources, conf.py has
Sphinx's settings, and `python -m docs_site` (__main__.py) calls Sphinx. `make site` calls that.
"""

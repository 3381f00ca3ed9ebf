# SPDX-License-Identifier: GPL-2.0-or-later
"""Analyses stored runs: tables, statistics, pictures and a report.

This file owns the names that users import; each module says what it owns. matplotlib is
imported together with plots, and not before somebody needs a picture.

pyfio_virtio/analysis is a symbolic link to this folder, so that the folder is at the top level
and is imported as pyfio_virtio.analysis. A package-dir mapping does not replace the link, because
mypy fails with it after a default editable install, and imports from the root fail after a strict
one.
"""

from pyfio_virtio.analysis.frame import load

__all__ = ["load"]

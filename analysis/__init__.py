# SPDX-License-Identifier: GPL-2.0-or-later
"""Analyses stored runs: tables, statistics, pictures and a report.

Enter at report.py (the page). frame.py reads the runs, stats.py and findings.py say what they
show, plots.py and timeplots.py draw, and picture_names.py has the names of pictures for the
command `plot`. matplotlib is imported together with plots.py, and not before somebody needs a
picture.

pyfio_virtio/analysis is a symbolic link to this folder, so that the folder is at the top level
and is imported as pyfio_virtio.analysis. A package-dir mapping does not replace the link, because
mypy fails with it after a default editable install, and imports from the root fail after a strict
one.
"""

from pyfio_virtio.analysis.frame import load

__all__ = ["load"]

# SPDX-License-Identifier: GPL-2.0-or-later
"""From runs to answers: tables, statistics, pictures and a report.

Owns the names that users import; each module says what it owns. matplotlib is imported
with plots, never earlier than someone asks for it.

pyfio_virtio/analysis is a link to this folder, so that the folder stands at the top level and is
imported as pyfio_virtio.analysis. With a package-dir mapping in its place, mypy fails after a
default editable install, and imports from the root fail after a strict one.
"""

from pyfio_virtio.analysis.frame import load

__all__ = ["load"]

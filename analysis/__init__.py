# SPDX-License-Identifier: GPL-2.0-or-later
"""From runs to answers: tables, statistics, pictures and a report.

Owns the names that users import; each module says what it owns. matplotlib is imported
with plots, never earlier than someone asks for it.
"""

from pyfio_virtio.analysis.frame import load

__all__ = ["load"]

# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of a job for the logs that hosts send, which parts.py reads."""

from collections.abc import Mapping
from types import MappingProxyType

LOG = "fio"
LOG_MS = 100
# The options of a job for the logs that are read. Each of its jobs has a log of its own,
# because with per_job_logs=0 fio's client keeps only that of the last one.
LOG_OPTIONS: Mapping[str, str | None] = MappingProxyType(
    {
        "write_iops_log": LOG,
        "write_bw_log": LOG,
        "log_avg_msec": str(LOG_MS),
        "log_unix_epoch": "1",
        "per_job_logs": "1",
    }
)

# SPDX-License-Identifier: GPL-2.0-or-later
"""What a process used of the CPUs: the value that samples, runs and records share. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CpuUse:
    """CPU time and context switches of all threads of a process during a run."""

    user_s: float
    system_s: float
    voluntary_switches: int
    involuntary_switches: int

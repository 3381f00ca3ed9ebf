# SPDX-License-Identifier: GPL-2.0-or-later
"""What a process used of the CPUs: the value that samples, runs and records share. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CpuUse:
    """CPU time and context switches of all threads of a process during a run."""

    user_s: float  # CPU time of the program itself
    system_s: float  # CPU time of the kernel for it
    voluntary_switches: int  # how often a thread began to wait
    involuntary_switches: int  # how often a thread lost its CPU to another one

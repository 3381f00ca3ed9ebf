# SPDX-License-Identifier: GPL-2.0-or-later
"""Comparisons with fio's own engines and between our ways, as ratios of interleaved runs.

`python -m bench --help` lists them; README.md here tells how to read what they print.
"""

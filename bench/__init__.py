# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares the engine with fio's own engines, and its ways of waiting, by interleaved runs.

`python -m bench --help` lists the comparisons. README.md here says how to read the tables.
"""

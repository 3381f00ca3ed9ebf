# SPDX-License-Identifier: GPL-2.0-or-later
"""Which build of the engine goes with which fio: those that are there, and those that are built.

It may use: engine, fio, machine.
Enter at builds.py, which chooses; building.py builds, and cache.py is where builds are kept.
"""

# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds the options with which a disk is fastest within a given time, and makes job files of them.

It may use: backends, fio, machine, results, sweep.
Enter at tuner.py, which spends the time. search.py decides what is tried, and measuring.py runs it.
What the last runs show is judged by analysis/tuned.py, which a command passes the results to.
"""

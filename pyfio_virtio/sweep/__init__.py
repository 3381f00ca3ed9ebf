# SPDX-License-Identifier: GPL-2.0-or-later
"""Many runs of fio: which points, in which order, on which back-ends, and the record of each run.

It may use: backends, engine, fio, machine, results.
Enter at run.py; before it, settings.py, plan.py and points.py say what will be run.
bench/, which has other comparisons than of combinations, enters at one_run.py.
"""

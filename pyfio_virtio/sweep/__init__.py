# SPDX-License-Identifier: GPL-2.0-or-later
"""Many runs of fio: their points, their order, their back-ends, and the record of each run.

It may use: backends, builds, engine, fio, hosts, machine, results.
Enter at run.py. settings.py, plan.py and points.py decide what it runs.
bench/ makes single runs only, and enters at one_run.py.
"""

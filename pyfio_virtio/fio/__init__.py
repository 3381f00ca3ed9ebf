# SPDX-License-Identifier: GPL-2.0-or-later
"""fio itself: the program, its command line, its job files and its output. It does not decide what
is run.

It may use: machine.
Enter at fio.py (find and launch), job.py (job files), output.py (fio's JSON).
"""

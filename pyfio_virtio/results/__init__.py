# SPDX-License-Identifier: GPL-2.0-or-later
"""Results as they are stored: the folder of a sweep, and the record of a run in all its versions.

It may use: fio, machine.
Enter at results.py (the folder) and record.py (the columns; fio/output.py has those that come from
fio's output).
"""

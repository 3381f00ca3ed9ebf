# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk behind a socket for Python programs, with blocking, asynchronous and asyncio calls; and
verify, which writes a disk and reads it back.

It may use: engine, machine.
Enter at disk.py.
"""

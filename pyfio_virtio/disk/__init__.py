# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk behind a socket, for Python programs: blocking, asynchronous and asyncio; and verify,
which writes a disk and reads it back.

It may use: engine.
Enter at disk.py.
"""

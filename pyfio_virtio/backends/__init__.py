# SPDX-License-Identifier: GPL-2.0-or-later
"""Back-ends that we start: qemu-storage-daemon, the built-in one and their like, and the records of
those that stay.

It may use: engine, machine.
Enter at backends.py; builtin.py is the program that serves the built-in back-end.
"""

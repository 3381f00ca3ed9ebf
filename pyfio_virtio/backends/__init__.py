# SPDX-License-Identifier: GPL-2.0-or-later
"""Back-ends that we start (the built-in one and qemu-storage-daemon), and the records of those that
keep running after the command.

It may use: engine, machine.
Enter at backends.py, which starts them; spec.py says which one is wanted. builtin.py is the program
that serves the built-in back-end.
"""

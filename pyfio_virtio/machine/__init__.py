# SPDX-License-Identifier: GPL-2.0-or-later
"""This machine and its processes: how child processes are started and ended, what signals do
to this process, the private folders of this user, facts about the host, and its memory.

It may use: nothing.
Enter at process.py, signals.py, folders.py, host.py or memory.py, one subject each.
"""

# SPDX-License-Identifier: GPL-2.0-or-later
"""Work on several hosts: `serve`, which lets others run jobs on this host, and the controller,
which runs a job on many hosts that serve.

It may use: backends, builds, engine, fio, machine, results.
Enter at wire.py, which has both sides' messages.
"""

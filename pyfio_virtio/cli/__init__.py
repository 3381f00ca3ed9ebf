# SPDX-License-Identifier: GPL-2.0-or-later
"""The command pyfio-virtio. Each command has a file, which reads the flags, calls one function of
another room, and prints. Nothing else in the package prints or imports click.

It may use: backends, builds, disk, engine, explain, fio, hosts, machine, restarts,
results, sweep, tune.
Enter at main.py; options.py holds the options that several commands share. The flags of `sweep`
that are settings of a sweep are in sweep_options.py, its others in sweep.py.
"""

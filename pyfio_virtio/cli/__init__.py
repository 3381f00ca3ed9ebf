# SPDX-License-Identifier: GPL-2.0-or-later
"""The command pyfio-virtio: a file for each command, which reads flags, calls one function below,
and prints. Nothing else in the package prints or knows click.

It may use: backends, disk, engine, fio, machine, results, sweep.
Enter at main.py; what several commands share is in options.py.
"""

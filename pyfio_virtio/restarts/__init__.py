# SPDX-License-Identifier: GPL-2.0-or-later
"""The restart test: a load that knows which of its writes were acknowledged, on a back-end that is
killed and started again.

It may use: backends, disk, machine.
Enter at trial.py.
"""

# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine as Python sees it: the shared object, its counters, and the feature bits by name.

It may use: nothing.
Enter at engine.py, the only module that loads a shared object.
"""

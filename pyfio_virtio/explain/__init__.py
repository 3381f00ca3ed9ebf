# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the time of a request goes: the times that both sides took, their parts, and sentences.

It may use: nothing.

Enter at requests.py, which reads the times; parts.py makes the bars of a picture of them, and
words.py the sentences. watching.py chooses the CPU of the thread that watches the used ring.
"""

# SPDX-License-Identifier: GPL-2.0-or-later
"""Objects that stand for something in C, or for a connection, and so cannot be copied."""

from typing import NoReturn


class Uncopied:
    """Its copy would use, and close, what it uses itself."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} cannot be copied or pickled: make another one")

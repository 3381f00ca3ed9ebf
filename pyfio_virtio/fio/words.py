# SPDX-License-Identifier: GPL-2.0-or-later
"""The line in which fio or its engine says why something failed, among all that fio prints.

Knows which lines of fio only repeat that there was a failure. Pure; any thread may call.
"""

from __future__ import annotations

import re

# With this line fio notes a failure; the reason stands above it.
_FAILED = re.compile(r"^fio: (pid=\d+, err=|job .* dropped)", re.MULTILINE)
# These lines say that something failed, but not why.
_WITHOUT_REASON = re.compile(
    r"fio: (pid=|job .* dropped|io engine .* init failed|failed parsing |failed to load engine"
    r"|file:)|Did you mean "
)


def reason(text: str) -> str:
    """The line that says why a job failed; "" if fio printed nothing."""
    failed = _FAILED.search(text)
    said = _lines(text[: failed.start()] if failed else text) or _lines(text)
    reasons = [line for line in said if not _WITHOUT_REASON.match(line)]
    found = reasons[-1] if reasons else said[0] if said else ""
    return found.removeprefix("fio: ")


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]

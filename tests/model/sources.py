# SPDX-License-Identifier: GPL-2.0-or-later
"""What a function of the engine does to memory that others see, in the order of its text."""

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The ordered loads and stores of both programs, questions for calls, the states of poller.c, and
# the fields of the record of requests in flight.
ACCESS = re.compile(
    r"\b((?:load|store)_(?:relaxed|acquire|release|seq_cst)_u\d+"
    r"|shared_(?:read|write)(?:_\w+)?"
    r"|__ATOMIC_\w+"
    r"|virtq_(?:ask|refuse)_calls(?=\()"
    r"|(?:WAITER|TURN)_\w+)"
    r"|\b(?:entry->|entries\[\w+\]\.|queue->|inflight->)"
    r"(counter|inflight|next|last_batch_head|used_index|version)\b"
)


@cache
def functions_of(path: str) -> dict[str, tuple[str, ...]]:
    """The accesses of each function that the file defines."""
    text = re.sub(r"/\*.*?\*/", "", (ROOT / path).read_text(), flags=re.DOTALL)
    defined = re.findall(r"^\w[^;{}#]*?\b(\w+)\([^;{}]*\)\n\{\n(.*?)^\}", text, re.M | re.S)
    return {name: tuple(a or b for a, b in ACCESS.findall(body)) for name, body in defined}

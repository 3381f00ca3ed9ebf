# SPDX-License-Identifier: GPL-2.0-or-later
"""fio/words.py: which of fio's lines says why."""

import pytest

from pyfio_virtio.fio.words import reason


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("Bad option <bss=4k>\nDid you mean bs?\nfio: job a dropped\n", "Bad option <bss=4k>"),
        ("fio: failed parsing wait\nfio: job a dropped\n", "failed parsing wait"),
        (
            "bs: min value out of range: 0 (1 min)\nfio: failed parsing bs=0\nfio: job a dropped\n",
            "bs: min value out of range: 0 (1 min)",
        ),
        (
            "fio_virtio: no pages\nfio: io engine fio_virtio init failed.\nfio: pid=7, err=12/x\n",
            "fio_virtio: no pages",
        ),
        (
            "fio_virtio: no queue\nfio: pid=0, err=16/x\nfio_virtio: a note\n",
            "fio_virtio: no queue",
        ),
        ("fio: pid=7, err=5/file:x, error=I/O error\n", "pid=7, err=5/file:x, error=I/O error"),
    ],
)
def test_the_line_with_the_reason_is_found(text: str, line: str) -> None:
    assert reason(text) == line

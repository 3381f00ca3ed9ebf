# SPDX-License-Identifier: GPL-2.0-or-later
"""fio/acceptance.py: what fio takes, and how it reads it."""

import pytest

from pyfio_virtio.engine import engine
from pyfio_virtio.fio import acceptance, fio
from pyfio_virtio.fio.acceptance import Answer


def ask(*lines: str) -> Answer:
    text = "\n".join(["[a]", "ioengine=fio_virtio", *lines, ""])
    environment = {"LD_LIBRARY_PATH": fio.library_path(engine.folder())}
    return acceptance.ask(fio.find(), text.encode(), environment)


def test_a_job_that_fio_takes_has_readings() -> None:
    answer = ask("iodepth=1-8", "bs=4k,8k", "rw=randread", "[b]", "ioengine=null")
    assert answer.refusal == ""
    found = {(each.section, each.name): each for each in answer.readings}
    assert (found["a", "iodepth"].text, found["a", "iodepth"].numbers) == ("1-8", [1, 8])
    assert (found["a", "bs"].kind, found["a", "bs"].numbers) == ("OPT_ULL", [4096, 8192])
    assert found["a", "rw"].numbers == []
    assert ("b", "ioengine") in found


@pytest.mark.parametrize(
    ("line", "refusal", "advice"),
    [
        ("wait=buzy", "failed parsing wait", "use event, busy, sleepy or adaptive"),
        ("bss=4k", "Bad option <bss=4k>", "did you mean bs?"),
        ("rw=${NO_SUCH_RW}", "failed parsing rw", "set the environment variable NO_SUCH_RW"),
        ("bs=0", "bs: min value out of range: 0 (1 min)", ""),
    ],
)
def test_a_refusal_has_its_reason_and_advice(line: str, refusal: str, advice: str) -> None:
    answer = ask(line)
    assert answer.refusal.startswith(refusal)
    assert answer.advice() == advice
    assert answer.readings == ()


def test_one_value_is_advised_alone() -> None:
    assert Answer("no", ("event",)).advice() == "use event"

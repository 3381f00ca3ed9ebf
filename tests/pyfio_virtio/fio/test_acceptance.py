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


@pytest.mark.parametrize(
    ("line", "number", "advice"),
    [
        ("iodepth=1-8", "1", "for several values, write 1,8"),
        ("iodepth=1e3", "1", "write a whole number"),
        ("iodepth=1.5", "1", "write a whole number"),
        ("iodepth=8s", "8", "write a whole number"),  # no option for a time
        ("thinktime=5lightyears", "5", "write a whole number"),
        ("runtime=30sec", "30 us", "write a whole number"),
        ("runtime=1.5", "1000000 us", "write a whole number"),
        ("startdelay=1s-2s", "1 us", "write a whole number"),
        ("ramp_time=10minutes", "10 us", "write a whole number"),
        ("iodepth=4294967297", "1", "it must be below 4294967296"),
    ],
)
def test_a_number_that_fio_reads_only_in_part(line: str, number: str, advice: str) -> None:
    [wrong] = filter(None, map(acceptance.misread, ask(line).readings))
    assert (wrong.option, wrong.number) == (line, number)
    assert wrong.advice.startswith(advice)


@pytest.mark.parametrize(
    "line",
    [
        *("bs=4k", "bs=4KiB", "bs=4k,8k", "bs=0x1000", "bs=1mb", "size=50%", "size=1g"),
        *("thinktime=10us", "thinktime=10usec", "thinktime=10msec", "thinktime=2"),
        *("runtime=30", "runtime=30s", "runtime=2m", "runtime=1H", "latency_target=500us"),
        *("steadystate_duration=30s", "startdelay=1-2s", "rate=1m,2m", "rate_iops=,100"),
        *("offset=-4k", "iodepth=1k", "percentage_random=10,20,30", "max_latency=10ms,1s"),
    ],
)
def test_a_number_that_fio_reads_whole(line: str) -> None:
    answer = ask(line)
    assert answer.refusal == ""
    assert not list(filter(None, map(acceptance.misread, answer.readings)))

# SPDX-License-Identifier: GPL-2.0-or-later
"""fio/readings.py: which numbers fio reads only in part."""

import pytest

from pyfio_virtio.engine import engine
from pyfio_virtio.fio import fio, readings
from pyfio_virtio.fio.job import parse
from pyfio_virtio.fio.readings import Reading


def said(text: str) -> str:
    [answer] = fio.parsed(fio.find(), [parse(text)], (), engine.folder())
    return answer


def every(line: str) -> list[Reading]:
    return list(readings.every(said(f"[a]\nioengine=null\nsize=1m\n{line}\n")))


def test_a_section_without_options_is_one() -> None:
    found = readings.sections(said("[global]\nioengine=null\nsize=1m\n[a]\n[b]\nbs=4k\n"))
    assert [(each.name, len(each.options)) for each in found] == [("global", 2), ("a", 0), ("b", 1)]


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
        ("bs=-1", "18446744073709551615", "it must not be negative"),
        ("iodepth=4294967297", "1", "it must be below 4294967296"),
    ],
)
def test_a_number_that_fio_reads_only_in_part(line: str, number: str, advice: str) -> None:
    [wrong] = filter(None, map(readings.misread, every(line)))
    assert (wrong.option, wrong.number) == (line, number)
    assert wrong.advice.startswith(advice)


@pytest.mark.parametrize(
    "line",
    [
        *("bs=4k", "bs=4KiB", "bs=4k,8k", "bs=0x1000", "bs=1mb", "size=50%", "io_size=1g"),
        *("thinktime=10us", "thinktime=10usec", "thinktime=10msec", "thinktime=2"),
        *("runtime=30", "runtime=30s", "runtime=2m", "runtime=1H", "latency_target=500us"),
        *("steadystate_duration=30s", "startdelay=1-2s", "rate=1m,2m", "rate_iops=,100"),
        *("offset=-4k", "iodepth=1k", "percentage_random=10,20,30", "max_latency=10ms,1s"),
    ],
)
def test_a_number_that_fio_reads_whole(line: str) -> None:
    found = every(line)
    assert found
    assert not list(filter(None, map(readings.misread, found)))

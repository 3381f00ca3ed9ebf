# SPDX-License-Identifier: GPL-2.0-or-later
"""sweep/option_checks.py: which value fio would refuse or misread."""

from collections.abc import Mapping

import pytest

from pyfio_virtio.engine import engine
from pyfio_virtio.errors import UsageError
from pyfio_virtio.fio import fio
from pyfio_virtio.sweep.option_checks import Asked, Checker

GOOD = {"rw": "randread", "bs": "4k", "iodepth": "8"}


def asked(options: Mapping[str, str], jobs: int = 1) -> Asked:
    lines = "".join(f"{name}={value}\n" for name, value in options.items())
    job = f"[global]\nioengine=fio_virtio\n\n[sweep]\n{lines}"
    return Asked("the point", "fio_virtio", tuple(options.items()), job, jobs)


@pytest.fixture
def checker() -> Checker:
    environment = {"LD_LIBRARY_PATH": fio.library_path(engine.folder())}
    return Checker(fio.find(), environment, frozenset(["queue_size"]))


@pytest.mark.parametrize(
    "options",
    [
        {"bs": "4k,8k"},
        {"bs": "4KiB"},
        {"rate": "1m,,2m"},
        {"startdelay": "1-3"},
        {"thinktime": "5ms"},
        {"size": "50%"},
        {"iodepth": "0x10"},
        {"bssplit": "4k/50:8k/50,8k/100"},
        {"random_distribution": "zipf:1.2"},
        {"percentile_list": "50:99.9"},
        {"numjobs": "$ncpus"},
        {"nice": "-5"},
        {"zonemode": "zbd", "zonesize": "1m"},
    ],
)
def test_values_that_fio_reads_whole_are_taken(checker: Checker, options: dict[str, str]) -> None:
    checker.check([asked(GOOD | options)])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"iodepth": "1-8"}, r"iodepth=1-8: fio would read it as 1; for several values, write 1,8"),
        ({"iodepth": "8,16"}, "iodepth=8,16: fio would read it as 8"),
        ({"bs": "4x"}, "bs=4x: fio would read it as 4; write a whole number"),
        ({"bs": "4k,8x"}, "bs=4k,8x: "),
        ({"thinktime": "5lightyears"}, "thinktime=5lightyears: fio would read it as 5"),
        ({"runtime": "1.5"}, "runtime=1.5: fio would read it as 1000000"),
        ({"iodepth": "4294967297"}, "iodepth=4294967297: fio would read it as 1; it must be below"),
        ({"wait": "buzy"}, "wait=buzy: fio does not take this value; use event, busy, sleepy or"),
        ({"bss": "4k"}, "bss=4k: neither fio nor its engine fio_virtio has an option bss; did you"),
        ({"norandommap": "yes"}, "norandommap=yes: fio cannot read this value; fio --cmdhelp=nora"),
        ({"queue_size": "64k"}, r"queue_size=64k: .*; fio --enghelp=fio_virtio,queue_size desc"),
        ({"bss": "4k", "wait": "buzy"}, "bss=4k: neither"),
    ],
)
def test_the_value_at_fault_is_named(
    checker: Checker, options: dict[str, str], sentence: str
) -> None:
    with pytest.raises(UsageError, match=f"cannot use {sentence}"):
        checker.check([asked(GOOD), asked(GOOD | options), asked(GOOD)])


def test_a_wrong_job_is_found_among_very_many(checker: Checker) -> None:
    jobs = [asked(GOOD | {"numjobs": "64"}, 64)] * 100
    with pytest.raises(UsageError, match="rw=randreed: fio does not take this value"):
        checker.check([*jobs, asked(GOOD | {"rw": "randreed"}), *jobs])


@pytest.mark.parametrize(("value", "number"), [("0x4", "4"), ("7", "7")])
def test_a_number_of_jobs_is_plain(checker: Checker, value: str, number: str) -> None:
    assert checker.number_of_jobs(value) == number

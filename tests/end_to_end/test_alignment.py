# SPDX-License-Identifier: GPL-2.0-or-later
"""A job whose requests would not be whole blocks is refused, and the option at fault is named."""

import pytest

from tests.conftest import Fio, Option, StartBackend
from tests.end_to_end.refusal import refusal, sentences

Options = dict[str, Option]

# On a device with blocks of 4 KiB. The words end with what follows them in the sentence.
AT_FAULT: dict[str, tuple[Options, str]] = {
    "bs": ({"rw": "read", "bs": "512"}, "bs=512 of reads is"),
    "bs-of-writes": ({"rw": "randrw", "bs": "4k,6k"}, "bs=6144 of writes is"),
    "bs-of-trims": ({"rw": "trim", "bs": "4k,4k,1k"}, "bs=1024 of trims is"),
    "bsrange": ({"rw": "randread", "bsrange": "1k-8k"}, "bsrange= with 1024 of reads is"),
    "end-of-bsrange": ({"rw": "write", "bsrange": "4k-10000"}, "bsrange= with 10000 of writes is"),
    "bssplit": (
        {"rw": "randread", "bssplit": "4k/50:512/50"},
        "bssplit= with 512 of reads is",
    ),
    "bssplit-of-writes": (
        {"rw": "randrw", "bssplit": "4k/50:8k/50,2k/10:4k/90"},
        "bssplit= with 2048 of writes is",
    ),
    "bssplit-of-one": ({"rw": "randread", "bssplit": "512/100"}, "bssplit= with 512 of reads is"),
    "blockalign": (
        {"rw": "randread", "bs": "4k", "blockalign": "512"},
        "blockalign=512 of reads is",
    ),
    "blockalign-of-writes": (
        {"rw": "randrw", "bs": "8k", "blockalign": "4k,512"},
        "blockalign=512 of writes is",
    ),
    "bs_unaligned": (
        {"rw": "read", "bsrange": "4k-16k", "bs_unaligned": 1},
        "bs_unaligned=1 makes the sizes of reads",
    ),
    "bs_unaligned-with-bssplit": (
        {"rw": "read", "bssplit": "4k/50:5k/50", "bs_unaligned": 1},
        "bs_unaligned=1 with bssplit= and 5120 of reads is",
    ),
    "bs_is_seq_rand": (
        {"rw": "randread", "bs": "4k,512", "bs_is_seq_rand": 1},
        "bs=512 of random requests is",
    ),
    "bs_is_seq_rand-in-sequence": (
        {"rw": "write", "bs": "512,4k", "bs_is_seq_rand": 1},
        "bs=512 of sequential requests is",
    ),
    "percentage_random": (
        {"rw": "randread", "bs": "512,4k", "bs_is_seq_rand": 1, "percentage_random": 50},
        "bs=512 of sequential requests is",
    ),
    "offset": ({"rw": "read", "bs": "4k", "offset": "512"}, "offset=512 is"),
    "offset_align": (
        {"rw": "read", "bs": "4k", "offset": "10%", "offset_align": "512"},
        "offset_align=512 is",
    ),
    "offset-in-percent": (
        {"rw": "read", "bs": "4k,512", "offset": "10%"},
        "offset_align=512 (the smallest bs=) is",
    ),
    "zonesize": (
        {"rw": "read", "bs": "4k", "zonemode": "strided", "zonesize": "10000"},
        "zonesize=10000 is",
    ),
    "zonerange": (
        {
            "rw": "randread",
            "bs": "4k",
            "zonemode": "strided",
            "zonesize": "8k",
            "zonerange": "10000",
        },
        "zonerange=10000 is",
    ),
    "zoneskip": (
        {
            "rw": "read",
            "bs": "4k",
            "zonemode": "strided",
            "zonesize": "8k",
            "zoneskip": "512",
        },
        "zoneskip=512 is",
    ),
    "skip": ({"rw": "read:512", "bs": "4k"}, "rw=...:512 is"),
    "skip-in-zones-of-two-requests": (
        {"rw": "read:3", "bs": "4k", "zonemode": "strided", "zonesize": "8k"},
        "rw=...:3 is",
    ),
    "skip-in-places-of-two-directions": (
        {
            "rw": "rw:3",
            "bs": "4k",
            "zonemode": "strided",
            "zonesize": "64k",
            "zonerange": "4k",
        },
        "rw=...:3 is",
    ),
    "skip-back": ({"rw": "read:-5k", "bs": "4k"}, "rw=...:-5120 is"),
    "size-backwards": (
        {"rw": "read:-8k", "bs": "4k", "offset": "16k", "size": "40000"},
        "rw=...:-N begins at the end, and size=40000 is",
    ),
}

# These run on the same device, although one of their numbers is no multiple of a block.
HARMLESS: dict[str, Options] = {
    "size": {"rw": "read", "bs": "4k", "size": "10000"},
    "size-in-percent-backwards": {"rw": "read:-8k", "bs": "4k", "offset": "16k", "size": "33%"},
    "io_size": {"rw": "randwrite", "bs": "4k", "size": "1m", "io_size": "10000"},
    "bs-of-the-direction-that-is-not-used": {"rw": "read", "bs": "4k,512"},
    "blockalign-without-random-offsets": {"rw": "write", "bs": "4k", "blockalign": "512"},
    "zonesize-with-zonerange": {
        "rw": "read",
        "bs": "4k",
        "zonemode": "strided",
        "zonesize": "10000",
        "zonerange": "16k",
    },
    "skip-in-zones-of-one-request": {
        "rw": "rw:3",
        "bs": "8k",
        "zonemode": "strided",
        "zonesize": "4k",
        "zoneskip": "8k",
    },
    "skip-in-one-place": {
        "rw": "write:-3",
        "bs": "8k",
        "zonemode": "strided",
        "zonesize": "64k",
        "zonerange": "8k",
    },
    "size-backwards-beyond-the-device": {"rw": "read:-8k", "bs": "4k", "size": "999999999"},
    "bs_unaligned-of-one-size": {"rw": "randread", "bs": "4k", "bs_unaligned": 1},
    "bssplit-that-fio-rounds": {"rw": "randread", "bssplit": "4k/50:5k/50"},
    "offset-in-percent": {"rw": "read", "bs": "4k", "offset": "33%"},
    "offset_increment-of-the-first-job": {"rw": "read", "bs": "4k", "offset_increment": "512"},
    "bs_is_seq_rand": {"rw": "randread", "bs": "4k,8k", "bs_is_seq_rand": 1},
    "number-of-random-requests": {"rw": "randread:3", "bs": "4k"},
}


@pytest.mark.parametrize(("options", "words"), AT_FAULT.values(), ids=AT_FAULT)
def test_the_option_at_fault_is_named(
    builtin: StartBackend, fio: Fio, options: Options, words: str
) -> None:
    said = refusal(fio(builtin(block_size=4096).socket, **options))
    assert f"blocks of 4096 bytes: {words}" in said


@pytest.mark.parametrize("options", HARMLESS.values(), ids=HARMLESS)
def test_a_number_that_changes_no_request_is_not_refused(
    builtin: StartBackend, fio: Fio, options: Options
) -> None:
    run = fio(builtin(block_size=4096).socket, **{"number_ios": 200, **options})
    assert run.status == 0, run.stderr


def test_offset_increment_is_named_for_the_jobs_that_it_moves(
    builtin: StartBackend, fio: Fio
) -> None:
    socket = builtin(block_size=4096, queues=2).socket
    run = fio(socket, rw="read", bs="4k", offset_increment="512", numjobs=2, size="1m")
    assert run.status > 0
    assert any("offset_increment=512 is" in said for said in sentences(run))

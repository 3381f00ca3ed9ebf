# SPDX-License-Identifier: GPL-2.0-or-later
"""fio's vocabulary by topic: the options of jobs, and strategies for their values.

Sizes are in whole blocks of the disk, save where fio takes any. What the options mean together is
the affair of jobs.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hypothesis import strategies as st

Values = st.SearchStrategy[str]


@dataclass(frozen=True)
class Topic:
    """Options that belong together: some are always set, of the others a few are drawn."""

    always: Mapping[str, Values]
    sometimes: Mapping[str, Values]


def one(*values: str | int) -> Values:
    return st.sampled_from([str(value) for value in values])


def number(least: int, most: int) -> Values:
    return st.integers(least, most).map(str)


ON = one(1)
YES_OR_NO = one(0, 1)
PERCENT = one(0, 1, 30, 50, 100)
PLAIN = ("read", "write", "rw", "randread", "randwrite", "randrw")
TRIMMING = ("trim", "randtrim", "trimwrite", "randtrimwrite")
# Sizes of requests, in blocks of the disk.
BLOCKS = st.sampled_from([1, 2, 3, 8, 16, 32, 300])
RATES = one("4m", "1m,2m,1m", "800k")
PATTERNS = one("0xa5", '"abcd"-12', "%o", '"x"%o0xff')
VERIFIES = one(
    *("md5", "crc64", "crc32c", "crc32", "crc16", "crc7", "xxhash", "sha512", "sha256", "sha1"),
    *("sha3-256", "pattern", "null"),
)


def bytes_of(block: int, values: st.SearchStrategy[int]) -> Values:
    return values.map(lambda count: str(count * block))


def block_range(block: int) -> Values:
    pairs = st.tuples(BLOCKS, BLOCKS).map(sorted)
    return pairs.map(lambda pair: f"{pair[0] * block}-{pair[1] * block}")


def split(block: int) -> Values:
    return st.lists(BLOCKS, min_size=1, max_size=3, unique=True).map(
        lambda counts: ":".join(f"{count * block}/" for count in counts)
    )


def three_sizes(block: int) -> Values:
    triple = st.tuples(BLOCKS, BLOCKS, BLOCKS)
    return triple.map(lambda counts: ",".join(str(count * block) for count in counts))


def topics(block: int) -> dict[str, Topic]:
    """For a disk with blocks of so many bytes."""
    return {
        "order": Topic(
            {},
            {
                "rwmixread": PERCENT,
                "rwmixwrite": PERCENT,
                "percentage_random": PERCENT,
                "rw_sequencer": one("sequential", "identical"),
                "norandommap": ON,
                "softrandommap": ON,
                "random_generator": one("tausworthe", "lfsr", "tausworthe64"),
                "random_distribution": one(
                    *("zipf:1.1", "pareto:0.3", "normal:40", "zoned:60/10:30/20:10/70"),
                    "zoned_abs:60/64k:40/1m",
                ),
                "randseed": number(1, 99),
                "allrandrepeat": ON,
            },
        ),
        "zones": Topic(
            {
                "zonemode": one("strided", "strided", "none"),
                "zonesize": bytes_of(block, st.integers(1, 64)),
            },
            {
                "zonerange": bytes_of(block, st.integers(1, 128)),
                "zoneskip": bytes_of(block, st.integers(0, 64)),
            },
        ),
        "blocks": Topic(
            {},
            {
                "bs": three_sizes(block),
                "bsrange": block_range(block),
                "bssplit": split(block),
                "blockalign": bytes_of(block, BLOCKS),
                "bs_is_seq_rand": ON,
                "bs_unaligned": ON,
            },
        ),
        "extent": Topic(
            {},
            {
                "io_size": one("64k", "1m", "8m", "50%"),
                "loops": number(2, 3),
                "number_ios": number(1, 300),
                "offset_align": bytes_of(block, BLOCKS),
                "filesize": bytes_of(block, st.integers(64, 600)),
            },
        ),
        "depth": Topic(
            {"iodepth": number(2, 70)},
            {
                "iodepth_batch": number(1, 80),
                "iodepth_batch_complete_min": number(0, 40),
                "iodepth_batch_complete_max": number(1, 80),
                "iodepth_low": number(1, 40),
                "serialize_overlap": ON,
                "io_submit_mode": one("inline"),
            },
        ),
        "verify": Topic(
            {"verify": VERIFIES},
            {
                "verify_interval": bytes_of(block, BLOCKS) | one(64, 512, 1000),
                "verify_offset": one(8, 64, 100),
                "verify_pattern": PATTERNS,
                "verify_backlog": number(1, 100),
                "verify_backlog_batch": number(1, 50),
                "verify_async": number(1, 2),
                "verifysort": YES_OR_NO,
                "do_verify": YES_OR_NO,
                "verify_only": ON,
                "verify_fatal": YES_OR_NO,
                "experimental_verify": ON,
                "verify_dump": ON,
                "verifysort_nr": number(1, 100),
                "verify_state_save": YES_OR_NO,
            },
        ),
        "flushes": Topic(
            {},
            {
                "fsync": number(1, 40),
                "fdatasync": number(1, 40),
                "sync_file_range": one("write:8", "wait_before,write:3", "write,wait_after:16"),
                "end_fsync": ON,
                "fsync_on_close": ON,
                "sync": one("none", "sync", "dsync"),
                "write_barrier": number(1, 9),
            },
        ),
        "trims": Topic(
            {},
            {
                "trim_percentage": PERCENT,
                "trim_backlog": number(1, 50),
                "trim_backlog_batch": number(1, 20),
                "trim_verify_zero": YES_OR_NO,
            },
        ),
        # With thinktime_spin=, fio sleeps for ever if the spin lasts longer than thinktime=.
        "pace": Topic(
            {"number_ios": number(1, 60)},
            {
                "rate": RATES,
                "rate_iops": one("2000", "500,1000,500"),
                "rate_process": one("poisson", "linear"),
                "rate_ignore_thinktime": ON,
                "thinktime": one("100us", "2ms"),
                "thinktime_blocks": number(1, 8),
                "thinktime_blocks_type": one("complete", "issue"),
                "thinktime_iotime": one("1ms"),
                "rate_cycle": one("100"),
                "rate_min": one(1),
                "flow": number(1, 2),
                "startdelay": one("100ms"),
            },
        ),
        "errors": Topic(
            {"continue_on_error": one("all", "io", "read", "write", "verify", "none")},
            {"ignore_error": one("EIO,EIO,EIO", ",EIO", "EIO"), "error_dump": YES_OR_NO},
        ),
        "files": Topic(
            {},
            {
                "create_serialize": YES_OR_NO,
                "create_fsync": YES_OR_NO,
                "create_on_open": YES_OR_NO,
                "create_only": ON,
                "pre_read": ON,
                "overwrite": ON,
                "invalidate": YES_OR_NO,
                "direct": YES_OR_NO,
                "fallocate": one("none", "posix"),
                "fadvise_hint": one("none", "sequential", "random"),
                "allow_file_create": YES_OR_NO,
                "lockfile": one("none", "exclusive", "readwrite"),
                "nrfiles": number(1, 2),
                "openfiles": number(1, 2),
                "file_service_type": one(
                    *("random", "roundrobin", "sequential", "zipf", "pareto"), "roundrobin:8"
                ),
                "unlink": ON,
                "unlink_each_loop": ON,
                "buffered": YES_OR_NO,
                "unique_filename": YES_OR_NO,
            },
        ),
        # write_hint= is not drawn, because not all file systems take hints.
        "process": Topic(
            {},
            {
                "nice": one(1),
                "cpus_allowed": one(0),
                "exec_prerun": one("true"),
                "exec_postrun": one("true"),
                "lockmem": one("1m"),
                "prio": one(4),
                "ioscheduler": one("none"),
                "max_latency": one("60s"),
            },
        ),
        "reports": Topic(
            {},
            {
                "group_reporting": ON,
                "unified_rw_reporting": one("none", "mixed", "both"),
                "write_bw_log": one("report"),
                "write_lat_log": one("report"),
                "write_hist_log": one("report"),
                "log_avg_msec": one(1),
                "log_offset": ON,
                "gtod_reduce": ON,
                "clocksource": one("cpu", "clock_gettime", "gettimeofday"),
                "disable_lat": ON,
                "disable_slat": ON,
                "lat_percentiles": ON,
                "stats": YES_OR_NO,
            },
        ),
        "buffers": Topic(
            {},
            {
                "buffer_pattern": one("0x17", '"text"', "0xdeadface"),
                "zero_buffers": ON,
                "buffer_compress_percentage": PERCENT,
                "buffer_compress_chunk": one(512, 4096),
                "dedupe_percentage": PERCENT,
                "dedupe_mode": one("repeat", "working_set"),
            },
        ),
    }


LOGGED = Topic(
    {},
    {
        "replay_no_stall": YES_OR_NO,
        "read_iolog_chunked": ON,
        "replay_scale": number(1, 4),
        "replay_align": one(4096, 65536),
        "replay_time_scale": one(50, 200),
        "replay_skip": one("read", "write", "trim", "sync", "write,trim"),
        "replay_redirect": one("disks/0"),
    },
)
# Each direction has its own pace.
RATED = Topic(
    {},
    {
        "rate": one("4m", "1m,2m", "800k"),
        "rate_iops": one("2000", "500,1000", ",400"),
        "rate_process": one("poisson", "linear"),
        "rate_ignore_thinktime": ON,
    },
)
CLOCKED = Topic(
    {"runtime": one("100ms", "300ms")},
    {
        "time_based": ON,
        "ramp_time": one("50ms"),
        "latency_target": one("50ms"),
        "latency_window": one("20ms"),
        "rate": RATES,
        "exitall": ON,
        "steadystate": one("iops_slope:0.3%"),
    },
)

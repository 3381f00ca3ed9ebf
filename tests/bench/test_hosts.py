# SPDX-License-Identifier: GPL-2.0-or-later
"""bench/hosts.py: the tables, and what a further host costs."""

from bench import hosts
from bench.__main__ import DEFAULT, HOSTS
from bench.hosts import Whole
from bench.quick import NAMES

MIB = 1 << 20
MERGE = {"hosts": 32, "read_s": 0.25, "combine_s": 0.125, "peak_bytes": 40 * MIB}


def whole(count: int) -> Whole:
    """A run in which every host costs the same."""
    ours = {
        "hosts": count,
        "own_cpu_s": 0.02 * count,
        "clients_cpu_s": 0.1 * count,
        "peak_bytes": (30 + count) * MIB,
        **dict.fromkeys(("ready_s", "first_io_s"), 1.0),
        **dict.fromkeys(("run_skew_ms", "start_skew_ms", "skew_ms"), 2.0),
        **dict.fromkeys(("json_bytes", "result_bytes"), 2048),
        "merges": [MERGE],
    }
    return Whole(count, ours, 7 + 6 * count, count, 28 * MIB, 6 * count * MIB, 0.2, MIB, 3.0, 4.0)


def test_a_further_host_costs_the_slope() -> None:
    text = hosts.table([[whole(1), whole(32)]])
    assert "(1 to 32): 20 ms of CPU, 1.00 MiB and 6.0 descriptors of the controller" in text
    assert "100 ms and 6.0 MiB of its client" in text


def test_every_line_of_a_table_has_a_cell_for_each_column() -> None:
    text = hosts.table([[whole(1), whole(32)]])
    for table in text.split("\n\n"):
        lines = [line.count("|") for line in table.splitlines() if line.startswith("|")]
        assert len(set(lines)) <= 1


def test_it_runs_only_on_request() -> None:
    assert HOSTS not in (*DEFAULT, *NAMES)

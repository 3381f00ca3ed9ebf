# SPDX-License-Identifier: GPL-2.0-or-later
"""The single hosts of runs on several hosts: their rows, and sentences about them.

This file reads the rows of hosts that belong to a frame of runs. It is called from one thread,
reads files and changes none. hostplots.py draws. claim() is the only source of claims about hosts:
a sentence and a title that name one as slow are its text, and all others describe.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pyfio_virtio.analysis import family, stats
from pyfio_virtio.analysis.frame import ALL_JOBS, FIO_DEFAULT_DEPTH, derive, extreme, measured
from pyfio_virtio.analysis.names import NoDataError, listed
from pyfio_virtio.results.record import HOSTS, LARGE_OFFSET_MS, LONG_SKEW, STRAGGLER
from pyfio_virtio.results.results import FIO_JSON, open_sweep
from pyfio_virtio.results.results import HOSTS as HOSTS_FOLDER

HOST = "on_name"
# The column that of_hosts() adds: IOPS divided by the median of all hosts of the same run.
SHARE = "share_of_median"
# More stragglers than these are counted.
MOST_NAMED = 6
_RUN = ["source", "hash", "repeat"]


def is_on_hosts(frame: pd.DataFrame) -> bool:
    """Whether any of these runs was on several hosts, or on one by --hosts."""
    return HOSTS in frame and bool(frame[HOSTS].notna().any())


def of_hosts(frame: pd.DataFrame) -> pd.DataFrame:
    """A row for each host of each of these runs, also of runs and hosts that failed.

    Raises NoDataError if none of the runs was on hosts.
    """
    if not is_on_hosts(frame):
        raise NoDataError("these runs have no hosts", "they were made on one machine")
    wanted = {tuple(row) for row in frame[_RUN].itertuples(index=False)}
    rows = []
    for source in dict.fromkeys(frame["source"]):
        sweep = open_sweep(Path(source))
        for row in sweep.host_rows():
            if (source, row["hash"], row["repeat"]) not in wanted:
                continue
            folder = sweep.run_folder(row["hash"], row["repeat"]) / HOSTS_FOLDER / row[HOST]
            rows.append(
                {
                    "iodepth": FIO_DEFAULT_DEPTH,
                    **row,
                    "source": source,
                    "fio_json": str(folder / FIO_JSON),
                    "job_index": ALL_JOBS,
                    "option_names": tuple(row["option_names"]),
                    "counter_names": tuple(row["counter_names"]),
                }
            )
    if not rows:
        raise NoDataError("these runs have no hosts", "their folder has no rows of single hosts")
    return _with_shares(derive(pd.DataFrame(rows)))


def _with_shares(hosts: pd.DataFrame) -> pd.DataFrame:
    good = hosts[hosts["error"].isna()]
    medians = good.groupby(_RUN)["iops"].transform("median")
    return hosts.assign(**{SHARE: (good["iops"] / medians.where(medians > 0)).reindex(hosts.index)})


Shares = Mapping[str, stats.Comparison]


def compared(hosts: pd.DataFrame) -> Shares:
    """Each host's IOPS compared with those of the median host of the same run.

    The intervals hold for all hosts together. The points of a round count as one, because each of
    them has the same hosts.
    """
    known = hosts.assign(_log=stats.logs(hosts[SHARE])).dropna(subset=["_log"])
    if known[HOST].nunique() < 2:
        return {}
    rounds = known.pivot_table("_log", ["source", "repeat"], HOST, "mean")
    tables = [np.column_stack([0 * rounds[name], rounds[name]]) for name in rounds]
    found = family.all_pairs(tables)
    return {
        str(name): stats.Comparison.of(pairs[0, 1], True)
        for name, pairs in zip(rounds, found, strict=True)
    }


def claim(found: Shares) -> str:
    """Which hosts were shown to be stragglers, or else which one to be the slowest; empty if none.

    Each straggler is named, because it may be as slow as the slowest of them.
    """
    names = sorted(found, key=lambda each: found[each].ratio.value)
    slow = [name for name in names if found[name].ratio.interval.high < STRAGGLER]
    if len(slow) > 1:
        return _of_stragglers(slow, found)
    if not slow and not _is_slowest(names, found):
        return ""
    ratio = found[names[0]].ratio
    between = f"{ratio.value:.2f} ({ratio.interval.low:.2f} to {ratio.interval.high:.2f})"
    return (
        f"Host {names[0]} is {'a straggler' if slow else 'the slowest'} of {len(found)} hosts: "
        f"it does {between} of the median host's IOPS"
    )


def _of_stragglers(slow: Sequence[str], found: Shares) -> str:
    named = list(slow[:MOST_NAMED])
    named += [f"{len(slow) - len(named)} more"] if len(slow) > len(named) else []
    ranges = [found[name].ratio.interval for name in slow]
    between = f"{min(each.low for each in ranges):.2f} to {max(each.high for each in ranges):.2f}"
    return (
        f"Hosts {listed(named)} are stragglers of {len(found)} hosts: "
        f"each does {between} of the median host's IOPS"
    )


def _is_slowest(names: Sequence[str], found: Shares) -> bool:
    """Whether the first of these is surely slower than each of the others."""
    ranges = [found[name].ratio.interval for name in names]
    return all(ranges[0].high < other.low for other in ranges[1:]) if ranges else False


def _of_shares(found: Shares) -> Iterator[str]:
    """The claim, or how far apart the hosts are if nothing was shown."""
    if not found:
        return
    if said := claim(found):
        yield f"{said}."
        return
    middles = [each.ratio.value for each in found.values()]
    apart = f"The hosts did {min(middles):.2f} to {max(middles):.2f} of the median host's IOPS"
    if any(each.is_enough for each in found.values()):
        yield f"{apart}. None was shown to be slower than all others."
        return
    yield f"{apart}. {family.FEWEST_ROUNDS} rounds are needed to show that one is slower."


def failures(frame: pd.DataFrame) -> list[str]:
    """Which hosts failed in which runs, and what was kept; empty if none did."""
    return list(_failures(of_hosts(frame))) if is_on_hosts(frame) else []


def sentences(frame: pd.DataFrame) -> list[str]:
    """What to know about the hosts of these runs; empty if they were on one machine."""
    return list(_sentences(frame)) if is_on_hosts(frame) else []


def _sentences(frame: pd.DataFrame) -> Iterator[str]:
    hosts = of_hosts(frame)
    yield from _of_shares(compared(hosts))
    yield from _times(measured(frame))
    yield from _clocks(hosts)


def _failures(hosts: pd.DataFrame) -> Iterator[str]:
    failed = hosts[hosts["error"].notna()]
    for name, part in failed.groupby(HOST, sort=True):
        runs = len(part)
        first = str(part["error"].iloc[0])
        yield f"Host {name} failed in {runs} {'run' if runs == 1 else 'runs'}: {first}."
    lost = failed[_RUN].drop_duplicates()
    kept = hosts[hosts["error"].isna()].merge(lost, on=_RUN)
    if len(kept):
        count = len(kept)
        yield (
            f"The results of the other hosts in these runs are kept ({count} "
            f"{'result' if count == 1 else 'results'}), but are no result of all hosts together."
        )


def _times(runs: pd.DataFrame) -> Iterator[str]:
    if not {"across_start_skew_ms", "across_window_s"} <= set(runs):
        return
    known = runs.dropna(subset=["across_start_skew_ms"])
    if known.empty:
        return
    worst = extreme(known, "across_start_skew_ms")
    skew_ms, window_s = float(worst["across_start_skew_ms"]), float(worst["across_window_s"])
    sentence = f"The hosts began at most {skew_ms:.3g} ms apart"
    if skew_ms / 1000 > LONG_SKEW * window_s:
        sentence += f", so only {window_s:.2f} s of that run count"
    yield f"{sentence}; IOPS and bytes are those of the time in which all of them ran."


def _clocks(hosts: pd.DataFrame) -> Iterator[str]:
    for name, part in hosts.groupby(HOST, sort=True):
        offset_ms = float(part["on_clock_offset_ms"].abs().max())
        if offset_ms > LARGE_OFFSET_MS:
            apart = f"{offset_ms / 1000:.1f} s"
            yield f"The clock of {name} differs by {apart}; its times are corrected."

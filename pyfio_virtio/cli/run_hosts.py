# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio run --hosts: runs a job on several hosts at the same time, and prints their results.

cli/run.py has the command. This file is imported when --hosts is given.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from pyfio_virtio import efficiency
from pyfio_virtio import run_hosts as runs
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.cli.options import confirm
from pyfio_virtio.errors import UsageError
from pyfio_virtio.fio.directions import Summary, summarise
from pyfio_virtio.hosts import hosts_file
from pyfio_virtio.hosts.addresses import Address
from pyfio_virtio.hosts.combine import HostPart
from pyfio_virtio.hosts.hosts_file import Host
from pyfio_virtio.hosts.together import HostsError
from pyfio_virtio.machine.cpu_use import CpuUse
from pyfio_virtio.run_hosts import HostsPlan, HostsResult

# Flags of `run` that mean nothing for other hosts, and what to do instead.
_REFUSED = {
    "socket": 'write socket = "/PATH" in the file',
    "with_counters": "use sweep --hosts, which keeps them",
    "explaining": "use it on one of the hosts",
}
_COLUMNS = ("host", "IOPS", "MiB/s", "p50", "p99", "fio CPU", "back-end CPU", "start")
_UNKNOWN = "-"


def run(
    context: click.Context,
    file: Path,
    job_files: Sequence[Path],
    fio_options: Sequence[str],
    disk: BackendSpec,
    kind: str,
    cpus: str,
) -> int:
    """Does what `run` does, on the hosts of the file. Returns the exit status."""
    _refuse(context, kind, cpus)
    chosen = context.params
    found = hosts_file.read(file)
    usual = Host("all", Address(), backend=kind).disk(disk)
    if not isinstance(usual, BackendSpec):
        raise UsageError(f"cannot use --backend {kind} with --hosts")
    plan = runs.plan(
        found,
        job_files,
        fio_options,
        usual,
        None if cpus == "any" else cpus,
        chosen["program"],
        chosen["converting"],
        partial(click.echo, err=True),
    )
    if chosen["dry_run"]:
        click.echo(plan.script().encode("utf-8", "surrogateescape"))
        return 0
    confirm(plan.local.title, plan.reach(), chosen["yes"], "leave socket and storage out")
    click.echo(plan.describe(), err=True)
    try:
        result = runs.carry_out(plan, _warn)
    except HostsError as error:
        for failure in error.failures:
            _warn(str(failure))
        return 1
    if chosen["as_json"]:
        click.echo(json.dumps(_document(plan, result), indent=1))
    else:
        _print(result)
    if result.combined.across.notes:
        _warn(result.combined.across.notes)
    for part in result.parts:
        if part.problem:
            _warn(f"{_host(plan, part.name)}: {part.problem}")
    if result.combined.error and not any(each.problem for each in result.parts):
        _warn(result.combined.error)
    return 1 if result.combined.error else 0


def _refuse(context: click.Context, kind: str, cpus: str) -> None:
    for option in context.command.params:
        name = option.name or ""
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and name in _REFUSED:
            flag = max(option.opts, key=len)
            raise UsageError(f"cannot use {flag} with --hosts", "", _REFUSED[name])
    if kind == "none" or "/" in kind:
        why = "a host needs a disk of its own"
        raise UsageError(f"cannot use --backend {kind} with --hosts", why, _REFUSED["socket"])
    if cpus in ("separate", "shared"):
        raise UsageError(
            f"cannot use --cpus {cpus} with --hosts",
            "hosts may have different CPUs",
            'write --cpus FIO:BACKEND, or cpus = "FIO:BACKEND" in the file',
        )


def _warn(sentence: str) -> None:
    click.echo(f"pyfio-virtio: {sentence}", err=True)


def _host(plan: HostsPlan, name: str) -> Host:
    return next(each for each in plan.hosts if each.name == name)


# ---- the table ----------------------------------------------------------------------------------


def _print(result: HostsResult) -> None:
    from pyfio_virtio.cli.tables import print_table

    whole = result.combined
    rows = [_row_of(part, result) for part in result.parts]
    if not whole.error:
        label = f"all, {whole.across.window_s:.2f} s together"
        cpus = _cpus(whole.fio_cpu, whole.backend_cpu, whole.across.window_s)
        rows.append((label, *_numbers(whole.total), *cpus, f"{whole.across.start_skew_ms:.1f} ms"))
    print_table(_COLUMNS, rows)


def _row_of(part: HostPart, result: HostsResult) -> tuple[str, ...]:
    if part.problem:
        return (part.name, "failed", *[""] * (len(_COLUMNS) - 2))
    cpus = _cpus(part.fio_cpu, part.backend_cpu, part.measured().seconds)
    start = f"+{result.combined.on_hosts[part.name].start_ms:.1f} ms" if part.is_timed else _UNKNOWN
    return (part.name, *_numbers(_summary(part)), *cpus, start)


def _summary(part: HostPart) -> Summary:
    return summarise(part.job.directions.values())


def _numbers(total: Summary) -> tuple[str, ...]:
    latencies = (_microseconds(each) for each in (total.p50_ns, total.p99_ns))
    return (f"{total.iops:,.0f}", f"{total.bw_bytes / (1 << 20):,.1f}", *latencies)


def _microseconds(ns: float | None) -> str:
    return _UNKNOWN if ns is None else f"{ns / 1000:,.1f} µs"


def _cpus(fio: CpuUse | None, backend: CpuUse | None, seconds: float) -> tuple[str, ...]:
    return tuple(
        _UNKNOWN if each is None else f"{_used(each, seconds):.2f}" for each in (fio, backend)
    )


def _used(use: CpuUse, seconds: float) -> float:
    """The CPUs in use: 1.0 is one whole CPU."""
    return (use.user_s + use.system_s) / seconds if seconds else 0.0


# ---- JSON ---------------------------------------------------------------------------------------


def _document(plan: HostsPlan, result: HostsResult) -> Mapping[str, Any]:
    whole = result.combined
    together: dict[str, Any] = {"error": whole.error, **asdict(whole.across)}
    if not whole.error:
        together |= asdict(whole.total)
        together |= _sides(whole.total, whole.fio_cpu, whole.backend_cpu, whole.across.window_s)
        together["directions"] = {name: asdict(each) for name, each in whole.directions.items()}
    return {
        "fio": plan.local.fio.release,
        "hosts": [_of_host(plan, part, result) for part in result.parts],
        "all": together,
    }


def _of_host(plan: HostsPlan, part: HostPart, result: HostsResult) -> Mapping[str, Any]:
    on_host = asdict(result.combined.on_hosts[part.name])
    address = str(_host(plan, part.name).address)
    found: dict[str, Any] = {**on_host, "address": address, "error": part.problem}
    if not part.problem:
        total, seconds = _summary(part), part.measured().seconds
        found |= {"measured_s": round(seconds, 6), **asdict(total)}
        found |= _sides(total, part.fio_cpu, part.backend_cpu, seconds)
    return found


def _sides(
    total: Summary, fio: CpuUse | None, backend: CpuUse | None, seconds: float
) -> Mapping[str, float | None]:
    """The CPUs in use on both sides, and the IOPS per core."""
    used = [None if each is None else _used(each, seconds) for each in (fio, backend)]
    return {
        "fio_cpus": used[0],
        "backend_cpus": used[1],
        **efficiency.of_sides(total.iops, used[0], used[1]),
    }

# SPDX-License-Identifier: GPL-2.0-or-later
"""sweep/run.py, sweep/points.py, sweep/servers.py: real sweeps, in this process."""

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyfio_virtio.analysis import load
from pyfio_virtio.analysis.timeplots import has_latency_log
from pyfio_virtio.errors import MachineError, UsageError
from pyfio_virtio.results.record import NULL, TWIN, Record
from pyfio_virtio.results.results import (
    COUNTERS,
    ENVIRONMENT,
    FIO_JSON,
    JOB,
    PLAN,
    POINTS,
    RUNS,
    SweepFolder,
)
from pyfio_virtio.sweep.points import Planned, resolve
from pyfio_virtio.sweep.run import Tally, carry_out
from pyfio_virtio.sweep.servers import LOG
from pyfio_virtio.sweep.settings import Settings, read_settings
from tests.conftest import StartBackend

TINY = Settings(
    options={"wait": ("event",), "iodepth": ("4",)},
    runtime=0.2,
    ramp_time=0.0,
    repeats=1,
    controls=False,
    disk_size="16M",
    seed=1,
)
# The back-end loses every read, or refuses it, or dies of it; writes go well.
DIRECTIONS = {"rw": ("randread", "randwrite"), "iodepth": ("1",)}


class Silent:
    def __init__(self) -> None:
        self.expected = 0

    def expect(self, runs: int) -> None:
        self.expected += runs

    def begin(self, planned: Planned, repeat: int) -> None:
        pass

    def live(self, iops: float) -> None:
        pass

    def end(self, record: Record) -> None:
        pass


def always(values: Sequence[float]) -> bool:
    return True


Sweeping = Callable[..., tuple[Tally, SweepFolder]]


@pytest.fixture
def sweep(private: Path) -> Sweeping:
    def run(settings: Settings = TINY, **options: Any) -> tuple[Tally, SweepFolder]:  # noqa: ANN401
        arguments: dict[str, Any] = {"watcher": Silent(), "settled": always} | options
        return carry_out(resolve(settings), private / "out", **arguments), SweepFolder(
            private / "out"
        )

    return run


def test_an_undisturbed_sweep_has_every_run_of_every_point(swept: Path) -> None:
    records = SweepFolder(swept).records()
    assert Counter(each.point.role for each in records) == {"measured": 4, TWIN: 2, NULL: 2}
    assert {each.error for each in records} == {None}
    assert sorted(each.order for each in records) == list(range(1, 9))


def test_a_record_says_what_was_run_and_what_it_cost(swept: Path) -> None:
    run = next(each for each in SweepFolder(swept).records() if each.options.get("sleepy_poll"))
    assert (run.options["wait"], run.options["sleepy_poll"]) == ("sleepy", 100)
    assert run.total.iops > 0
    assert run.counters["sleeps"] > 0
    assert run.counters["reaped"] > 0
    assert run.fio_cpu is not None
    assert run.backend_cpu is not None
    assert {"cpu_model", "kernel", "mitigations", "load", "steal_percent"} <= set(run.host)
    assert "fio_virtio" in run.point.job
    assert "pyfio_virtio.backends.builtin" in run.backend_command


def test_a_run_s_folder_holds_all_of_it(swept: Path) -> None:
    sweep = SweepFolder(swept)
    run = next(each for each in sweep.records() if each.point.engine == "fio_virtio")
    folder = sweep.run_folder(run.point.hash, run.repeat)
    names = {path.name for path in folder.iterdir()}
    assert {JOB, FIO_JSON, COUNTERS, ENVIRONMENT, LOG, "record.json"} <= names
    assert (folder / JOB).read_text() == run.point.job
    assert json.loads((folder / ENVIRONMENT).read_text())["host"]["cpus"] >= 1


def test_the_kept_job_runs_in_plain_fio(swept: Path, builtin: StartBackend, fio: Any) -> None:  # noqa: ANN401
    run = next(e for e in SweepFolder(swept).records() if e.point.engine == "fio_virtio")
    text = run.point.job.replace("${DISK}", builtin().socket)
    assert fio.job(text).status == 0


def test_the_seed_is_recorded(sweep: Sweeping, private: Path) -> None:
    sweep(replace(TINY, seed=None))
    settings, found = read_settings(private / "out" / PLAN)
    assert settings.seed is not None
    assert {"fio", "engine", "builtin"} <= set(found["versions"])


def test_finished_runs_are_not_run_again(sweep: Sweeping) -> None:
    _, folder = sweep()
    [first] = folder.records()
    watcher = Silent()
    sweep(watcher=watcher)
    assert watcher.expected == 0
    assert folder.records() == [first]


def test_more_repeats_are_added_to_what_is_there(sweep: Sweeping) -> None:
    _, folder = sweep()
    [first] = folder.records()
    sweep(replace(TINY, repeats=2))
    assert [each.repeat for each in folder.records()] == [1, 2]
    assert folder.records()[0] == first


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (
            replace(TINY, runtime=0.3),
            r"this option differs: runtime \(0.2 before, 0.3 now\); name another folder",
        ),
        (
            replace(TINY, options={"wait": ("busy",), "bs": ("4k", "8k"), "iodepth": ("4",)}),
            r"these options differ: wait \(event before, busy now\), bs \(none before, 4k,8k now\)",
        ),
        (
            replace(TINY, seed=2, storage="memory"),
            r"these options differ: seed \(1 before, 2 now\), storage \(null before, memory now\);",
        ),
    ],
)
def test_another_sweep_in_the_same_folder_is_refused(
    sweep: Sweeping, swept: Path, changed: Settings, named: str
) -> None:
    sweep()
    with pytest.raises(UsageError, match=f"holds another sweep: {named}"):
        sweep(changed)


def test_another_build_of_a_program_is_another_sweep(sweep: Sweeping, private: Path) -> None:
    sweep()
    plan = private / "out" / PLAN
    plan.write_text(plan.read_text().replace('fio = "fio-3', 'fio = "fio-2'))
    with pytest.raises(UsageError, match="differs: fio's version;"):
        sweep()


def test_a_point_that_fails_is_kept_and_the_sweep_goes_on(sweep: Sweeping) -> None:
    refuse = ("fault=error:type=read",)
    tally, folder = sweep(replace(TINY, options=DIRECTIONS, backend_option=refuse))
    runs = {each.options["rw"]: each for each in folder.records()}
    assert runs["randwrite"].error is None
    assert "I/O error" in str(runs["randread"].error) or "fio" in str(runs["randread"].error)
    assert runs["randread"].total.iops == 0
    assert tally == Tally(2, 1)


EVERY_RUN_FAILS = replace(
    TINY,
    options={"rw": ("randread",), "iodepth": ("1", "2", "3")},
    backend_option=("fault=error:type=read",),
    repeats=3,
)


def test_a_failure_that_would_repeat_stops_the_sweep(sweep: Sweeping) -> None:
    tally, folder = sweep(EVERY_RUN_FAILS)
    assert (tally.kept, tally.failed) == (2, 2)
    assert "the last 2 runs failed in the same way" in tally.stopped
    assert len(folder.records()) == 2


def test_failures_do_not_stop_a_sweep_that_keeps_going(sweep: Sweeping) -> None:
    tally, _ = sweep(EVERY_RUN_FAILS, keep_going=True)
    assert tally == Tally(9, 9)


def test_a_back_end_that_went_away_stops_the_sweep_at_once(
    sweep: Sweeping, builtin: StartBackend
) -> None:
    backend = builtin(storage="null", options=("fault=die:type=read",))
    settings = replace(EVERY_RUN_FAILS, backend=(backend.socket,), backend_option=())
    tally, _ = sweep(settings)
    assert (tally.kept, tally.failed) == (1, 1)
    assert "nobody listens on this socket; start its back-end" in tally.stopped


@pytest.mark.parametrize("moment", range(4))
def test_a_run_that_ended_is_kept_whole_whenever_it_is_interrupted(
    sweep: Sweeping, private: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """Its folder and its line are there or not there together: the sweep counts the lines."""
    fsync, moments = os.fsync, iter(range(100))

    def interrupted(descriptor: int) -> None:
        fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if (POINTS in path.parts or path.name == RUNS) and next(moments) == moment:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep(replace(TINY, repeats=3))
    folder = SweepFolder(private / "out")
    assert len(folder.finished()) == len(list(folder.path.glob(f"{POINTS}/*/*"))) == 1


def test_a_failed_run_is_tried_again_by_the_same_command(sweep: Sweeping) -> None:
    settings = replace(TINY, backend_option=("fault=error:type=read",))
    sweep(settings)
    watcher = Silent()
    sweep(settings, watcher=watcher)
    assert watcher.expected == 1


def test_a_point_that_hangs_is_killed_and_kept(sweep: Sweeping) -> None:
    settings = replace(TINY, options=DIRECTIONS)
    settings = replace(settings, backend_option=("fault=lose:type=read",))
    tally, folder = sweep(settings, patience_s=1.0)
    errors = {each.options["rw"]: each.error for each in folder.records()}
    assert errors["randwrite"] is None
    assert "killed because it had not ended 1 s after its runtime" in str(errors["randread"])
    assert tally == Tally(2, 1)


def test_a_back_end_that_dies_is_named_and_the_next_run_has_another(sweep: Sweeping) -> None:
    settings = replace(TINY, options=DIRECTIONS, keep_backend=True)
    settings = replace(settings, backend_option=("fault=die:type=read",))
    _, folder = sweep(settings, patience_s=1.0)
    errors = {each.options["rw"]: each.error for each in folder.records()}
    assert errors["randwrite"] is None
    assert "back-end" in str(errors["randread"]) or "killed" in str(errors["randread"])


def test_a_back_end_that_does_not_start_is_kept_as_an_error(sweep: Sweeping) -> None:
    tally, folder = sweep(replace(TINY, backend_option=("latency=9999s",)))
    assert tally.failed == 1
    assert "did not start" in str(folder.records()[0].error)


def test_latency_by_time_is_kept_for_a_heat_map(sweep: Sweeping) -> None:
    _, folder = sweep(replace(TINY, heat_map=True))
    assert has_latency_log(load(folder.path))


def test_a_back_end_may_be_kept_between_runs(sweep: Sweeping) -> None:
    _, folder = sweep(replace(TINY, repeats=2, keep_backend=True, backend=("qsd",)))
    assert {each.error for each in folder.records()} == {None}


def test_rounds_are_added_until_the_iops_are_known(sweep: Sweeping) -> None:
    settings = replace(TINY, target_ci=0.02, max_repeats=5)
    _, folder = sweep(settings, settled=lambda values: len(values) >= 3)
    assert [each.repeat for each in folder.records()] == [1, 2, 3]


def test_rounds_end_at_the_cap(sweep: Sweeping) -> None:
    settings = replace(TINY, target_ci=0.02, max_repeats=2)
    _, folder = sweep(settings, settled=lambda values: False)
    assert [each.repeat for each in folder.records()] == [1, 2]


def test_rates_are_shares_of_what_was_reached(sweep: Sweeping) -> None:
    _, folder = sweep(replace(TINY, rate_steps=(50, 100)))
    free, *rated = folder.records()
    expected = [round(free.total.iops * share) for share in (0.5, 1)]
    assert sorted(each.options["rate_iops"] for each in rated) == expected  # type: ignore[type-var]


def test_rates_stay_when_the_sweep_goes_on(sweep: Sweeping) -> None:
    settings = replace(TINY, rate_steps=(50,))
    _, folder = sweep(settings)
    before = {each.point.hash for each in folder.records()}
    sweep(replace(settings, repeats=2))
    assert {each.point.hash for each in folder.records()} == before
    assert len(folder.records()) == 4


def test_other_engines_run_on_the_file_and_on_nbd(sweep: Sweeping) -> None:
    engines = ("virtio", "io_uring", "nbd")
    _, folder = sweep(replace(TINY, engines=engines, storage="auto"))
    found = {each.point.engine: each for each in folder.records()}
    assert set(found) == {"fio_virtio", "io_uring", "nbd"}
    assert {name: each.error for name, each in found.items()} == dict.fromkeys(found)
    assert all(each.total.iops > 0 for each in found.values())
    assert "scratch file" in found["io_uring"].point.backend


def test_fio_and_back_end_run_on_the_cpus_named(sweep: Sweeping) -> None:
    _, folder = sweep(replace(TINY, cpus=("shared", "0:0")))
    for record in folder.records():
        assert record.error is None
        assert "cpus_allowed=" in record.point.job
        assert record.backend_command.startswith("taskset -c ")


def test_somebody_s_socket_is_used_and_its_server_s_cpu_time_seen(
    sweep: Sweeping, builtin: StartBackend
) -> None:
    backend = builtin(storage="null")
    _, folder = sweep(replace(TINY, backend=(backend.socket,), runtime=0.4))
    [record] = folder.records()
    assert record.error is None
    assert record.point.backend == backend.socket
    assert record.backend_cpu is not None
    assert backend.is_running()


def test_the_way_that_the_engine_chose_is_recorded(sweep: Sweeping) -> None:
    _, folder = sweep(replace(TINY, options={"iodepth": ("4",)}))
    assert folder.records()[0].options["wait"] in ("event", "sleepy", "adaptive")


def test_nothing_stays_in_the_state_folder(sweep: Sweeping, private: Path) -> None:
    sweep(replace(TINY, storage="file"))
    assert list((private / "pyfio-virtio").iterdir()) == []


def test_an_engine_that_fio_lacks_is_named() -> None:
    with pytest.raises(MachineError, match="has no engine warp"):
        resolve(replace(TINY, engines=("warp",)))


def test_a_plan_s_points_differ_by_hash(private: Path) -> None:
    points = resolve(replace(TINY, options={"iodepth": ("1", "2")}, controls=True)).points()
    assert len({each.point.hash for each in points}) == 4

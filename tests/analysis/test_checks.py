# SPDX-License-Identifier: GPL-2.0-or-later
"""checks.py: each reason for doubt is told when it is there, and not when it is not."""

import numpy as np
import pandas as pd
import pytest

from bench import claims as simulated
from pyfio_virtio.analysis import checks
from pyfio_virtio.analysis.frame import measured
from pyfio_virtio.results.record import TWIN


def doubts(runs: pd.DataFrame, word: str) -> list[str]:
    return [sentence for sentence in checks.warnings(runs) if word in sentence]


def test_a_quiet_sweep_of_a_sleeping_wait_raises_no_doubt(sweep: pd.DataFrame) -> None:
    quiet = sweep[sweep["way"].isin(["event", "sleepy 20 µs"])]
    assert checks.warnings(quiet) == []


def test_failed_runs_are_counted_with_their_reason(sweep: pd.DataFrame) -> None:
    failed = sweep.copy()
    failed.loc[failed["way"] == "busy", "error"] = "fio hung"
    counted, lost = checks.failures(failed)
    assert counted == "15 of 100 runs failed, most often: fio hung."
    assert lost.startswith("3 points have no result, because every run failed: busy, iodepth ")


def test_a_point_with_one_good_run_has_a_result(sweep: pd.DataFrame) -> None:
    failed = sweep.copy()
    failed.loc[(failed["way"] == "busy") & (failed["repeat"] > 1), "error"] = "fio hung"
    assert checks.failures(failed) == ["12 of 100 runs failed, most often: fio hung."]


def test_a_sweep_without_failures_says_nothing_of_them(sweep: pd.DataFrame) -> None:
    assert checks.failures(sweep) == []


def test_a_sweep_of_failures_only_says_so(sweep: pd.DataFrame) -> None:
    counted, lost = checks.failures(sweep.assign(error="no back-end"))
    assert counted == "100 of 100 runs failed, most often: no back-end."
    assert lost.startswith("18 points have no result")
    assert lost.endswith(" and 13 more.")


def test_a_median_that_is_hardly_known_has_its_bounds_and_no_percent(sweep: pd.DataFrame) -> None:
    noisy = sweep.copy()
    one = (noisy["way"] == "busy") & (noisy["iodepth"] == 32)
    noisy.loc[one, "iops"] = np.geomspace(1e3, 1e6, one.sum())
    [said] = doubts(noisy, "noisy")
    assert said.endswith(
        "The worst is busy, iodepth 32, whose median lies somewhere between 1k and 1M."
    )


def test_a_noisy_point_is_named(sweep: pd.DataFrame) -> None:
    noisy = sweep.copy()
    one = (noisy["way"] == "busy") & (noisy["iodepth"] == 32) & (noisy["repeat"] == 1)
    noisy.loc[one, "iops"] *= 2
    assert doubts(noisy, "noisy")[0].count("busy, iodepth 32") == 1


def test_drift_is_seen_across_points(sweep: pd.DataFrame) -> None:
    assert not doubts(sweep, "drifted")
    tired = sweep.assign(iops=sweep["iops"] * np.linspace(1, 0.8, len(sweep))[sweep["order"] - 1])
    assert doubts(tired, "drifted")


def test_stolen_time_is_told(sweep: pd.DataFrame) -> None:
    assert doubts(sweep.assign(host_steal_percent=4.0), "up to 4.0% steal")


def test_runs_whose_back_end_came_back_are_told(sweep: pd.DataFrame) -> None:
    assert not doubts(sweep, "hung up")
    restarted = sweep.assign(reconnects=np.nan, replayed=64, away_ns=3e8, longest_away_ns=2e8)
    restarted.loc[restarted.index[:2], "reconnects"] = 3
    [said] = doubts(restarted, "hung up and came back")
    assert "(6 times in all). It was away for 200 ms at most and 600 ms in all; 128 req" in said


def test_a_full_back_end_is_told_but_not_a_busy_wait(sweep: pd.DataFrame) -> None:
    busy = sweep[sweep["way"] == "busy"]
    assert not doubts(busy, "fio used a whole CPU")
    assert doubts(sweep.assign(backend_user_s=5.0), "The back-end used a whole CPU")


def test_few_runs_are_told_with_the_confidence_left(sweep: pd.DataFrame) -> None:
    assert doubts(sweep[sweep["repeat"] <= 4], "only 88% confidence")
    assert doubts(sweep[sweep["repeat"] == 1], "no interval")


def test_few_ios_are_told(sweep: pd.DataFrame) -> None:
    assert doubts(sweep.assign(ios=900), "fewer than 1000 I/Os, so they have no p99")


@pytest.mark.parametrize("fact", ["fio_version", "host_kernel", "host_governor"])
def test_unlike_environments_are_told(sweep: pd.DataFrame, fact: str) -> None:
    other = sweep.copy()
    other.loc[other["repeat"] == 2, fact] = "another"
    assert doubts(other, "environments differ")


def test_noise_is_a_point_against_its_twin(sweep: pd.DataFrame) -> None:
    noise = checks.noise(sweep)
    assert noise
    assert (noise.where, noise.pairs, noise.is_biased) == ("event, iodepth 1", 5, False)
    assert 0 < noise.typical < noise.largest < 0.15


def test_noise_does_not_shrink_with_the_number_of_rounds() -> None:
    random = np.random.default_rng(1)

    def typical(rounds: int) -> float:
        runs = simulated.runs(random, simulated.NOISES["lognormal"], 0.1, 2, rounds)
        runs["role"] = runs["way"].map({"sleepy 10 µs": "measured", "sleepy 20 µs": TWIN})
        found = checks.noise(
            runs.assign(way="event", option_names=pd.Series([("wait",)] * len(runs)))
        )
        assert found
        return found.typical

    assert typical(400) == pytest.approx(typical(40), rel=0.5)


def test_a_point_that_differs_from_its_twin_is_told(sweep: pd.DataFrame) -> None:
    biased = sweep.copy()
    biased.loc[biased["role"] == TWIN, "iops"] *= 2
    noise = checks.noise(biased)
    assert noise
    assert noise.is_biased


def test_other_work_is_told(sweep: pd.DataFrame) -> None:
    assert not doubts(sweep.assign(host_load=1.0), "other work")
    assert not doubts(sweep.assign(host_load=5.0, host_cpus=32), "other work")
    [line] = doubts(sweep.assign(host_load=sweep["order"] % 4 + 2.0), "other work")
    assert "load average was 2.0 to 5.0 on 2 CPUs" in line


def test_points_in_turns_are_told_from_points_one_by_one(sweep: pd.DataFrame) -> None:
    runs = measured(sweep)
    assert checks.in_turns(runs)
    one_by_one = runs.sort_values(["way", "iodepth", "repeat"]).assign(order=range(len(runs)))
    assert not checks.in_turns(one_by_one)


def test_rates_that_were_walked_too_leave_the_noise(sweep: pd.DataFrame) -> None:
    free = sweep.assign(rate_iops=float("nan"))
    both = pd.concat([free, measured(sweep).assign(rate_iops=1000.0)], ignore_index=True)
    both["option_names"] = [(*names, "rate_iops") for names in both["option_names"]]
    assert checks.noise(both) == checks.noise(sweep)


def test_a_point_is_named_without_fractions() -> None:
    row = pd.Series({"way": "busy", "rate_iops": 1000.0, "sleep": 0.5})
    assert checks.name_point(row, list(row.index)) == "busy, rate_iops 1000, sleep 0.5"


def test_without_twins_there_is_no_noise(sweep: pd.DataFrame) -> None:
    assert checks.noise(sweep[sweep["role"] == "measured"]) is None


def test_a_reason_of_several_lines_becomes_one_sentence(sweep: pd.DataFrame) -> None:
    failed = sweep.head(1).assign(error="fio said no.\n  It was killed.")
    assert (
        checks.failures(failed)[0] == "1 of 1 run failed, most often: fio said no. It was killed."
    )


def test_one_point_is_counted_as_one(sweep: pd.DataFrame) -> None:
    runs = measured(sweep)
    point = runs[runs["hash"] == runs["hash"].iloc[0]].head(1)
    [few] = [each for each in checks.warnings(point) if "fewer than 5 runs" in each]
    assert few.startswith("1 of 1 point has fewer than 5 runs: one run has no interval.")

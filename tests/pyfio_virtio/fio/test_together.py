# SPDX-License-Identifier: GPL-2.0-or-later
"""fio/together.py and engine/fio/together.c: which jobs fio runs at the same time."""

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pyfio_virtio.engine import engine
from pyfio_virtio.fio import fio as program
from pyfio_virtio.fio import job, together
from pyfio_virtio.fio.together import Planned
from tests.conftest import Fio, StartBackend

CPUS = os.sysconf("SC_NPROCESSORS_CONF")
OURS = "[global]\nioengine=fio_virtio\nthread=1\n"


def _queues(*files: str, arguments: Sequence[str] = ()) -> int:
    """The queues for job files, each with our engine."""
    jobs = [job.parse(OURS + text) for text in files]
    return together.most_at_once(
        together.read(program.parsed(program.find(), jobs, arguments, engine.folder()))
    )


TABLE = [
    ("[a]\n", 1),
    ("[a]\n[b]\n", 2),
    ("[a]\nnumjobs=3\n[b]\nnumjobs=2\n", 5),
    ("[global]\nnumjobs=3\n[a]\n[b]\n", 6),
    # Numbers as fio reads them.
    ("[a]\nnumjobs=0x10\n", 16),
    ("[a]\nnumjobs=1k\n", 1024),
    ("[a]\nnumjobs=$ncpus\n", CPUS),
    ("[a]\nnumjobs=2*$ncpus\n", 2 * CPUS),
    ("[a]\nnumjobs=${JOBS}\n", 7),
    # stonewall
    ("".join(f"[j{i}]\nstonewall\nnumjobs=16\n" for i in range(20)), 16),
    ("[global]\nstonewall\nnumjobs=16\n[a]\n[b]\n[c]\n", 16),
    ("[a]\nnumjobs=2\n[b]\nwait_for_previous\nnumjobs=3\n[c]\nnumjobs=4\n", 7),
    ("[global]\nstonewall\n[a]\nnumjobs=2\n[b]\nstonewall=0\nnumjobs=3\n", 5),
    ("[a]\nnumjobs=2\n[b]\nstonewall=1\n[c]\nnew_group\ngroup_reporting\n", 2),
    # Jobs of another engine wait, too.
    ("[a]\nnumjobs=4\n[b]\nioengine=cpuio\ncpuload=1\nstonewall\nnumjobs=9\n[c]\nnumjobs=5\n", 5),
    # wait_for
    ("[a]\nnumjobs=4\n[b]\nwait_for=a\nnumjobs=4\n", 4),
    ("[a]\nnumjobs=2\n[b]\nwait_for=a\nnumjobs=4\n[c]\nwait_for=a\n[d]\n", 6),
    ("[a]\n[b]\nwait_for=a\nnumjobs=2\n[c]\nwait_for=b\nnumjobs=3\n[d]\nwait_for=a\n", 4),
    ("[a]\nname=z\nnumjobs=4\n[b]\nwait_for=z\nnumjobs=4\n", 4),
    # startdelay: a job that is late may meet those behind a stonewall.
    ("[a]\nstartdelay=1\nnumjobs=2\n[b]\nnumjobs=3\n", 5),
    ("[a]\nstartdelay=1\nnumjobs=2\n[b]\nstonewall\nnumjobs=3\n", 5),
    ("[a]\nnumjobs=2\n[b]\nstonewall\nstartdelay=1\nnumjobs=3\n", 3),
    ("[a]\n[b]\nstonewall\nstartdelay=1\n[c]\nnumjobs=4\n", 5),
    ("[global]\nstartdelay=1\nstonewall\nnumjobs=4\n[a]\n[b]\n[c]\n", 4),
    ("[a]\nstartdelay=1-2\nnumjobs=2\n[b]\nwait_for=a\n[c]\nstonewall\n", 3),
    # These change nothing.
    ("[a]\nexitall\n[b]\nexitall_on_error\n", 2),
]


@pytest.mark.parametrize(("text", "queues"), TABLE)
def test_queues_are_counted_by_the_rules_of_fio(
    text: str, queues: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBS", "7")
    assert _queues(text) == queues


def test_the_jobs_of_a_file_begin_after_those_of_the_file_before() -> None:
    assert _queues("[a]\nnumjobs=4\n", "[b]\nnumjobs=3\n[c]\nnumjobs=2\n") == 5


def test_only_the_sections_that_run_are_counted() -> None:
    text = "[a]\nnumjobs=4\n[b]\nnumjobs=3\n"
    assert _queues(text, arguments=("--section=b",)) == 3


def test_a_name_that_is_not_utf_8_is_waited_for() -> None:
    assert _queues("[\udce9]\nnumjobs=3\n[b]\nwait_for=\udce9\n") == 3


# ---- against a model of how fio starts jobs -----------------------------------------------------


@dataclass
class _Running:
    """A job of the model. It begins at some moment and takes its time."""

    section: int
    plan: Planned
    is_stonewalled: bool
    delay: int
    took: int
    begun: int | None = None

    def has_ended(self, now: int) -> bool:
        return self.begun is not None and now >= self.begun + self.took


def _most_in_model(sections: Sequence[Planned], lasting: Sequence[int]) -> int:
    """The most queues in use at once if the jobs of each section last so long."""
    jobs = [
        _Running(number, plan, plan.is_stonewalled and first == 0, plan.delay[0], took)
        for number, (plan, took) in enumerate(zip(sections, lasting, strict=True))
        for first in range(plan.jobs)
    ]
    most = 0
    for now in range(sum(lasting) + sum(plan.delay[0] for plan in sections) + 1):
        for each in jobs:
            if each.begun is not None or each.delay > now:
                continue
            if each.is_stonewalled and any(_runs(other, now) for other in jobs):
                break
            if any(
                other.plan.name == each.plan.wait_for and not other.has_ended(now) for other in jobs
            ):
                continue
            each.begun = now
        most = max(most, sum(_runs(each, now) * each.plan.has_queues for each in jobs))
    return most


def _runs(each: _Running, now: int) -> bool:
    return each.begun is not None and not each.has_ended(now)


@st.composite
def _plans(draw: st.DrawFn, delays: Sequence[int]) -> list[Planned]:
    plans: list[Planned] = []
    for number in range(draw(st.integers(1, 5))):
        above = [None, None, *(plan.name for plan in plans)]
        delay = draw(st.sampled_from(delays))
        plans.append(
            Planned(
                name=f"j{number}",
                jobs=draw(st.integers(1, 3)),
                is_stonewalled=draw(st.integers(0, 2)) == 0,
                wait_for=draw(st.sampled_from(above)),
                delay=(delay, delay),
            )
        )
    return plans


def _most_of_all(plans: Sequence[Planned]) -> int:
    lasting = itertools.product((1, 3, 9), repeat=len(plans))
    return max(_most_in_model(plans, each) for each in lasting)


@settings(max_examples=150, deadline=None)
@given(_plans([0]))
def test_without_delays_the_count_is_exact(plans: list[Planned]) -> None:
    assert together.most_at_once(plans) == _most_of_all(plans)


@settings(max_examples=150, deadline=None)
@given(_plans([0, 0, 2, 5]))
@example(
    [
        Planned("j0", is_stonewalled=True, delay=(2, 2)),
        Planned("j1", is_stonewalled=True),
        Planned("j2", wait_for="j1"),
    ]
)
def test_with_delays_there_are_never_too_few_queues(plans: list[Planned]) -> None:
    assert together.most_at_once(plans) >= _most_of_all(plans)


# ---- against fio --------------------------------------------------------------------------------


def _text(plans: Sequence[Planned], socket: str) -> str:
    lines = ["[global]", "ioengine=fio_virtio", "thread=1", f"filename={socket}", "size=16k"]
    for plan in plans:
        lines += [f"[{plan.name}]", f"numjobs={plan.jobs}", f"startdelay={plan.delay[0]}00ms"]
        lines += ["stonewall"] if plan.is_stonewalled else []
        lines += [f"wait_for={plan.wait_for}"] if plan.wait_for else []
    return "".join(f"{line}\n" for line in lines)


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(_plans([0, 0, 2]))
def test_the_engine_needs_exactly_as_many_queues(
    serve: StartBackend, fio: Fio, plans: list[Planned]
) -> None:
    queues = together.most_at_once(plans)
    for given_queues in {queues, max(1, queues - 1)}:
        backend = serve("builtin", storage="null", queues=given_queues)
        done = fio.job(_text(plans, backend.socket))
        if given_queues == queues:
            assert done.status == 0, done.stderr
        else:
            assert "want a queue each and the back-end has" in done.stderr


def test_too_many_jobs_end_the_run_although_others_would_fit(serve: StartBackend, fio: Fio) -> None:
    backend = serve("builtin", storage="null", queues=2)
    plans = [Planned("a", jobs=3), Planned("b", is_stonewalled=True, delay=(2, 2))]
    done = fio.job(_text(plans, backend.socket))
    assert done.status != 0
    assert "3 jobs want a queue each and the back-end has 2" in done.stderr
    assert "(pyfio-virtio backend start --queues 3)" in done.stderr

# SPDX-License-Identifier: GPL-2.0-or-later
"""explain/watching.py: a thread that watches gets a CPU that is spare."""

import pytest

from pyfio_virtio.explain.watching import choose, forced

Cpus = set[int]


@pytest.mark.parametrize(
    ("usable", "bound", "unbound", "cpu"),
    [
        ({0, 1}, set(), 2, None),
        ({0, 1, 2}, set(), 2, 2),
        ({0, 1}, {0}, 0, 1),
        ({0, 1}, {0, 1}, 0, None),
        ({0, 1, 2}, {2}, 1, 1),
        ({0, 1}, {0}, 1, None),
        ({0, 1, 2, 3}, set(), 4, None),
    ],
)
def test_what_is_not_bound_needs_a_cpu_too(
    usable: Cpus, bound: Cpus, unbound: int, cpu: int | None
) -> None:
    watch = choose(usable, bound, unbound)
    assert watch.cpu == cpu
    assert ("no CPU is spare" in watch.sentence) == (cpu is None)


def test_a_cpu_that_the_user_chose_is_told_if_it_is_shared() -> None:
    assert "shares CPU 1 with fio or the back-end" in forced(1, {0, 1}, {0, 1}, 0).sentence
    assert forced(1, {0, 1}, {0}, 0).sentence == "a thread on CPU 1 watches the used ring"

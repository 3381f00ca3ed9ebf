# SPDX-License-Identifier: GPL-2.0-or-later
"""machine/questions.py: a program that answers badly ends, with all that it started."""

import pytest

from pyfio_virtio.errors import MachineError
from pyfio_virtio.machine import questions
from pyfio_virtio.machine.process import start_ticks
from tests.waiting import wait_until


def ask(script: str, timeout_s: float = 60, text: bytes = b"") -> questions.Answer:
    return questions.ask(["sh", "-c", script], {"A": "a"}, timeout_s, "try another", text)


def test_an_answer_has_all_that_was_said() -> None:
    assert ask('cat; echo "$A" >&2; exit 3', text=b"\xff") == questions.Answer(3, b"\xff", b"a\n")


@pytest.mark.parametrize(
    ("script", "why"),
    [("sleep 1000", "did not end in time"), ("exec >&- 2>&-; sleep 1000", "did not end in time")],
)
def test_it_is_waited_for_only_so_long(script: str, why: str) -> None:
    with pytest.raises(MachineError, match=f"cannot run sh -c .*{why}; try another"):
        ask(script, 0.1)


def test_it_may_not_print_without_end() -> None:
    with pytest.raises(MachineError, match="printed more than 64 MiB"):
        ask("yes")


def test_what_it_leaves_behind_is_not_waited_for() -> None:
    answer = ask("sleep 1000 & echo $!")
    wait_until(lambda: start_ticks(int(answer.stdout)) is None, "the end of what it left behind")


def test_a_program_that_cannot_be_run_is_named() -> None:
    with pytest.raises(MachineError, match="cannot run no-such-program: No such file"):
        questions.ask(["no-such-program"], {}, 1, "")

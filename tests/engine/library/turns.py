# SPDX-License-Identifier: GPL-2.0-or-later
"""A model of engine/library/poller.c: who polls, who sleeps, and how the turn is passed on.

Each step is one access that other threads can see, and any thread may make the next step. A thread
waits for one request. The model has no check every 10 ms, so a lost wake-up is never made good.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

RUNS, SLEEPS, POLLS, TURN, DONE = WAITER_STATES = ("RUNS", "SLEEPS", "POLLS", "TURN", "DONE")
FREE, TAKEN, OPEN = TURNS = ("FREE", "TAKEN", "OPEN")
# What change() may do to the state of a waiter.
CHANGES = {
    (RUNS, SLEEPS),
    (SLEEPS, RUNS),
    (RUNS, POLLS),
    (TURN, POLLS),
    (TURN, RUNS),
    (POLLS, RUNS),
}
NOBODY = -1


class Thread(NamedTuple):
    has_deadline: bool = False
    at: str = "hint"  # the step that it makes next: a method of Protocol
    state: str = RUNS  # of its waiter
    is_brief: bool = False
    is_poller: bool = False
    is_leaving: bool = False
    is_asleep: bool = False  # in the kernel, on its futex
    is_completed: bool = False  # its request, in the ring
    wakes: int = NOBODY  # the thread that it wakes after it has given back the lock


GONE = Thread(at="gone")


class State(NamedTuple):
    threads: tuple[Thread, ...]
    turn: str = FREE
    num_brief: int = 0
    sleepers: tuple[int, ...] = ()
    lock: int = NOBODY
    is_asking: bool = False  # the poller is blocked, or about to be
    has_call: bool = False

    def put(self, number: int, **changes: Any) -> "State":  # noqa: ANN401 - members of Thread
        thread = self.threads[number]._replace(**changes)
        return self._replace(threads=(*self.threads[:number], thread, *self.threads[number + 1 :]))

    def change(self, number: int, before: str, after: str) -> "State":
        assert (before, after) in CHANGES
        is_same = self.threads[number].state == before
        return self.put(number, state=after) if is_same else self


@dataclass(frozen=True)
class Protocol:
    """The protocol of poller.c, or a variant of it that is wrong."""

    opens_before_counting: bool = True  # open_turn()
    last_looks_at_turn: bool = True  # end_brief_poll()
    poller_checks_again: bool = True  # ask_calls()

    def steps(self, state: State) -> Iterator[State]:
        for number, thread in enumerate(state.threads):
            if not thread.is_asleep:
                yield from getattr(self, thread.at)(state, number, thread)
            elif thread.has_deadline:
                late = state.put(number, is_asleep=False, at="leave")
                yield late.change(number, SLEEPS, RUNS)
            if thread.at != "gone" and not thread.is_completed:
                yield self._complete(state, number)

    @staticmethod
    def _complete(state: State, number: int) -> State:
        """The back-end completes the request, and calls if a call is wanted."""
        has_call = state.has_call or state.is_asking
        return state.put(number, is_completed=True)._replace(has_call=has_call)

    @staticmethod
    def _look(state: State, own: int) -> State:
        """Reaps all that has completed: poller_wake() for each."""
        for number, thread in enumerate(state.threads):
            if not thread.is_completed or thread.state == DONE or thread.at == "gone":
                continue
            state = state.put(number, state=DONE, is_asleep=False)
            if thread.state == POLLS and number != own and state.is_asking:
                state = state._replace(has_call=True)
        return state

    @staticmethod
    def _go_on(state: State, number: int) -> State:
        """After the brief poll: the thread is the poller, or a sleeper, or its wait is over."""
        if state.threads[number].is_poller:
            return state.put(number, at="poll")
        return state.put(number, at="fall_asleep" if number in state.sleepers else "gone")

    # ---- poller_wait() ----

    def hint(self, state: State, number: int, thread: Thread) -> Iterator[State]:
        if thread.state == DONE:
            yield state.put(number, at="gone")
            return
        is_first = not state.num_brief and state.turn != TAKEN
        yield state.put(number, at="enter" if is_first else "begin_brief")

    def begin_brief(self, state: State, number: int, thread: Thread) -> Iterator[State]:
        yield state.put(number, is_brief=True, at="brief")._replace(num_brief=state.num_brief + 1)

    def brief(self, state: State, number: int, thread: Thread) -> Iterator[State]:
        looked = self._look(state, number)
        if looked.threads[number].state == DONE:
            yield looked.put(number, at="end_brief")
        elif looked != state:
            yield looked
        yield state.put(number, at="enter")

    def enter(self, state: State, number: int, thread: Thread) -> Iterator[State]:
        if state.lock != NOBODY:
            return
        if state.turn != TAKEN:
            state = state.put(number, is_poller=True)._replace(turn=TAKEN)
        else:
            state = state._replace(sleepers=(*state.sleepers, number))
        yield state.put(number, at="end_brief") if thread.is_brief else self._go_on(state, number)

    # ---- end_brief_poll() ----

    def end_brief(self, state: State, number: int, thread: Thread) -> Iterator[State]:
        left = state.num_brief - 1
        state = state.put(number, is_brief=False)._replace(num_brief=left)
        if left or not self.last_looks_at_turn:
            yield self._go_on(state, number)
        else:
            yield state.put(number, at="look_at_turn")

    def look_at_turn(self, state: State, number: int, thread: Thread) -> Iterator[State]:
        is_open = state.turn == OPEN
        yield state.put(number, at="inherit") if is_open else self._go_on(state, number)

    def inherit(self, state: State, number: int, thread: Thread) -> Iterator[State]:
        if state.lock != NOBODY:
            return
        if state.turn == OPEN:
            yield state.put(number, at="open")._replace(lock=number)
        else:
            yield self._go_on(state, number)

    # ---- open_turn() and pass_turn(), with the lock ----

    def open(self, state: State, number: int, thread: Thread) -> Iterator[State]:
        if self.opens_before_counting:
            yield state.put(number, at="count")._replace(turn=OPEN)
        elif state.num_brief:
            yield state.put(number, at="open_late")
        else:
            yield state.put(number, at="give")

    def open_late(self, state: State, number: int, thread: Thread) -> Iterator[State]:
        yield state.put(number, at="unlock")._replace(turn=OPEN)

    def count(self, state: State, number: int, thread: Thread) -> Iterator[State]:
        yield state.put(number, at="unlock" if state.num_brief else "give")

    def give(self, state: State, number: int, thread: Thread) -> Iterator[State]:
        state = state._replace(turn=FREE)
        for each in state.sleepers:
            before = state.threads[each].state
            if before == DONE:
                continue
            rest = tuple(other for other in state.sleepers if other != each)
            state = state._replace(turn=TAKEN, sleepers=rest)
            state = state.put(each, state=TURN, is_poller=True)
            state = state.put(number, wakes=each if before == SLEEPS else NOBODY)
            break
        yield state.put(number, at="unlock")

    def unlock(self, state: State, number: int, thread: Thread) -> Iterator[State]:
        if thread.wakes != NOBODY:
            state = state.put(thread.wakes, is_asleep=False).put(number, wakes=NOBODY)
        state = state._replace(lock=NOBODY)
        yield state.put(number, at="gone") if thread.is_leaving else self._go_on(state, number)

    # ---- sleep_until() ----

    def fall_asleep(self, state: State, number: int, thread: Thread) -> Iterator[State]:
        yield state.change(number, RUNS, SLEEPS).put(number, at="futex")

    def futex(self, state: State, number: int, thread: Thread) -> Iterator[State]:
        if thread.state == SLEEPS:
            yield state.put(number, is_asleep=True)
        else:
            yield state.put(number, at="poll" if thread.state == TURN else "leave")

    # ---- poll_until() ----

    def poll(self, state: State, number: int, thread: Thread) -> Iterator[State]:
        state = state.change(number, RUNS, POLLS).change(number, TURN, POLLS)
        yield state.put(number, at="look")

    def look(self, state: State, number: int, thread: Thread) -> Iterator[State]:
        state = self._look(state, number)
        is_over = state.threads[number].state == DONE
        yield state.put(number, at="leave" if is_over else "ask")

    def ask(self, state: State, number: int, thread: Thread) -> Iterator[State]:
        yield state.put(number, at="check_again")._replace(is_asking=True)

    def check_again(self, state: State, number: int, thread: Thread) -> Iterator[State]:
        has_some = thread.state == DONE or any(
            each.is_completed and each.state != DONE and each.at != "gone" for each in state.threads
        )
        if has_some and self.poller_checks_again:
            yield state.put(number, at="look")._replace(is_asking=False)
        else:
            yield state.put(number, at="block")

    def block(self, state: State, number: int, thread: Thread) -> Iterator[State]:
        if state.has_call:
            yield state.put(number, at="look")._replace(is_asking=False, has_call=False)

    # ---- leave() ----

    def leave(self, state: State, number: int, thread: Thread) -> Iterator[State]:
        if state.lock != NOBODY:
            return
        state = state.change(number, TURN, RUNS).change(number, POLLS, RUNS)
        state = state.put(number, at="unlock", is_leaving=True)
        if thread.is_poller and not state.sleepers:
            state = state._replace(turn=FREE)
        elif thread.is_poller:
            state = state.put(number, at="open")
        else:
            rest = tuple(other for other in state.sleepers if other != number)
            state = state._replace(sleepers=rest)
        yield state._replace(lock=number)

    def gone(self, state: State, number: int, thread: Thread) -> Iterator[State]:
        yield from ()


def canonical(state: State) -> State:
    """The same for states that differ only in threads that have left, or in the order."""
    threads = [GONE if each.at == "gone" else each for each in state.threads]
    order = sorted(range(len(threads)), key=threads.__getitem__)
    place = {old: new for new, old in enumerate(order)} | {NOBODY: NOBODY}
    return state._replace(
        threads=tuple(threads[old]._replace(wakes=place[threads[old].wakes]) for old in order),
        sleepers=tuple(place[each] for each in state.sleepers),
        lock=place[state.lock],
    )


def explore(protocol: Protocol, *threads: Thread) -> tuple[int, list[State]]:
    """How many states can be reached, and those of them in which nobody can make a step."""
    first = canonical(State(threads))
    seen, todo, ends = {first}, [first], []
    while todo:
        state = todo.pop()
        following = [canonical(each) for each in protocol.steps(state)]
        if not following:
            ends.append(state)
        for each in following:
            if each not in seen:
                seen.add(each)
                todo.append(each)
    return len(seen), ends


def is_finished(state: State) -> bool:
    """All have left, and nobody has the turn."""
    return (
        all(thread.at == "gone" for thread in state.threads)
        and state.turn == FREE
        and not state.num_brief
        and not state.sleepers
        and state.lock == NOBODY
    )

# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines that do not exist: a waiting thread and a back-end, in simulated nanoseconds.

`run(machine, wait)` plays a closed loop as fio does: `depth` requests are in flight, each one that
completes is submitted again. Whenever nothing has completed, `wait` (Adaptive here, or a Fixed step
for comparison) names a step, and the machine says when it ends and what has completed by then.

- SeparateCores: the back-end has a core of its own and always looks; a request completes
  `service_ns(time)` after its submission, and no sooner than `gap_ns` after the one before.
- SharedCore: the back-end runs only while the waiting thread does not: it sleeps until kicked, and
  then works through all that there is. While somebody spins, it gets a turn every `slice_ns`.
- PollingSharedCore: the same, but the back-end never sleeps. So a thread that yields or
  sleeps briefly gets the core back at once, and one that spins loses it for a whole time slice.

Nothing here reads a clock, so what the tests find is the same on every machine.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.engine.shared_object import CData, ffi, lib

US = 1_000
MS = 1_000_000
SPIN, YIELD, SLEEP, BLOCK = (
    int(action)
    for action in (lib.ADAPTIVE_SPIN, lib.ADAPTIVE_YIELD, lib.ADAPTIVE_SLEEP, lib.ADAPTIVE_BLOCK)
)
# What the thread does to wait no longer than the engine's own check of its surroundings.
CHECK_NS = 10 * MS


@dataclass
class Machine:
    """What both machines have in common: prices, and what was paid."""

    depth: int = 1
    request_ns: int = 250  # of the waiting thread, for reaping and submitting one
    look_ns: int = 60
    yield_ns: int = 350
    oversleep_ns: int = 50 * US
    sleep_cpu_ns: int = 3 * US
    wake_ns: int = 20 * US  # from a call to the thread's running
    block_cpu_ns: int = 5 * US
    now: int = 0
    waiting_cpu_ns: int = 0
    submitted: deque[int] = field(default_factory=deque)  # times of completion, or of submission

    def submit(self, count: int) -> None:
        raise NotImplementedError

    def reap(self) -> int:
        """How many requests have completed by now; takes them."""
        raise NotImplementedError

    def take(self, action: int, length_ns: int) -> None:
        """Lets the time of one step pass."""
        raise NotImplementedError

    def work(self, count: int) -> None:
        self.now += count * self.request_ns


@dataclass
class SeparateCores(Machine):
    service_ns: Callable[[int], int] = lambda _: 20 * US
    gap_ns: int = 200
    last: int = 0

    def submit(self, count: int) -> None:
        for _ in range(count):
            self.last = max(self.now + self.service_ns(self.now), self.last + self.gap_ns)
            self.submitted.append(self.last)

    def reap(self) -> int:
        count = 0
        while self.submitted and self.submitted[0] <= self.now:
            self.submitted.popleft()
            count += 1
        return count

    def take(self, action: int, length_ns: int) -> None:
        end, first = self.now + length_ns, self.submitted[0]
        if action == SLEEP:
            self.now = end + self.oversleep_ns
            self.waiting_cpu_ns += self.sleep_cpu_ns
        elif action == BLOCK:
            self.now = min(end, max(self.now, first)) + self.wake_ns
            self.waiting_cpu_ns += self.block_cpu_ns
        else:
            price = self.look_ns if action == SPIN else self.yield_ns
            before = self.now
            # The first look at or after the completion.
            looks = max(1, -(-(min(first, end) - self.now) // price))
            self.now += looks * price
            self.waiting_cpu_ns += self.now - before


@dataclass
class SharedCore(Machine):
    serve_ns: int = 300  # the back-end's, for one request
    switch_ns: int = 1_500
    call_ns: int = 1_000
    slice_ns: int = 3 * MS
    spun_ns: int = 0
    completed: int = 0

    def submit(self, count: int) -> None:
        self.submitted.extend([self.now] * count)

    def reap(self) -> int:
        count, self.completed = self.completed, 0
        return count

    def serve(self) -> None:
        """The back-end has the core until it has nothing left to do."""
        self.now += 2 * self.switch_ns + len(self.submitted) * self.serve_ns
        self.completed += len(self.submitted)
        self.submitted.clear()
        self.spun_ns = 0

    def take(self, action: int, length_ns: int) -> None:
        end = self.now + length_ns
        if action == SPIN:
            left_ns = min(length_ns, self.slice_ns - self.spun_ns)
            self.now += left_ns
            self.spun_ns += left_ns
            self.waiting_cpu_ns += left_ns
            if self.spun_ns >= self.slice_ns:
                self.serve()
            return
        self.serve()
        if action == SLEEP:
            self.now = max(self.now, end + self.oversleep_ns)
            self.waiting_cpu_ns += self.sleep_cpu_ns
        elif action == BLOCK:
            self.now += self.call_ns
            self.waiting_cpu_ns += self.block_cpu_ns
        else:
            self.waiting_cpu_ns += self.yield_ns
            self.now += self.yield_ns


@dataclass
class PollingSharedCore(SharedCore):
    oversleep_ns: int = 20 * US
    shortest_sleep_ns: int = 10 * US  # a shorter one is over before the back-end runs
    gives_way: bool = False  # a yield lets the back-end run, for a whole time slice

    def take(self, action: int, length_ns: int) -> None:
        if action in (SPIN, YIELD) or length_ns <= self.shortest_sleep_ns:
            if self.gives_way and action == YIELD:
                self.serve()
            else:
                SharedCore.take(self, SPIN, length_ns)
            if not self.submitted:  # the back-end goes on for the rest of its time slice
                self.now += self.slice_ns
        else:
            SharedCore.take(self, action, length_ns)


@dataclass(frozen=True)
class Fixed:
    """One step, always: what adaptive is compared with."""

    action: int
    length_ns: int = CHECK_NS

    def wait(self, machine: Machine, _done: int) -> int:
        while not (found := machine.reap()):
            machine.take(self.action, self.length_ns)
        return found


class Adaptive:
    """The engine's decisions, carried out on a machine."""

    def __init__(self, cpu_percent: int = 100) -> None:
        self.state: CData = ffi.new("struct adaptive *")
        lib.adaptive_open(self.state, cpu_percent)

    def wait(self, machine: Machine, done: int) -> int:
        found = machine.reap()
        if not found:
            lib.adaptive_begin(self.state, machine.now + 1, done, machine.depth)
        while not found:
            step = lib.adaptive_next(self.state)
            spent_ns = machine.waiting_cpu_ns
            machine.take(step.action, min(step.length_ns, CHECK_NS))
            found = machine.reap()
            outcome = (machine.now + 1, machine.waiting_cpu_ns - spent_ns, found > 0)
            lib.adaptive_learn(self.state, ffi.new("struct adaptive_outcome *", outcome))
        return found

    @property
    def best_way(self) -> str:
        return str(ffi.string(lib.adaptive_way_name(self.state.contest.best)).decode())


def run(machine: Machine, wait: Fixed | Adaptive, duration_ns: int) -> float:
    """Requests per second over duration_ns from now."""
    start, done = machine.now, 0
    if not machine.submitted:
        machine.submit(machine.depth)
    while machine.now - start < duration_ns:
        found = wait.wait(machine, done)
        machine.work(found)
        done += found
        machine.submit(found)
    return done * 1e9 / (machine.now - start)

# SPDX-License-Identifier: GPL-2.0-or-later
"""How the help of each command ends: with examples, and with the exit statuses that it can have.

`--help` and the manual page of a command are both made of this table. Nothing is printed here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import click

# What an exit status means if the command does not say otherwise.
STATUSES = {
    0: "It succeeded.",
    1: "It failed; the message says why.",
    2: "An option, an argument or a file cannot be used.",
    3: "The machine lacks something, such as fio, the engine or a program.",
}
SIGNALS = ("128 + N", "Signal N ended it: 130 after ^C, 143 after SIGTERM.")


@dataclass(frozen=True)
class Ending:
    """The examples of a command, and its own exit statuses."""

    examples: tuple[str, ...]
    own: Mapping[int, str] = field(default_factory=dict)

    def statuses(self) -> list[tuple[str, str]]:
        """Each exit status of the command and what it means."""
        found = sorted({**STATUSES, **self.own}.items())
        return [*((str(number), meaning) for number, meaning in found), SIGNALS]


_GONE = {1: "The back-end has ended, does not answer, or refuses this."}
_JUDGED = {
    4: "A point is surely worse than --max-regression allows.",
    5: "--max-regression cannot be judged at every point.",
}

ENDINGS = {
    "": Ending(
        ("pyfio-virtio doctor", "pyfio-virtio run"),
        {
            1: "A job, a run, a check or a disk failed.",
            **{number: f"compare: {text[0].lower()}{text[1:]}" for number, text in _JUDGED.items()},
        },
    ),
    "backend": Ending(("pyfio-virtio backend start", "pyfio-virtio backend list")),
    "backend fault": Ending(
        (
            "pyfio-virtio backend fault builtin-0 error:type=read,count=3",
            "pyfio-virtio backend fault builtin-0 delay:for=5ms,every=100",
            "pyfio-virtio backend fault builtin-0 clear",
        ),
        _GONE,
    ),
    "backend latency": Ending(
        (
            "pyfio-virtio backend latency builtin-0 20us",
            "pyfio-virtio backend latency builtin-0 off",
        ),
        _GONE,
    ),
    "backend list": Ending(("pyfio-virtio backend list", "pyfio-virtio backend list --json")),
    "backend logs": Ending(("pyfio-virtio backend logs builtin-0 --lines 20",)),
    "backend resize": Ending(("pyfio-virtio backend resize builtin-0 512M",), _GONE),
    "backend start": Ending(
        (
            "pyfio-virtio backend start --storage memory --disk-size 2G",
            "pyfio-virtio backend start qsd --storage file:disk.img --socket /tmp/vhost.0",
        ),
        {1: "The back-end did not start."},
    ),
    "backend stats": Ending(("pyfio-virtio backend stats builtin-0",), _GONE),
    "backend stop": Ending(
        ("pyfio-virtio backend stop builtin-0", "pyfio-virtio backend stop --all"),
        {0: "They have ended.", 1: "One of them could not be stopped."},
    ),
    "compare": Ending(
        (
            "pyfio-virtio compare base new --max-regression 10%",
            "pyfio-virtio compare out --base old --max-regression 10%",
        ),
        {
            0: "The comparison was made, and --max-regression is kept if it is given.",
            1: "There is nothing that can be compared.",
            **_JUDGED,
        },
    ),
    "completion": Ending(('eval "$(pyfio-virtio completion bash)"',)),
    "build-engine": Ending(
        ("pyfio-virtio build-engine --fio ~/fio/fio", "pyfio-virtio build-engine --list"),
        {3: "The engine cannot be built here; the message says what is missing."},
    ),
    "doctor": Ending(
        ("pyfio-virtio doctor",),
        {0: "This machine can run jobs.", 1: "It cannot; the checks say why."},
    ),
    "env": Ending(('eval "$(pyfio-virtio env)"; fio --enghelp=fio_virtio',)),
    "explain": Ending(
        (
            "pyfio-virtio explain",
            "pyfio-virtio explain --wait busy --iodepth 1,8,64 -- --bs=64k",
            "pyfio-virtio explain --socket /tmp/vhost.0",
        ),
        {1: "A run failed, or no request was timed."},
    ),
    "help": Ending(("pyfio-virtio help backend start",)),
    "job": Ending(("pyfio-virtio job --rw randwrite --wait busy -o busy.fio",)),
    "plot": Ending(
        (
            "pyfio-virtio plot out --picture latency",
            "pyfio-virtio plot base new --x iodepth --y p99_ns",
            "pyfio-virtio plot *.json --x iodepth --y p99_ns --by bs -o p99.svg",
        ),
        {1: "No run succeeded, so there is nothing to draw."},
    ),
    "probe": Ending(
        ("pyfio-virtio probe /tmp/vhost.0",),
        {1: "The back-end does not answer, or its answers are wrong."},
    ),
    "replay": Ending(("pyfio-virtio replay 3f2a out",), {1: "The run failed."}),
    "report": Ending(
        (
            "pyfio-virtio report out",
            "pyfio-virtio report base new -o both.html",
            "pyfio-virtio report --history nightly/* -o history.html",
        ),
        {1: "No run succeeded."},
    ),
    "restart-test": Ending(
        (
            "pyfio-virtio restart-test --restarts 5 --picture restarts.png",
            "pyfio-virtio restart-test --socket /run/vhost.0 "
            "--restart-with 'systemctl restart my-vhost'",
        ),
        {
            0: "No acknowledged write is missing, no operation failed, and the back-end came back.",
            1: "One of these statements is not true; the table shows which.",
        },
    ),
    "results": Ending(("pyfio-virtio results list out",)),
    "results export": Ending(("pyfio-virtio results export out -o runs.csv",)),
    "results list": Ending(("pyfio-virtio results list out",)),
    "results show": Ending(("pyfio-virtio results show 3f2a out",)),
    "run": Ending(
        (
            "pyfio-virtio run latency -- --rw=randread --runtime=2",
            "pyfio-virtio run --socket /tmp/vhost.0 throughput",
        ),
        {1: "fio, one of its jobs or the back-end failed."},
    ),
    "serve": Ending(
        ("pyfio-virtio serve --listen 192.0.2.1", "pyfio-virtio serve --status"),
        {1: "It cannot serve there, or with --status, it does not answer there."},
    ),
    "sweep": Ending(
        (
            "pyfio-virtio sweep --sleepy-poll 0,20,100 --wait busy --iodepth 1,32 -o out",
            "pyfio-virtio report out",
        ),
        {0: "All runs succeeded.", 1: "A run failed, or the sweep stopped."},
    ),
    "tune": Ending(
        (
            "pyfio-virtio tune /tmp/vhost.0",
            "pyfio-virtio tune --backend qsd --time 30 -o tuned-qsd",
        ),
        {1: "A run failed, or the time was too short."},
    ),
    "verify": Ending(
        ("pyfio-virtio verify -s /tmp/vhost.0 -i 100 -a -S 1000",),
        {0: "Every byte is right.", 1: "A byte is wrong, or the disk failed."},
    ),
}


def walk(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """The command and all below it, each with its name behind that of the program."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from walk(below, f"{path} {name}".lstrip())


def attach(program: click.Command) -> None:
    """Gives each command of the program the end of its help."""
    for path, command in walk(program):
        command.epilog = _text(ENDINGS[path])


def _text(ending: Ending) -> str:
    """Paragraphs for click, which keeps the lines of those that begin with \\b."""
    title = "Examples" if len(ending.examples) > 1 else "Example"
    examples = "\n".join(f"  {each}" for each in ending.examples)
    statuses = "\n".join(f"  {number:<7}  {meaning}" for number, meaning in ending.statuses())
    return f"\b\n{title}:\n{examples}\n\n\b\nExit status:\n{statuses}"

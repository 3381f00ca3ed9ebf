# SPDX-License-Identifier: GPL-2.0-or-later
"""backends/option_values.py: values that a back-end would refuse are refused before it starts."""

from pathlib import Path

import pytest

from pyfio_virtio.backends import option_keys, option_values
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.errors import UsageError
from tests.conftest import RunCommand, StartBackend

WRONG = [
    ("qsd", "aio=iouring", "aio cannot be 'iouring'; did you mean io_uring? use threads, native"),
    ("qsd", "aio=thread", "did you mean threads?"),
    ("qsd", "aio=IO_URING", "did you mean io_uring?"),
    ("qsd", "aio", "aio cannot be ''; use threads, native or io_uring"),
    ("qsd", "cache.direct=onn", "did you mean on? use on or off"),
    ("qsd", "cache.no-flush=1", "use on or off"),
    ("qsd", "detect-zeroes=unmapp", "did you mean unmap? use off, on or unmap"),
    ("qsd", "aio=native", "without cache.direct=on: .*; add --backend-option cache.direct=on"),
    ("qsd", "aio-max-batch=many", "aio-max-batch cannot be 'many': it is not a whole number"),
    ("builtin", "device=block", "use blk or scsi"),
    ("builtin", "serve=busy", "use poll, event or adaptive"),
    ("builtin", "profile=spkd", "did you mean spdk?"),
    ("builtin", "aio=native", "aio cannot be 'native'; use auto, io_uring, threads or off"),
    ("builtin", "populate=yes", "use auto, on, off or huge"),
    ("builtin", "threads=two", "threads cannot be 'two': it is not a whole number"),
    ("builtin", "size-max=4k", "write size-max=4096"),
    ("builtin", "latency=1.25ms", "latency cannot be '1.25ms': .*; write 1250us"),
    ("builtin", "latency=.5s", "write 500ms"),
    ("builtin", "latency=20 us", "write 20us"),
    ("builtin", "latency=soon", "write a whole number with ns, us, ms or s"),
    ("builtin", "latency=10us,1.5us/1s", "cannot use latency=10us,1.5us/1s: '1.5us' .*1500ns"),
    ("builtin", "fault=delay:for=0.1ms,every=3", "'0.1ms' is not a whole number .*write 100us"),
]


@pytest.mark.parametrize(("kind", "option", "sentence"), WRONG)
def test_a_wrong_value_is_refused_with_what_to_write(kind: str, option: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence.replace("?", r"\?")):
        BackendSpec(kind, storage_for(option), options=(option,)).check()


def storage_for(option: str) -> str:
    return "file:disk" if option_keys.key_of(option) in ("aio", "direct") else "memory"


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        *((kind, f"{key}={value}") for kind, values in option_values.FIXED.items()
          for key in values for value in values[key] if value != "native"),
        *(("builtin", f"latency={each}") for each in ("none", "0", "20US", "1us,2us/1s")),
        ("builtin", "fault=delay:for=1ms,every=3"),
        ("builtin", "fault=die"),
        ("qsd", "cache.direct=true"),
    ],
)  # fmt: skip
def test_a_value_that_exists_is_accepted(kind: str, option: str) -> None:
    BackendSpec(kind, storage_for(option), options=(option,)).check()


def test_an_option_of_files_is_refused_for_memory() -> None:
    with pytest.raises(UsageError, match="aio has no meaning for storage memory"):
        BackendSpec("builtin", options=("aio=threads",)).check()


def test_native_is_accepted_with_direct_access() -> None:
    BackendSpec("qsd", options=("aio=native", "cache.direct=on")).check()


def test_every_option_with_a_list_exists() -> None:
    for kind, values in option_values.FIXED.items():
        assert set(values) <= set(option_keys.KEYS[kind])


@pytest.mark.parametrize("key", ["device", "serve", "profile"])
def test_the_lists_are_those_of_the_built_in_back_end(builtin: StartBackend, key: str) -> None:
    for value in option_values.FIXED["builtin"][key]:
        assert builtin(storage="null", options=(f"{key}={value}",)).is_running()


@pytest.mark.parametrize(
    "words",
    [
        "sweep --backend qsd --storage file --backend-option aio=threads,iouring",
        "sweep --backend qsd,aio=iouring --storage file",
        "run --backend qsd --backend-option aio=iouring",
        "backend start qsd --backend-option aio=iouring",
        "backend start qsd --backend-option aio=iouring --dry-run",
    ],
)
def test_each_command_refuses_it_before_anything_starts(
    command: RunCommand, private: Path, words: str
) -> None:
    ended = command(*words.split())
    assert ended.status == 2
    assert "aio cannot be 'iouring'; did you mean io_uring?" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert list(private.iterdir()) == []

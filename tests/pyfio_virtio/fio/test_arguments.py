# SPDX-License-Identifier: GPL-2.0-or-later
"""fio/arguments.py: what users write after `--`."""

import os
import re
import string
import subprocess
from collections.abc import Collection
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyfio_virtio.engine import engine
from pyfio_virtio.errors import UsageError
from pyfio_virtio.fio import arguments as fio_arguments
from pyfio_virtio.fio import fio, job

# Engines, and an option that each adds to fio's own.
ENGINE_OPTIONS = {
    "fio_virtio": "wait=adaptive",
    "libaio": "userspace_reap=1",
    "cpuio": "cpuload=10",
    "null": None,
}
TYPED = {"fio_virtio": "wait=busy", "libaio": "nowait=1", "cpuio": "cpuload=50"}
# fio --help lists the options of the program; this one it does not.
PROGRAM_OPTIONS = (*fio_arguments.PROGRAM, *fio_arguments.REFUSED, "memcpytest")
# Options of fio's profiles, which we refuse.
OF_PROFILES = {
    *("block", "device-names", "dir", "large-block-op-kbytes", "load", "numruns", "prep"),
    *("read-req-num-512-blocks", "test-duration", "threads", "threads-per-queue"),
}
OURS = ("wait", "sleepy_poll", "adaptive_cpu", "queue_size", "device")


def _options_of(name: str) -> Collection[str]:
    theirs = {"libaio": ("userspace_reap", "nowait"), "cpuio": ("cpuload", "cpuchunks")}
    return OURS if job.is_ours(name) else theirs.get(name, ())


def _applied(text: str, *typed: str) -> job.Job:
    return fio_arguments.parse(typed).applied(job.parse(text), _options_of)


def _in_fio(wanted: job.Job) -> subprocess.CompletedProcess[str]:
    """What fio says about a job that it only parses."""
    return subprocess.run(
        ["fio", "--parse-only", "--debug=parse", "-"],
        input=wanted.text(),
        capture_output=True,
        env={**os.environ, "LD_LIBRARY_PATH": fio.library_path(engine.folder())},
        check=False,
        text=True,
    )


def test_options_of_the_program_are_passed_on() -> None:
    parsed = fio_arguments.parse(["--eta=always", "--output", "out", "--minimal"])
    assert parsed.program == ("--eta=always", "--output=out", "--minimal")


def test_an_option_of_jobs_holds_in_every_job() -> None:
    parsed = fio_arguments.parse(["--rw=write", "--bs", "4k", "--time_based"])
    assert parsed.everywhere == {"rw": "write", "bs": "4k", "time_based": None}


def test_what_was_typed_wins_over_the_job_file() -> None:
    given = job.parse("[a]\nrw=write\n[b]\nrw=trim\n")
    wanted = fio_arguments.parse(["--readwrite=randread"]).applied(given)
    assert not wanted.writing()


def test_a_name_opens_a_job_as_it_does_for_fio() -> None:
    parsed = fio_arguments.parse(["--bs=4k", "--name=a", "--rw=read", "--name=b"])
    wanted = parsed.applied(job.Job(()))
    assert wanted.text() == "[global]\nbs=4k\n[a]\nrw=read\n[b]\n"


def test_a_further_job_has_what_was_typed_for_every_job() -> None:
    text = "[a]\nioengine=fio_virtio\nbs=4k\n"
    typed = ("--ioengine=libaio", "--bs=8k", "--nowait=1", "--name=b", "--name=c", "--bs=16k")
    assert _applied(text, *typed).text() == (
        "[a]\nioengine=libaio\nnowait=1\nbs=8k\n"
        "[b]\nioengine=libaio\nbs=8k\nnowait=1\n[c]\nioengine=libaio\nbs=16k\nnowait=1\n"
    )


def test_one_dash_is_enough_as_for_fio() -> None:
    assert fio_arguments.parse(["-rw=read"]).everywhere == {"rw": "read"}


def test_readonly_is_noticed() -> None:
    assert fio_arguments.parse(["--readonly"]).program == ("--readonly",)


@pytest.mark.parametrize("word", ["job.fio", "-", "--"])
def test_what_is_no_option_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="not an option; name job files before --"):
        fio_arguments.parse([word])


@pytest.mark.parametrize("option", ["--server", "--client=host", "--daemonize=pid"])
def test_other_fios_are_refused(option: str) -> None:
    with pytest.raises(UsageError, match="on this machine"):
        fio_arguments.parse([option])


def test_a_profile_is_refused() -> None:
    with pytest.raises(UsageError, match="its own jobs"):
        fio_arguments.parse(["--profile=tiobench"])


def test_every_option_of_the_program_is_known() -> None:
    """What is not known would be taken for an option of jobs."""
    shown = subprocess.run(["fio", "--help"], capture_output=True, text=True, check=True).stdout
    names = re.findall(r"^  --([\w-]+)", shown, re.MULTILINE)
    assert len(names) > 30
    refused = {"server", "client", "daemonize", "remote-config", "trigger-remote"}
    assert not fio_arguments.parse(
        [f"--{name}=x" for name in names if name not in refused]
    ).everywhere


# ---- names that are abbreviated ----------------------------------------------------------------

NAMES = ("bs", "bsrange", "bssplit", "runtime", "rw", "rwmixread", "output_x")


def test_a_name_may_be_abbreviated_as_in_fio() -> None:
    parsed = fio_arguments.parse(["--runt=5", "--minim", "--bsr=4k-8k"], NAMES)
    assert parsed.everywhere == {"runtime": "5", "bsrange": "4k-8k"}
    assert parsed.program == ("--minimal",)


def test_a_whole_name_abbreviates_no_other() -> None:
    assert fio_arguments.parse(["--bs=4k"], NAMES).everywhere == {"bs": "4k"}


def test_a_second_name_may_be_abbreviated() -> None:
    assert fio_arguments.parse(["--timeo=5"], NAMES).everywhere == {"runtime": "5"}


def test_an_abbreviation_of_what_is_refused_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot pass --daemonize to fio"):
        fio_arguments.parse(["--daemon=pid"], NAMES)


def test_an_abbreviation_of_two_names_is_refused() -> None:
    with pytest.raises(UsageError, match="may mean --bsrange, --bssplit; write the whole name"):
        fio_arguments.parse(["--bss=1", "--bs=4k"], ["bsrange", "bssplit"])


def test_an_unknown_name_is_left_to_fio() -> None:
    assert fio_arguments.parse(["--foo=1"], NAMES).everywhere == {"foo": "1"}


def test_all_names_that_fio_completes_are_known() -> None:
    """getopt_long(3) lists them if one letter may mean several."""
    known = {*fio.job_options(fio.find()), *job.ALIASES, *PROGRAM_OPTIONS}
    listed: set[bytes] = set()
    for letter in string.ascii_lowercase:
        asked = subprocess.run(
            ["fio", f"--{letter}"], capture_output=True, stdin=subprocess.DEVNULL, check=False
        )
        listed |= set(re.findall(rb"'--([\w-]{2,})'", asked.stderr))
    unknown = {name.decode() for name in listed} - known
    assert len(listed) > 200
    assert unknown <= OF_PROFILES


@pytest.mark.parametrize(
    "typed", ["runt", "iodepth_batch_s", "blocksize_r", "verify_async_", "zero"]
)
def test_an_abbreviation_means_what_it_means_to_fio(typed: str) -> None:
    names = fio.job_options(fio.find())
    [meant] = fio_arguments.parse([f"--{typed}=1"], names).everywhere
    said = subprocess.run(
        ["fio", "--parse-only", "--debug=parse", "--name=x", f"--{typed}=1"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert job.canonical(re.findall(r" handle_option=(\w+)", said)[-1]) == meant


# ---- what was typed wins -----------------------------------------------------------------------


def test_an_option_of_the_engine_is_set_where_the_engine_is_chosen() -> None:
    text = "[a]\nioengine=fio_virtio\nwait=adaptive\n[b]\nioengine=cpuio\ncpuload=9\n"
    assert _applied(text, "--wait=busy").text() == text.replace("adaptive", "busy")


def test_an_option_of_the_engine_is_set_in_the_global_section_that_chooses_it() -> None:
    changed = _applied("[global]\nioengine=fio_virtio\n[a]\nwait=event\n", "--wait=busy")
    assert changed.text() == "[global]\nioengine=fio_virtio\nwait=busy\n[a]\n"


@pytest.mark.parametrize("engine", ["external:/x/fio_virtio", "${AN_ENGINE}"])
def test_the_engine_is_known_however_it_is_written(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AN_ENGINE", "fio_virtio")
    [section] = _applied(f"[a]\nioengine={engine}\n", "--wait=busy").sections()
    assert section.options["wait"] == "busy"


def test_an_option_that_no_engine_has_is_left_to_fio() -> None:
    assert "no_such=1" in _applied("[a]\nioengine=fio_virtio\n", "--no_such=1").text()


def test_the_engine_that_was_typed_replaces_that_of_each_job() -> None:
    text = "[global]\nioengine=libaio\n[a]\nuserspace_reap\n[b]\nioengine=cpuio\ncpuload=9\n"
    changed = _applied(text, "--wait=busy", "--ioengine=fio_virtio")
    assert [section.engine for section in changed.sections()] == ["fio_virtio"] * 2
    assert [section.options["wait"] for section in changed.sections()] == ["busy"] * 2
    assert not re.search("userspace_reap|cpuload", changed.text())


def test_an_engine_can_be_typed_for_a_job_that_has_none() -> None:
    [section] = _applied("[a]\nrw=read\n", "--ioengine=fio_virtio", "--wait=busy").sections()
    assert dict(section.options) == {"ioengine": "fio_virtio", "wait": "busy", "rw": "read"}


def test_an_option_of_the_engine_reaches_a_typed_job_that_chooses_the_engine() -> None:
    changed = _applied("", "--wait=busy", "--name=a", "--ioengine=fio_virtio", "--name=b")
    assert changed.text() == "[a]\nioengine=fio_virtio\nwait=busy\n[b]\n"


@pytest.mark.parametrize(
    ("typed", "before", "after"),
    [
        ("--bs=4k", "bssplit=8k/50:16k/50", "bs=4k"),
        ("--bs=4k", "bsrange=8k-16k", "bs=4k"),
        ("--blocksize=4k", "blocksize_range=8k-16k", "bs=4k"),
        ("--direct=1", "buffered=1", "direct=1"),
        ("--rwmixread=10", "rwmixwrite=10", "rwmixread=10"),
        ("--cpus_allowed=0", "cpumask=2", "cpus_allowed=0"),
        ("--wait=busy", "sleepy_poll=50", "wait=busy"),
        ("--wait=busy", "adaptive_cpu=50", "wait=busy"),
        ("--wait=sleepy", "sleepy_poll=50", "wait=sleepy sleepy_poll=50"),
        ("--sleepy_poll=50", "wait=busy", "sleepy_poll=50"),
        ("--time_based", "time_based=0", "time_based"),
        ("--time_based=0", "time_based", "time_based=0"),
    ],
)
def test_an_option_that_would_win_over_the_typed_one_is_removed(
    typed: str, before: str, after: str
) -> None:
    lines = _applied(f"[a]\nioengine=fio_virtio\n{before}\n", typed).text().splitlines()
    assert set(lines) - {"[global]", "[a]", "ioengine=fio_virtio"} == set(after.split())


def test_names_of_files_replace_those_of_all_sections_and_each_is_used_once() -> None:
    text = "[global]\nfilename=/x\n[a]\n[b]\nfilename=/y\n"
    sections = _applied(text, "--filename=/a", "--filename=/b").sections()
    assert [section.every("filename") for section in sections] == [["/a:/b"]] * 2


def test_the_last_value_of_an_option_is_valid_whatever_its_name() -> None:
    [section] = _applied("[a]\n", "--rw=read", "--readwrite=write").sections()
    assert section.options["rw"] == "write"


PARTS = st.tuples(
    st.sampled_from(["global", "a", "b"]),
    st.sampled_from([None, *ENGINE_OPTIONS, "external:fio_virtio"]),
    st.booleans(),
    st.lists(st.sampled_from(["bs=8k", "blocksize=1k", "iodepth=2", "time_based"]), max_size=2),
)


def _text_of(parts: list[tuple[str, str | None, bool, list[str]]]) -> str:
    lines: list[str] = []
    for name, chosen, has_option, options in parts:
        of_engine = ENGINE_OPTIONS.get((chosen or "").removeprefix("external:"))
        own = [of_engine] if has_option and of_engine else []
        engine_line = [f"ioengine={chosen}"] if chosen else []
        lines += [f"[{name}]", *own, *options, *engine_line]
    return "".join(f"{line}\n" for line in lines)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(PARTS, min_size=1, max_size=4),
    st.lists(
        st.sampled_from(["--bs=4k", "--iodepth=3", "--time_based=0", "--ioengine=fio_virtio"]),
        unique=True,
    ),
    st.sets(st.sampled_from(list(TYPED))),
)
def test_what_was_typed_wins_in_each_job_that_fio_accepts(
    parts: list[tuple[str, str | None, bool, list[str]]], typed: list[str], engines: set[str]
) -> None:
    before = job.parse(_text_of(parts))
    is_accepted = _in_fio(before).returncode == 0
    # An option is typed only if a job uses its engine then; otherwise fio would refuse it.
    used = {section.engine for section in before.sections()} & engines
    if "--ioengine=fio_virtio" in typed:
        used = engines & {"fio_virtio"}
    arguments = [*typed, *(f"--{TYPED[name]}" for name in used)]
    after = fio_arguments.parse(arguments).applied(before, _options_of)
    if is_accepted:
        assert _in_fio(after).returncode == 0, _in_fio(after).stderr
    for section, argument in product(after.sections(), arguments):
        key, _, value = argument.removeprefix("--").partition("=")
        if key in ("bs", "iodepth", "time_based", "ioengine") or key in _options_of(section.engine):
            assert section.options[key] == value

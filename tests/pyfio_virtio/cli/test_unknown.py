# SPDX-License-Identifier: GPL-2.0-or-later
"""cli/unknown.py: what is said about an option that a command does not have."""

import shlex
from pathlib import Path

import pytest

from tests.conftest import RunCommand


def refused(main_here: RunCommand, line: str) -> str:
    ended = main_here(*shlex.split(line))
    assert (ended.status, ended.stdout, ended.stderr.count("\n")) == (2, "", 1), ended.stderr
    return ended.stderr.strip()


@pytest.mark.parametrize(
    ("typed", "corrected"),
    [
        ("--runtime=2", "-- --runtime=2"),
        ("--runtime 2", "-- --runtime 2"),
        ("--rw=randread --bs 4k", "-- --rw=randread --bs 4k"),
        ("-rw=randread", "-- --rw=randread"),
        ("latency --rw randread", "latency -- --rw randread"),
        ("--rw randread latency", "latency -- --rw randread"),
        ("--time_based latency", "latency -- --time_based"),
        ("--disk-size 1G --iodepth=4 --yes", "--disk-size 1G --yes -- --iodepth=4"),
        ("--iodepth=4 -- --bs=8k", "-- --iodepth=4 --bs=8k"),
        ("--sleepy-poll=20", "-- --sleepy_poll=20"),
        ("--wait=busy", "-- --wait=busy"),
        ("--eta=never", "-- --eta=never"),
        ("--output-format=json", "-- --output-format=json"),
        ("--name=a --rw=read", "-- --name=a --rw=read"),
        ("--description='two words'", "-- '--description=two words'"),
    ],
)
def test_options_of_fio_follow_two_dashes_in_run(
    main_here: RunCommand, typed: str, corrected: str
) -> None:
    sentence = refused(main_here, f"run {typed}")
    assert sentence.endswith(f"those follow --; write: pyfio-virtio run {corrected}")


def test_the_corrected_command_is_right(main_here: RunCommand) -> None:
    sentence = refused(main_here, "run latency --sleepy-poll 20 --dry-run")
    corrected = sentence.partition("write: pyfio-virtio ")[2]
    shown = main_here(*shlex.split(corrected))
    assert shown.status == 0, shown.stderr
    assert "sleepy_poll=20" in shown.stdout


@pytest.mark.parametrize(
    ("typed", "advice"),
    [
        ("--norandommap", "write: --set norandommap=1"),
        ("--rwmixread=70,30", "write: --set rwmixread=70,30"),
        ("--bsrange 4k-8k", "write: --set bsrange=4k-8k"),
        ("--ioengine=libaio", "use --engines"),
        ("--readwrite=read", "write: --set rw=read"),
        ("--filename=/dev/null", "use --backend or --storage"),
        ("--time_based", "a sweep sets itself"),
        ("--eta=never", "a sweep chooses those itself"),
    ],
)
def test_options_of_fio_are_set_in_a_sweep(main_here: RunCommand, typed: str, advice: str) -> None:
    assert refused(main_here, f"sweep {typed}").endswith(advice)


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("verify -s a.sock --iodepth=4", "write: pyfio-virtio run verify -- --iodepth=4"),
        ("job --norandommap", "add the line norandommap=1 to the job file"),
    ],
)
def test_other_commands_say_where_options_of_fio_go(
    main_here: RunCommand, line: str, advice: str
) -> None:
    assert refused(main_here, line).endswith(advice)


@pytest.mark.parametrize(
    ("line", "near"),
    [
        ("run --backnd qsd", "--backend"),
        ("run --dryrun", "--dry-run"),
        ("verify --backend a.sock", "--socket"),
        ("backend start --size 1G", "--disk-size"),
        ("sweep --storge null", "--storage"),
        ("probe --jsn a.sock", "--json"),
    ],
)
def test_the_nearest_option_is_named(main_here: RunCommand, line: str, near: str) -> None:
    assert f"; did you mean {near}? (see " in refused(main_here, line)


def test_an_option_like_no_other_is_only_refused(main_here: RunCommand) -> None:
    sentence = refused(main_here, "doctor --zzz=1")
    assert sentence == "pyfio-virtio: no such option --zzz (see pyfio-virtio doctor --help)"


def test_without_fio_an_option_is_only_refused(
    main_here: RunCommand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no such option --runtime" in refused(main_here, "run --runtime=2")

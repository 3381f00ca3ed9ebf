# SPDX-License-Identifier: GPL-2.0-or-later
"""fio/arguments.py: what users write after `--`."""

import re
import subprocess

import pytest

from pyfio_virtio.errors import UsageError
from pyfio_virtio.fio import arguments as fio_arguments
from pyfio_virtio.fio import job


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


def test_one_dash_is_enough_as_for_fio() -> None:
    assert fio_arguments.parse(["-rw=read"]).everywhere == {"rw": "read"}


def test_readonly_is_noticed() -> None:
    assert fio_arguments.parse(["--readonly"]).program == ("--readonly",)


@pytest.mark.parametrize("word", ["job.fio", "-", "--"])
def test_what_is_no_option_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="not an option; name only one job file"):
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

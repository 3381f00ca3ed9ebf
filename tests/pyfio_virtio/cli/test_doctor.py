# SPDX-License-Identifier: GPL-2.0-or-later
"""cli/doctor.py: the findings by the real command."""

import json

from tests.conftest import RunCommand


def test_what_works_ends_well(command: RunCommand) -> None:
    shown = command("doctor")
    assert shown.status == 0
    assert "fio with engine" in shown.stdout


def test_what_cannot_work_ends_with_1(command: RunCommand) -> None:
    assert command("doctor", "--fio", "no-such-fio").status == 1


def test_json_holds_each_check(command: RunCommand) -> None:
    checks = json.loads(command("doctor", "--json").stdout)
    assert {"name", "state", "finding", "remedy"} == set(checks[0])


def test_a_remedy_is_one_line_that_can_be_copied(command: RunCommand) -> None:
    wanted = [check["remedy"] for check in json.loads(command("doctor", "--json").stdout)]
    lines = command("doctor").stdout.splitlines()
    assert set(filter(None, wanted)) <= set(lines)

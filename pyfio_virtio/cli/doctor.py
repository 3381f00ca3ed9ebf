# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio doctor: shows what this machine lacks, and how to fix it."""

import json
from dataclasses import asdict

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
@click.option("--fio", "program", default="fio", show_default=True, help="The fio to examine.")
@click.pass_context
def doctor(context: click.Context, as_json: bool, program: str) -> None:
    """Check whether this machine can run jobs."""
    from pyfio_virtio import doctor as examination

    checks = examination.examine(program)
    if as_json:
        click.echo(json.dumps([asdict(check) for check in checks], indent=1))
    else:
        from pyfio_virtio.cli.tables import print_table

        rows = [(check.name, check.state, check.finding) for check in checks]
        print_table(("check", "state", "finding"), rows)
        # A remedy has a line of its own, so that it stays whole and can be copied.
        for check in checks:
            if check.remedy:
                click.echo(f"\n{check.name}; remedy:\n{check.remedy}")
    context.exit(0 if examination.works(checks) else 1)

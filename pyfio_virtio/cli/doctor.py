# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio doctor: what this machine lacks, and what mends it."""

import json
from dataclasses import asdict

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
@click.option("--fio", "program", default="fio", show_default=True, help="The fio to look at.")
@click.pass_context
def doctor(context: click.Context, as_json: bool, program: str) -> None:
    """Look for what stands in the way of runs; exit status 1 when they cannot work."""
    from pyfio_virtio import doctor as examination

    checks = examination.examine(program)
    if as_json:
        click.echo(json.dumps([asdict(check) for check in checks], indent=1))
    else:
        from pyfio_virtio.cli.tables import print_table

        rows = [(check.name, check.state, check.finding, check.remedy) for check in checks]
        print_table(("what", "state", "found", "what to do"), rows)
    context.exit(0 if examination.works(checks) else 1)

"""`cachedsl policies`: what is bundled."""

from __future__ import annotations

import click

from cachedsl.cli.output import write_out
from cachedsl.cli.tables import print_table, table_of


@click.command()
@click.option("--markdown", is_flag=True, help="Print the page docs/policies.md.")
def policies(markdown: bool) -> None:
    """List the bundled policies, and the memory of each on FLUX.1-dev."""
    from cachedsl.report.policies import catalogue, megabytes, to_markdown

    if markdown:
        write_out(to_markdown())
        return
    table = table_of("policy", "what it is", "memory")
    for entry in catalogue():
        table.add_row(entry.name, entry.description, "-" if entry.memory is None else megabytes(entry.memory))
    print_table(table, widest=120)

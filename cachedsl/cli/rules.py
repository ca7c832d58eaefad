"""`cachedsl rules` and `cachedsl rule`: what is looked for in files, and why."""

from __future__ import annotations

import json

import attrs
import click

from cachedsl.checking.catalogue import all_rules, nearest_code, rule_called
from cachedsl.cli.tables import print_table, table_of


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As a list of objects, with reasons and examples.")
def rules(as_json: bool) -> None:
    """List every rule that files are checked by."""
    if as_json:
        click.echo(json.dumps([attrs.asdict(rule) for rule in all_rules()], indent=2))
        return
    table = table_of("code", "stage", "severity", "what is wrong")
    for rule in all_rules():
        table.add_row(rule.code, rule.stage, rule.severity, rule.summary)
    print_table(table)


@click.command()
@click.argument("code")
def rule(code: str) -> None:
    """Explain the rule CODE: what is wrong, why, and how to mend it."""
    found = rule_called(code)
    if found is None:
        near = nearest_code(code)
        guess = f"did you mean `{near}`? " if near else ""
        raise click.UsageError(f"there is no rule `{code}`; {guess}`cachedsl rules` lists them")
    click.echo(f"{found.code}: {found.summary} ({found.severity}, stage {found.stage})")
    if found.why:
        click.echo("\n" + click.wrap_text(found.why, width=100))
    for title, example in (("Bad:", found.bad), ("Good:", found.good)):
        if example:
            click.echo(f"\n{title}\n" + "\n".join(f"  {line}" for line in example.splitlines()))

"""`cachedsl rules` and `cachedsl rule`: what is looked for in files, and why."""

from __future__ import annotations

import json

import attrs
import click

from cachedsl.checking.catalogue import all_rules, nearest_code, rule_called
from cachedsl.checking.pages import rule_text, rules_page
from cachedsl.cli import completing
from cachedsl.cli.output import write_out
from cachedsl.cli.tables import print_table, table_of


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects, with reasons and examples.")
@click.option("--markdown", is_flag=True, help="Print the page docs/rules.md.")
def rules(as_json: bool, markdown: bool) -> None:
    """List every rule of `cachedsl check`."""
    if as_json:
        write_out(json.dumps([{**attrs.asdict(rule), "url": rule.url} for rule in all_rules()], indent=2) + "\n")
        return
    if markdown:
        write_out(rules_page(all_rules()))
        return
    table = table_of("code", "category", "stage", "severity", "what is wrong")
    for rule in all_rules():
        table.add_row(rule.code, rule.category, rule.stage, rule.severity, rule.summary)
    print_table(table)


@click.command()
@click.argument("code", shell_complete=completing.code)
def rule(code: str) -> None:
    """Explain the rule CODE: what is wrong, why, and how to fix it."""
    found = rule_called(code)
    if found is None:
        near = nearest_code(code)
        guess = f"did you mean `{near}`? " if near else ""
        raise click.UsageError(f"there is no rule `{code}`; {guess}`cachedsl rules` lists them")
    head, *parts = rule_text(found).split("\n\n")
    text = "\n\n".join([head, *(click.wrap_text(part, width=100) if part == found.why else part for part in parts)])
    write_out(f"{text}\n")

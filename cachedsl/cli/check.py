"""`cachedsl check`: every finding of the files that cachedsl reads, one a line."""

from __future__ import annotations

import click

from cachedsl.checking.check import check_paths
from cachedsl.checking.summary import passed_over, summary
from cachedsl.cli.output import say, say_findings
from cachedsl.cli.stdin import standard_input


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, allow_dash=True))
def check(paths: tuple[str, ...]) -> None:
    """Check policies, adapters, ratios and plans, and all of them below folders; `-` is standard input.

    What a file is shows in what it holds. Another tool's file below a folder is passed over, and named at the end; one
    that is named itself is checked as a policy. Below a folder, `.yaml` and `.yml` files are looked at, and `.json`
    files that say they are ours; hidden folders are left out.

    Exit status: 0 fine, also with warnings; 1 errors found; 2 wrong use.
    """
    checked = []
    for one in check_paths(paths, standard_input()):
        say_findings(one.findings)
        checked.append(one)
    strangers = passed_over(checked)
    if all(one.kind == "stranger" and not one.findings for one in checked):
        raise click.UsageError(f"no policies below {', '.join(paths)}{strangers and f'; {strangers}'}")
    for line in summary(checked):
        say(line)
    if any(found.severity == "error" for one in checked for found in one.findings):
        raise SystemExit(1)

"""`cachedsl plan`: a policy on a model as a file to be committed, and all the plans that a repository keeps."""

from __future__ import annotations

from pathlib import Path

import click

from cachedsl.checking.kept_plans import Kept, compare_kept, shown, stale_files, write_kept
from cachedsl.checking.plans_table import PlansTable, nearest_table
from cachedsl.cli import completing, options
from cachedsl.cli.naming import policy_called
from cachedsl.cli.output import say, stop, write_out
from cachedsl.explain.diff_report import to_text
from cachedsl.lower.compile import compile_policy
from cachedsl.matching.errors import UnsupportedModel
from cachedsl.matching.reading import shape_called
from cachedsl.plan.codec import to_json
from cachedsl.text.finding import CachedslError
from cachedsl.text.paths import reason

NO_TABLE = """there is no [[tool.cachedsl.plans]] in the nearest pyproject.toml; such an entry is

[[tool.cachedsl.plans]]
policy = "policies/*.yaml"
model = "flux"
steps = [28]
folder = "plans\""""


@click.command()
@click.argument("policy", required=False, shell_complete=completing.policy)
@options.model
@options.steps()
@options.output
@click.option("--write", is_flag=True, help="Write every plan of the `plans` table in pyproject.toml.")
@click.option("--check", is_flag=True, help="Say which plans of the `plans` table no longer match their policies.")
def plan(
    policy: str | None, model: str | None, steps: int | None, output: str | None, write: bool, check: bool
) -> None:
    """Write the plan of POLICY: what it does on a model, as JSON to commit.

    With --write or --check, do so for all plans that `[[tool.cachedsl.plans]]` in pyproject.toml names.

    Exit status: 0 fine; 1 a policy has an error or does not fit, or, with --check, a plan is not up to date; 2 wrong
    use.
    """
    if write or check:
        if policy is not None or model is not None or steps is not None or output is not None or (write and check):
            raise click.UsageError("--write and --check stand alone: the table names policies, models and step counts")
        _keep(write)
        return
    if policy is None or model is None or steps is None:
        raise click.UsageError("name a policy, --model and --steps; or --write or --check for the `plans` table")
    try:
        made = compile_policy(policy_called(policy), shape_called(model), steps)
    except UnsupportedModel as error:
        raise click.UsageError(str(error)) from error
    except CachedslError as error:
        raise stop(error) from error
    write_out(to_json(made), output)


def _keep(write: bool) -> None:
    table = nearest_table(Path.cwd())
    if table is None:
        raise click.UsageError(NO_TABLE)
    kept = list(compare_kept(table))
    stale = stale_files(table)
    if write:
        _write(table, kept, stale)
    else:
        write_out(to_text([one.compared for one in kept]))
        for file in stale:
            say(f"stale: {shown(table.root / file)} belongs to no policy of the table")
        if stale or any(one.compared.status not in ("same", "refused") for one in kept):
            say("`cachedsl plan --write` brings the plans up to date")
    refused = any(one.compared.status == "refused" for one in kept)
    if refused or (not write and (stale or any(one.compared.status != "same" for one in kept))):
        raise SystemExit(1)


def _write(table: PlansTable, kept: list[Kept], stale: tuple[Path, ...]) -> None:
    """Write and remove what must be; what the system refuses is told, and stops nothing else."""
    written, removed, failed = 0, 0, False
    for line in to_text([one.compared for one in kept if one.text is None]).splitlines()[:-2]:
        say(line, err=True)
    for one in kept:
        try:
            if write_kept(table, one):
                written += 1
                say(f"wrote {shown(table.root / one.plan.file)}")
        except OSError as error:
            failed = True
            _refused(error, "written", table.root / one.plan.file)
    for file in stale:
        try:
            (table.root / file).unlink()
        except OSError as error:
            failed = True
            _refused(error, "removed", table.root / file)
        else:
            removed += 1
            say(f"removed {shown(table.root / file)}, which belongs to no policy of the table")
    say(f"{len(kept)} plan{'s' * (len(kept) != 1)}, {written} written, {removed} removed")
    if failed:
        raise SystemExit(2)


def _refused(error: OSError, what: str, file: Path) -> None:
    say(f"{shown(file)} cannot be {what}: {reason(error)}", err=True)

"""`cachedsl explain`: what a policy does, in words, as a step table and as a state diagram."""

from __future__ import annotations

from collections.abc import Callable

import click

from cachedsl.cli import completing, options
from cachedsl.cli.naming import policy_called
from cachedsl.cli.output import stop, write_out
from cachedsl.lower.compile import compile_policy
from cachedsl.matching.errors import UnsupportedModel
from cachedsl.matching.reading import shape_called
from cachedsl.plan.ir import Plan
from cachedsl.text.finding import CachedslError

FORMATS: dict[str, Callable[[Plan], str]] = {
    "json": Plan.to_json,
    "mermaid": Plan.to_mermaid,
    "words": Plan.explain,
}


@click.command()
@click.argument("policy", shell_complete=completing.policy)
@options.model
@options.steps(28)
@click.option("--format", "form", type=click.Choice(["text", *FORMATS]), default="text", show_default=True)
@options.output
def explain(policy: str, model: str | None, steps: int, form: str, output: str | None) -> None:
    """Explain in words what POLICY does.

    POLICY is a path, a bundled name, compact notation such as F8B0_W8R0.12, or `-` for standard input.

    The output also has a table of the steps, the share of the blocks that runs, and the state diagram (Mermaid).
    Without --model, it is for a model with one block list of 28 blocks.
    """
    try:
        shape = shape_called(model) if model else options.GENERIC
        loaded = policy_called(policy)
        plan = compile_policy(loaded, shape, steps)
    except UnsupportedModel as error:
        raise click.UsageError(str(error)) from error
    except CachedslError as error:
        raise stop(error) from error
    if form != "text":
        write_out(FORMATS[form](plan), output)
        return
    parts = [f"{loaded.description}\n"] if loaded.description else []
    write_out("\n".join([*parts, plan.explain(), plan.to_text(), plan.to_mermaid()]), output)

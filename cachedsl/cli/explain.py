"""`cachedsl explain`: what a policy does, in words, as a step table and as a state diagram."""

from __future__ import annotations

from collections.abc import Callable

import click

from cachedsl.cli import completing
from cachedsl.cli.naming import policy_called
from cachedsl.cli.output import stop, write_out
from cachedsl.lower.compile import compile_policy
from cachedsl.matching.errors import UnsupportedModel
from cachedsl.matching.reading import shape_called
from cachedsl.plan.ir import Plan
from cachedsl.plan.model_shape import ModelShape, StackShape
from cachedsl.text.finding import CachedslError

GENERIC = ModelShape([StackShape("blocks", 28)], "a model with one stack of 28 blocks")
MAX_STEPS = 10_000
FORMATS: dict[str, Callable[[Plan], str]] = {
    "json": Plan.to_json,
    "mermaid": Plan.to_mermaid,
    "words": Plan.explain,
}


@click.command()
@click.argument("policy", shell_complete=completing.policy)
@click.option(
    "--model",
    metavar="ADAPTER",
    shell_complete=completing.model,
    help="A family (flux), a published model (flux.1-dev), a transformer class, or the path of an adapter's YAML.",
)
@click.option(
    "--steps",
    default=28,
    show_default=True,
    type=click.IntRange(1, MAX_STEPS),
    help="The number of steps (num_inference_steps).",
)
@click.option("--format", "form", type=click.Choice(["text", *FORMATS]), default="text", show_default=True)
@click.option(
    "--output",
    "-o",
    metavar="FILE",
    shell_complete=completing.any_file,
    help="Write FILE instead of standard output. It is written whole or not at all.",
)
def explain(policy: str, model: str | None, steps: int, form: str, output: str | None) -> None:
    """Explain in words what POLICY does.

    POLICY is a path, a bundled name, compact notation such as F8B0_W8R0.12, or `-` for standard input.

    The output also has a table of the steps, the share of the blocks that runs, and the state diagram (Mermaid).
    Without --model, it is for a model with one block list of 28 blocks.
    """
    try:
        shape = shape_called(model) if model else GENERIC
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

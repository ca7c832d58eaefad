"""`cachedsl explain`: what a policy does, in words, as a step table and as a state diagram."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable

import click

from cachedsl.cli.output import say, stop
from cachedsl.cli.stdin import standard_input
from cachedsl.language.policy import Policy
from cachedsl.loading import load_policy, read_policy
from cachedsl.lower.compile import compile_policy
from cachedsl.matching.errors import UnsupportedModel
from cachedsl.matching.reading import find_adapter, load_adapter
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
@click.argument("policy")
@click.option(
    "--model",
    metavar="ADAPTER",
    help="A family (flux), a published model (flux.1-dev), a transformer class, or the path of an adapter's YAML.",
)
@click.option(
    "--steps",
    default=28,
    show_default=True,
    type=click.IntRange(1, MAX_STEPS),
    help="num_inference_steps of the table.",
)
@click.option("--format", "form", type=click.Choice(["text", *FORMATS]), default="text", show_default=True)
def explain(policy: str, model: str | None, steps: int, form: str) -> None:
    """Explain POLICY: a path, a bundled name, a notation such as F8B0_W8R0.12, or `-` for standard input.

    Prints what it does in words, the steps, the share of the blocks that runs, and the state diagram (Mermaid). Without
    --model, on a model with one stack of 28 blocks.
    """
    try:
        shape = _shape(model) if model else GENERIC
        loaded = _policy(policy)
        plan = compile_policy(loaded, shape, steps)
    except UnsupportedModel as error:
        raise click.UsageError(str(error)) from error
    except CachedslError as error:
        raise stop(error) from error
    if form != "text":
        click.echo(FORMATS[form](plan), nl=False)
        return
    if loaded.description:
        click.echo(f"{loaded.description}\n")
    click.echo(plan.explain())
    click.echo(plan.to_text())
    click.echo(plan.to_mermaid(), nl=False)


def _policy(name: str) -> Policy:
    """Load a policy; what loading warns of is said in one line."""
    if name == "-":
        return read_policy(standard_input())
    if os.path.exists(name) and not os.path.isfile(name) and not os.path.isdir(name):
        with open(name, "rb") as stream:  # a pipe
            return read_policy(stream, name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loaded = load_policy(name)
    for warning in caught:
        say(f"warning: {warning.message}", err=True)
    return loaded


def _shape(model: str) -> ModelShape:
    if model.endswith((".yaml", ".yml")) or os.path.isfile(model):
        return load_adapter(model).shape()
    return find_adapter(model).shape()

"""`cachedsl explain`: what a policy does, in words, as a step table and as a state diagram."""

from __future__ import annotations

import click

from cachedsl.explain.words import explain as in_words
from cachedsl.loading import load_policy
from cachedsl.lower.compile import compile_policy
from cachedsl.matching.adapter import UnsupportedModel
from cachedsl.matching.reading import find_adapter, load_adapter
from cachedsl.plan.model_shape import ModelShape, StackShape
from cachedsl.text.finding import CachedslError, PolicyError

GENERIC = ModelShape([StackShape("blocks", 28)], "a model with one stack of 28 blocks")


@click.command()
@click.argument("policy")
@click.option(
    "--model",
    metavar="ADAPTER",
    help="A family (flux), a published model (flux.1-dev), a transformer class, or the path of an adapter's YAML.",
)
@click.option(
    "--steps", default=28, show_default=True, type=click.IntRange(1), help="num_inference_steps of the table."
)
@click.option("--format", "form", type=click.Choice(["text", "json", "mermaid"]), default="text", show_default=True)
def explain(policy: str, model: str | None, steps: int, form: str) -> None:
    """Explain POLICY: a path, a bundled name or a notation such as F8B0_W8R0.12.

    Prints what it does in words, the step table and the state diagram (Mermaid). Without --model, on a model with one
    stack of 28 blocks.
    """
    try:
        shape = _shape(model) if model else GENERIC
        loaded = load_policy(policy)
        plan = compile_policy(loaded, shape, steps)
    except PolicyError as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from error
    except UnsupportedModel as error:
        raise click.UsageError(str(error)) from error
    except CachedslError as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from error
    if form == "json":
        click.echo(plan.to_json(), nl=False)
        return
    if form == "mermaid":
        click.echo(plan.to_mermaid(), nl=False)
        return
    if loaded.description:
        click.echo(f"{loaded.description}\n")
    click.echo(in_words(plan))
    click.echo(plan.to_text())
    click.echo(plan.to_mermaid(), nl=False)


def _shape(model: str) -> ModelShape:
    return (load_adapter(model) if model.endswith((".yaml", ".yml")) else find_adapter(model)).shape()

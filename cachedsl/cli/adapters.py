"""`cachedsl adapters`: which models there are, and what is inferred of one that nobody has described."""

from __future__ import annotations

from typing import Any

import click

from cachedsl.cli.importing import call_named
from cachedsl.cli.tables import print_table, table_of
from cachedsl.diagnostics import CachedslError
from cachedsl.registry import Supported, supported_matrix, supported_pipelines

_HEAD = ("family", "transformer", "block lists", "pattern", "CFG", "diffusers")


@click.group()
def adapters() -> None:
    """Which models are supported, and how their blocks are called."""


@adapters.command("list")
@click.option("--markdown", is_flag=True, help="As the page docs/adapters.md.")
def list_(markdown: bool) -> None:
    """List every transformer class that an adapter knows."""
    rows = supported_matrix()
    if markdown:
        click.echo(_page(rows), nl=False)
        return
    table = table_of(*_HEAD)
    for row in rows:
        table.add_row(*_cells(row, "\n"))
    print_table(table)


@adapters.command()
@click.argument("target", metavar="MODULE:CLASS")
@click.option(
    "--inputs",
    metavar="MODULE:FUNCTION",
    help="Returns the keyword arguments of a forward; by default the model's own `example_inputs()` or `dummy_inputs`.",
)
@click.option("--family", help="What the adapter calls the family; by default the class's name.")
def probe(target: str, inputs: str | None, family: str | None) -> None:
    """Infer an adapter from one call of a model, check it by running, and print it as YAML, ready to commit.

    MODULE:CLASS is a class that is made without arguments, or a function that returns a model.
    """
    model = _made(target, "MODULE:CLASS")
    try:
        from cachedsl.runtime.learn import learn

        learnt = learn(model, (), _inputs(model, inputs))
        text = learnt.adapter(family).to_yaml()
    except CachedslError as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from error
    click.echo("".join(f"# {line}\n" for line in learnt.report().splitlines()) + text, nl=False)


def _inputs(model: Any, named: str | None) -> dict[str, Any]:
    if named is not None:
        return dict(_made(named, "--inputs"))
    own = getattr(model, "example_inputs", None) or getattr(model, "dummy_inputs", None)
    if own is None:
        raise click.UsageError(
            f"{type(model).__name__} has no `example_inputs()`; give --inputs MODULE:FUNCTION, which returns the "
            "keyword arguments of a forward"
        )
    return dict(own() if callable(own) else own)


def _made(path: str, hint: str) -> Any:
    """Import what MODULE:NAME names and call it."""
    try:
        return call_named(path)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise click.BadParameter(
            f"{path!r} cannot be imported and called without arguments: {error}", param_hint=hint
        ) from error


def _cells(row: Supported, between: str) -> tuple[str, ...]:
    paths, patterns = (between.join(parts) for parts in zip(*row.stacks, strict=True))
    return row.family, row.transformer, paths, patterns, row.cfg, row.verified


def _page(rows: tuple[Supported, ...]) -> str:
    lines = [
        "# Supported models\n",
        f"`cachedsl adapters list --markdown` writes this page. {len(rows)} transformer classes, "
        f"{len(supported_pipelines())} pipelines. *CFG*: whether guidance goes through the transformer in one call "
        "(`fused`) or in one call for each branch (`separate`); calls are counted as they are. The tests run each "
        "class on the diffusers version in the last column.\n",
        f"| {' | '.join(_HEAD)} | pipelines |",
        "|" + "---|" * (len(_HEAD) + 1),
    ]
    for row in rows:
        lines.append(f"| {' | '.join(_cells(row, '<br>'))} | {', '.join(row.pipelines)} |")
    return "\n".join(lines) + "\n"

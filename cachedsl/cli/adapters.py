"""`cachedsl adapters`: which models there are."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

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
    table = Table(*_HEAD)
    for row in rows:
        table.add_row(*_cells(row, "\n"))
    Console().print(table)


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

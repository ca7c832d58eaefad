"""`cachedsl demo`: the bundled pipeline, uncached and under policies."""

from __future__ import annotations

import math
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cachedsl.cli import completing
from cachedsl.extras import need_or_exit
from cachedsl.loading import load_policy
from cachedsl.text.finding import CachedslError

if TYPE_CHECKING:
    from cachedsl.language.policy import Policy
    from cachedsl.measure.compare import Row

DEFAULT_POLICIES = (
    "f8b8",
    "f8b0",
    "f1b0",
    "f8b8-taylor",
    "f4b0-mc3",
    "static-every-4",
    "taylorseer",
    "dbprune",
    "repay-slow",
    "repay-medium",
    "repay-fast",
)


@click.command()
@click.option(
    "--policy",
    "names",
    multiple=True,
    metavar="POLICY",
    shell_complete=completing.policy,
    help="A path, a bundled name, or compact notation such as F8B0_W8R0.12; may be repeated.",
)
@click.option(
    "--steps", default=50, show_default=True, type=click.IntRange(1), help="The number of steps (num_inference_steps)."
)
@click.option("--samples", default=50, show_default=True, type=click.IntRange(1), help="How many digits to draw.")
@click.option("--seed", default=0, show_default=True, help="The seed of the starting noise.")
@click.option(
    "--output",
    default=Path("demo-output/digits.png"),
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the picture of all digits, one row for each policy.",
)
def demo(names: tuple[str, ...], steps: int, samples: int, seed: int, output: Path) -> None:
    """Draw digits with and without policies, and compare speed and images.

    The model is the bundled DiTPipeline. The table shows the share of blocks that ran, the speed-up in this process,
    how close the images are to the uncached ones (PSNR), and how many of them a classifier reads as asked.
    """
    need_or_exit("torch", "diffusers", "skimage", "sklearn", "PIL", to="run the demo", extra="demo")
    try:
        policies = [load_policy(name) for name in names or DEFAULT_POLICIES]
        rows = _run(policies, [i % 10 for i in range(samples)], steps, seed)
    except CachedslError as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from error
    console = Console(markup=False)
    console.print(comparison_table(rows, steps, samples))
    for row in rows:
        for warning in row.warnings:
            console.print(f"{row.name}: {warning}", highlight=False)
    from cachedsl.report.grid import save_grid

    save_grid(rows, output)
    console.print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, "
        f"torch {version('torch')}, diffusers {version('diffusers')}",
        highlight=False,
    )
    console.print(f"pictures: {output}", highlight=False)


def _run(policies: list[Policy], labels: list[int], steps: int, seed: int) -> list[Row]:
    import torch

    from cachedsl.measure.compare import compare
    from cachedsl.measure.digits import load_digits_pipeline

    torch.set_num_threads(1)  # the model is tiny: more threads spend their time on waiting for each other
    columns = (TextColumn("{task.description:16}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    pipe = load_digits_pipeline()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("loading", total=steps)
        return compare(
            pipe,
            policies,
            labels,
            steps=steps,
            seed=seed,
            on_start=lambda name: progress.reset(task, description=name, total=steps),
            on_step=lambda: progress.advance(task),
        )


def comparison_table(rows: list[Row], steps: int, samples: int) -> Table:
    """Return the demo's table: a row for each policy, `equal` where no image differs from the uncached one."""
    table = Table(title=f"DiTPipeline on digits, {steps} steps, {samples} samples", title_justify="left")
    table.add_column("policy")
    for name in ("blocks computed", "time ratio", "PSNR to uncached", "accuracy"):
        table.add_column(name, justify="right")
    for row in rows:
        quality = "-" if row.name == "uncached" else "equal" if math.isinf(row.psnr) else f"{row.psnr:.1f} dB"
        speed, share = f"{row.time_ratio:.2f}x", f"{row.computed_fraction:.1%}"
        table.add_row(row.name, share, speed, quality, f"{row.accuracy:.0%}")
    return table

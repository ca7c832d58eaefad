"""`cachedsl calibrate`: measure on a pipeline what a policy needs to know of it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from cachedsl.cli.importing import call_named
from cachedsl.diagnostics import CachedslError
from cachedsl.source import read


@click.group()
def calibrate() -> None:
    """Measure on a pipeline what a policy needs to know of it."""


@calibrate.command()
@click.argument("policy", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--pipeline",
    default="cachedsl.bench.digits:calibration",
    show_default=True,
    metavar="MODULE:FUNCTION",
    help="Returns a pipeline and the keyword arguments of its call; the default is the bundled pipeline.",
)
@click.option("--steps", default=50, show_default=True, type=click.IntRange(2), help="num_inference_steps.")
@click.option("--runs", default=1, show_default=True, type=click.IntRange(1), help="How many seeds to average over.")
@click.option("--seed", default=0, show_default=True, help="Of the first run.")
def magnitude(policy: Path, pipeline: str, steps: int, runs: int, seed: int) -> None:
    """Measure the magnitude ratios (MagCache) that POLICY goes by, and write them next to it.

    The file is the one that the policy names as `reuse.signal.ratios`, else `<policy>.ratios.yaml`.
    """
    import torch

    from cachedsl.calibrate.magnitude import calibrate_magnitude

    named = _named(policy)
    target = policy.parent / (named or f"{policy.stem}.ratios.yaml")
    try:
        pipe, arguments = _load(pipeline)
        seeds = range(seed, seed + runs)
        calls = [partial(_call, pipe, arguments, steps, torch.Generator().manual_seed(s)) for s in seeds]
        calibrate_magnitude(pipe, calls).write(target)
    except CachedslError as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from error
    click.echo(f"{target}: ratios of {steps} steps, {runs} run{'s' * (runs > 1)}")
    if named is None:
        click.echo(f"set reuse.signal: {{tap: magnitude, ratios: {target.name}}} in {policy}")


def _call(pipe: Any, arguments: dict[str, Any], steps: int, generator: Any) -> None:
    pipe(**arguments, num_inference_steps=steps, generator=generator)


def _named(policy: Path) -> str | None:
    """Return the file of ratios that the policy names; it need not be there yet."""
    root = read(policy, str(policy)).root
    node = root
    for key in ("reuse", "signal", "ratios"):
        node = node.mapping.get(key) if node is not None else None
    return node.value if node is not None and isinstance(node.value, str) else None


def _load(pipeline: str) -> tuple[Any, dict[str, Any]]:
    try:
        pipe, arguments = call_named(pipeline)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise click.BadParameter(
            f"{pipeline!r} is no MODULE:FUNCTION that returns a pipeline and its call's keyword arguments: {error}",
            param_hint="--pipeline",
        ) from error
    return pipe, dict(arguments)

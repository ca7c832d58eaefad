"""`cachedsl init`: a commented policy to begin with."""

from __future__ import annotations

import json
import os

import click

from cachedsl.cli import options
from cachedsl.cli.output import stop, write_out
from cachedsl.matching.errors import UnsupportedModel
from cachedsl.matching.reading import shape_called
from cachedsl.plan.model_shape import ModelShape
from cachedsl.text.finding import CachedslError
from cachedsl.text.scalars import printable

SCHEMA = "https://cachedsl.dev/schemas/policy.schema.json"
FRONT, WARMUP, FEW_STEPS = 8, 8, 8
"""Of DBCache's default; a run of fewer than `FEW_STEPS` steps has no room for a predictor's history."""
REFINER = 0.1
"""A list with a smaller share of the model's blocks may run in full."""


def fitting_front(shape: ModelShape) -> int:
    """Return how many front blocks leave three quarters of every list that matters, at least 1 and at most 8."""
    total = sum(stack.blocks for stack in shape.stacks)
    front = min(stack.blocks // 4 for stack in shape.stacks if stack.blocks >= REFINER * total)
    if sum(stack.long_skips for stack in shape.stacks) > 1:
        front = 1  # skips from list to list: what a front block reads must have been computed
    return max(1, min(FRONT, front))


def starting_policy(shape: ModelShape, steps: int) -> str:
    """Return the YAML of a policy for a model and at least 2 steps, with a comment on every key."""
    label = printable(shape.label)
    lists = "\n".join(f"#   {printable(stack.qualified)}: {stack.blocks} blocks" for stack in shape.stacks)
    front, few = fitting_front(shape), steps < FEW_STEPS
    warmup = 1 if few else min(WARMUP, steps // 4)
    description = json.dumps(f"A start for {label} at {steps} steps.", ensure_ascii=False)
    parts = [
        f"# yaml-language-server: $schema={SCHEMA}\n# Block lists of {label}:\n{lists}\n",
        f"version: 1\ndescription: {description}\n",
        f"# Of the blocks of each list, the first {front} always run.\ncompute: F{front}B0\n",
        f"# The first steps run in full: {warmup} of {steps}.\nwarmup: {warmup}\n",
        "# A later step is reused while the front blocks' output moved by less than 8 %.\n"
        "# A higher threshold is faster and less exact; try several, and compare the images.\n"
        "reuse:\n  threshold: 0.08\n",
    ]
    if not few:
        parts[-1] += "  # After this many reused steps in a row, one is computed.\n  max_continuous: 3\n"
        parts.append("# What is skipped is extrapolated from the last two computed steps.\npredict: taylor\n")
    return "\n".join(parts)


@click.command()
@options.model
@options.steps(28, least=2)
@options.output
@click.option("--force", is_flag=True, help="Overwrite FILE if it exists.")
def init(model: str | None, steps: int, output: str | None, force: bool) -> None:
    """Write a commented policy to begin with.

    Without --model, it is for a model with one block list of 28 blocks.
    """
    if output not in (None, "-") and os.path.lexists(str(output)) and not force:
        raise click.UsageError(f"{printable(str(output))} exists and was left as it is; --force writes over it")
    try:
        shape = shape_called(model) if model else options.GENERIC
    except UnsupportedModel as error:
        raise click.UsageError(str(error)) from error
    except CachedslError as error:
        raise stop(error) from error
    write_out(starting_policy(shape, steps), output)

"""Options that mean the same in several commands, and the model that is meant where none is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from cachedsl.cli import completing
from cachedsl.plan.model_shape import ModelShape, StackShape

Command = TypeVar("Command", bound=Callable[..., Any])

GENERIC = ModelShape([StackShape("blocks", 28)], "a model with one stack of 28 blocks")
MAX_STEPS = 10_000


def model(command: Command) -> Command:
    """Add `--model`: one model."""
    return click.option(
        "--model",
        metavar="ADAPTER",
        shell_complete=completing.model,
        help="A family (flux), a published model (flux.1-dev), a transformer class, or the path of an adapter's YAML.",
    )(command)


def steps(default: int | None = None, least: int = 1) -> Callable[[Command], Command]:
    """Add `--steps`: the step count of one run, at least `least`; None where it is not given and has no default."""
    shown: dict[str, Any] = {} if default is None else {"default": default, "show_default": True}
    return click.option(
        "--steps",
        type=click.IntRange(least, MAX_STEPS),
        help="The number of steps (num_inference_steps).",
        **shown,
    )


def output(command: Command) -> Command:
    """Add `--output`: a file for the result, as `cachedsl.cli.output.write_out` takes it."""
    return click.option(
        "--output",
        "-o",
        metavar="FILE",
        shell_complete=completing.any_file,
        help="Write FILE instead of standard output. It is written whole or not at all.",
    )(command)

"""`cachedsl calibrate`: measure on a pipeline what a policy needs to know of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from cachedsl.cli import options
from cachedsl.cli.importing import call_named, told
from cachedsl.cli.output import say
from cachedsl.extras import need_or_exit
from cachedsl.rules.shape.beside import beside, tree_root
from cachedsl.rules.shape.ratios import RULE
from cachedsl.text.document import Node, printable, read_document
from cachedsl.text.finding import CachedslError, PolicyError, Span
from cachedsl.text.paths import reason


@click.group()
def calibrate() -> None:
    """Measure on a pipeline what a policy needs to know about it."""


@calibrate.command()
@click.argument("policy", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--pipeline",
    default="cachedsl.measure.digits:calibration",
    show_default=True,
    metavar="MODULE:FUNCTION",
    help="A function that returns a pipeline and the arguments of its call. The default is the bundled pipeline.",
)
@options.steps(50, least=2)
@click.option("--runs", default=1, show_default=True, type=click.IntRange(1), help="How many seeds to average over.")
@click.option("--seed", default=0, show_default=True, help="The seed of the first run.")
def magnitude(policy: Path, pipeline: str, steps: int, runs: int, seed: int) -> None:
    """Measure the magnitude ratios (MagCache) for POLICY, and write them to a file beside it.

    The file is the one that the policy names as `reuse.signal.ratios`, otherwise `<policy>.ratios.yaml`. It is
    overwritten. It must be in the policy's own tree, in a folder that exists.
    """
    need_or_exit("torch", "diffusers", to="calibrate on a pipeline", extra="diffusers")
    import torch

    from cachedsl.measure.magnitude import calibrate_magnitude

    try:
        named = _named(policy)
        target = _target(policy, named)
        pipe, arguments = _load(pipeline)
        seeds = range(seed, seed + runs)
        calls = [partial(_call, pipe, arguments, steps, torch.Generator().manual_seed(s)) for s in seeds]
        calibrate_magnitude(pipe, calls).write(target)
    except CachedslError as error:
        for line in str(error).splitlines():
            say(line, err=True)
        raise SystemExit(1) from error
    click.echo(f"{target}: ratios of {steps} steps, {runs} run{'s' * (runs > 1)}")
    if named is None:
        click.echo(f"set reuse.signal: {{tap: magnitude, ratios: {target.name}}} in {policy}")


def _call(pipe: Any, arguments: dict[str, Any], steps: int, generator: Any) -> None:
    try:
        pipe(**arguments, num_inference_steps=steps, generator=generator)
    except CachedslError:
        raise
    except Exception as error:
        given = ", ".join((*arguments, "num_inference_steps", "generator"))
        raise PipelineFailed(f"the pipeline raised {told(error)}; it was called with {given}") from error


class PipelineFailed(CachedslError):
    """The user's pipeline cannot be called as it was said."""


def _named(policy: Path) -> Node | None:
    """Return where the policy names a file of ratios; the file need not be there yet.

    Raises:
        PolicyError: the file cannot be read as YAML.
    """
    document = read_document(policy, str(policy))
    if document.root is None or document.broken:
        raise PolicyError(document.findings)
    node: Node | None = document.root
    for key in ("reuse", "signal", "ratios"):
        node = node.mapping.get(key) if node is not None else None
    return node if node is not None and isinstance(node.value, str) else None


def _target(policy: Path, named: Node | None) -> Path:
    """Return the file to write, where the policy will look for it.

    Raises:
        PolicyError: it cannot be written, or would not be read from there; better said before the run than after it.
    """
    home = policy.resolve() if policy.is_symlink() else policy
    name = f"{home.stem}.ratios.yaml" if named is None else str(named.value)
    target = home.parent / name
    wrong = _in_the_way(name, target, policy.resolve())
    if wrong is not None:
        span = Span(str(policy)) if named is None else named.span
        message = f"reuse.signal.ratios: `{printable(name)}` cannot be written: {wrong}"
        raise PolicyError([RULE.finding(message, span, "name a file beside the policy, such as `r.yaml`")])
    return target


def _in_the_way(name: str, target: Path, policy: Path) -> str | None:
    """Return why ratios must not or cannot be written to `target`, None where they can."""
    found = beside(name, policy)
    if found == "outside":
        return f"it leaves the policy's own tree; expected a path inside `{tree_root(policy)}`"
    if found == policy:
        return "it is the policy itself; expected a file of its own"
    try:
        target.resolve()
        if target.is_dir():
            return "it is a folder; expected a file"
        if not target.parent.is_dir():
            return f"there is no folder `{printable(str(target.parent))}`; expected one that exists"
        if not os.access(target if target.exists() else target.parent, os.W_OK):
            return "permission denied; expected a file that may be written"
    except (OSError, RuntimeError, ValueError) as error:  # too long a name, a link to itself, a NUL
        return f"{reason(error)}; expected the path of a file"
    return None


def _load(pipeline: str) -> tuple[Any, dict[str, Any]]:
    try:
        made = call_named(pipeline)
        if not (isinstance(made, tuple) and len(made) == 2 and isinstance(made[1], Mapping)):
            kind = f"a {type(made).__name__}"
            if isinstance(made, tuple):
                kind = f"a tuple of {', '.join(type(one).__name__ for one in made) or 'nothing'}"
            raise ValueError(f"it returned {kind}, not such a pair; as in `return pipe, {{'prompt': 'a cat'}}`")
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise click.BadParameter(
            f"{pipeline!r} is no MODULE:FUNCTION that returns a pipeline and its call's keyword arguments: {error}",
            param_hint="--pipeline",
        ) from error
    return made[0], {str(key): value for key, value in made[1].items()}

"""`cachedsl adapters`: which models there are, and what is inferred of one that nobody has described."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import click

from cachedsl.cli.importing import CannotCall, call_named, told
from cachedsl.cli.output import write_out
from cachedsl.cli.tables import print_table, table_of
from cachedsl.extras import need_or_exit
from cachedsl.matching.supported import Supported, supported_matrix, supported_pipelines
from cachedsl.text.finding import CachedslError

_HEAD = ("family", "transformer", "block lists", "pattern", "CFG", "diffusers")


@click.group()
def adapters() -> None:
    """List the supported models, or learn a new one."""


@adapters.command("list")
@click.option("--markdown", is_flag=True, help="Print the page docs/adapters.md.")
def list_(markdown: bool) -> None:
    """List every transformer class that an adapter knows."""
    rows = supported_matrix()
    if markdown:
        write_out(_page(rows))
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
    help="A function that returns keyword arguments for `forward`. The default is the model's own "
    "`example_inputs()` or `dummy_inputs`.",
)
@click.option("--family", help="The family's name in the adapter. The default is the class name.")
def probe(target: str, inputs: str | None, family: str | None) -> None:
    """Learn an adapter from one call of a model, and print it as YAML to commit.

    The adapter is checked by running the model. MODULE:CLASS is a class that takes no arguments, or a function that
    returns a model.
    """
    need_or_exit("torch", "diffusers", to="probe a model", extra="diffusers")
    model = _model(target)
    given, inputs_of = _inputs(model, inputs)
    _check_fit(model, given, inputs_of)
    try:
        from cachedsl.runtime.learn import learn

        learnt = learn(model, (), given)
        text = learnt.adapter(family).to_yaml()
    except CachedslError as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from error
    except Exception as error:
        raise click.UsageError(
            f"{type(model).__name__} cannot be called with what {inputs_of} gives: {told(error)}; it was called with "
            f"{_named(given)}, expected are the keyword arguments of one forward that works"
        ) from error
    click.echo("".join(f"# {line}\n" for line in learnt.report().splitlines()) + text, nl=False)


def _model(target: str) -> Any:
    from torch import nn

    model = _made(target, "MODULE:CLASS")
    if not isinstance(model, nn.Module):
        raise click.BadParameter(
            f"{target!r} gives a {type(model).__name__}, expected a torch.nn.Module; name its class, or a function "
            "without arguments that returns it (of a pipeline, its transformer)",
            param_hint="MODULE:CLASS",
        )
    return model


def _inputs(model: Any, named: str | None) -> tuple[dict[str, Any], str]:
    """Return the keyword arguments of a forward, and what gave them."""
    if named is not None:
        return _keywords(_made(named, "--inputs"), f"--inputs {named}"), f"--inputs {named}"
    cls = type(model).__name__
    nothing = []
    for name in ("example_inputs", "dummy_inputs"):
        try:
            own = getattr(model, name)
            place = f"{cls}.{name}{'()' if callable(own) else ''}"
            value = own() if callable(own) else own
        except Exception as error:
            if isinstance(error, AttributeError) and not hasattr(type(model), name) and name not in vars(model):
                continue
            raise click.UsageError(
                f"{cls}.{name} raised {told(error)}; mend it, or give --inputs MODULE:FUNCTION, which returns the "
                "keyword arguments of a forward"
            ) from error
        if value is not None:
            return _keywords(value, place), place
        nothing.append(f"its {place.partition('.')[2]} is None")
    raise click.UsageError(
        f"{cls} has no `example_inputs()`{''.join(f' ({n})' for n in nothing)}; give --inputs MODULE:FUNCTION, which "
        "returns the keyword arguments of a forward"
    )


def _keywords(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        is_mapping = isinstance(value, Mapping)
        what = f"a {type(value).__name__}{' whose keys are not all strings' if is_mapping else ''}"
        raise click.UsageError(
            f"{place} gives {'None' if value is None else what}, expected a mapping: the keyword arguments of a "
            "forward by their names, as in {'sample': ..., 't': ...}"
        )
    return dict(value)


def _check_fit(model: Any, given: dict[str, Any], inputs_of: str) -> None:
    """Refuse arguments that are not those of the forward, before the model is called."""
    try:
        signature = inspect.signature(model.forward)
    except (TypeError, ValueError):
        return  # its call will tell
    try:
        signature.bind(**given)
    except TypeError as error:
        raise click.UsageError(
            f"what {inputs_of} gives ({_named(given)}) does not fit {type(model).__name__}.forward: {told(error)}; "
            f"expected are the keyword arguments of forward{signature}"
        ) from error


def _named(given: dict[str, Any]) -> str:
    """Return the arguments as names, with the shapes of tensors."""
    kinds = {name: getattr(value, "shape", None) for name, value in given.items()}
    return (
        ", ".join(
            f"{name} {type(given[name]).__name__}" + (f" {tuple(shape)}" if isinstance(shape, tuple) else "")
            for name, shape in kinds.items()
        )
        or "no arguments"
    )


def _made(path: str, hint: str) -> Any:
    """Import what MODULE:NAME names and call it."""
    try:
        return call_named(path)
    except (CannotCall, CachedslError) as error:
        what = str(error) if isinstance(error, CannotCall) else f"calling it raised {told(error)}"
        raise click.BadParameter(
            f"{path!r} cannot be imported and called without arguments: {what}", param_hint=hint
        ) from error


def _cells(row: Supported, between: str) -> tuple[str, ...]:
    paths, patterns = (between.join(parts) for parts in zip(*row.stacks, strict=True))
    return row.family, row.transformer, paths, patterns, row.cfg, row.verified


def _page(rows: tuple[Supported, ...]) -> str:
    lines = [
        "# Supported models\n",
        "Models with a bundled adapter, by transformer class. A policy is applied to any pipeline with one of these "
        "classes, and nothing has to be declared. Take the row of FluxTransformer2DModel: it has two block lists, its "
        "blocks return the encoder's stream before the hidden one, and FluxPipeline is one of its pipelines. A class "
        "that is not here is learned at its first call, see [models.md](models.md#a-model-without-an-adapter).\n",
        f"There are {len(rows)} transformer classes and {len(supported_pipelines())} pipelines. The columns:\n",
        "* *block lists* are in order of execution. `stacks` in a policy names them.",
        "* *pattern*: which streams a block takes and returns, see [models.md](models.md#by-hand).",
        "* *CFG*: whether guidance goes through the transformer in one call (`fused`) or in one call for each branch "
        "(`separate`). Calls are counted as they are made, whatever stands here.",
        "* *diffusers* is the version on which the tests run each class, tiny, with random weights.\n",
        "`cachedsl adapters list --markdown` writes this page.\n",
        f"| {' | '.join(_HEAD)} | pipelines |",
        "|" + "---|" * (len(_HEAD) + 1),
    ]
    for row in rows:
        lines.append(f"| {' | '.join(_cells(row, '<br>'))} | {', '.join(row.pipelines)} |")
    return "\n".join(lines) + "\n"

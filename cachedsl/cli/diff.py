"""`cachedsl diff`: what changes from one policy, plan, folder or revision to another, by meaning."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from cachedsl.checking.compare import Held, Target, compare_held, compare_sides, read_side
from cachedsl.checking.plans_table import PlansTable, nearest_table
from cachedsl.checking.revisions import Revision, RevisionError, find_revision, lay_out, why_none
from cachedsl.cli import completing, options
from cachedsl.cli.output import write_out
from cachedsl.explain.diff_report import Compared, to_markdown, to_text, to_tree
from cachedsl.loading import load_policy
from cachedsl.matching.errors import UnsupportedModel
from cachedsl.matching.reading import shape_called
from cachedsl.rules.shape.names import NOT_FOUND
from cachedsl.text.finding import CachedslError, PolicyError
from cachedsl.text.paths import real_path
from cachedsl.text.scalars import printable

Side = Mapping[str, Held]


def _to_json(compared: list[Compared]) -> str:
    return json.dumps(to_tree(compared), indent=2, ensure_ascii=False) + "\n"


FORMATS: dict[str, Callable[[list[Compared]], str]] = {"text": to_text, "json": _to_json, "markdown": to_markdown}


@click.command()
@click.argument("old", shell_complete=completing.policy_or_plan)
@click.argument("new", shell_complete=completing.policy_or_plan)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="ADAPTER",
    shell_complete=completing.model,
    help="Compare on this model; may be repeated.",
)
@click.option(
    "--steps",
    multiple=True,
    type=click.IntRange(1, options.MAX_STEPS),
    help="Compare for this step count; may be repeated.",
)
@click.option("--format", "form", type=click.Choice([*FORMATS]), default="text", show_default=True)
@options.output
@click.option("--exit-code", is_flag=True, help="Exit with 1 if anything differs.")
def diff(
    old: str,
    new: str,
    models: tuple[str, ...],
    steps: tuple[int, ...],
    form: str,
    output: str | None,
    exit_code: bool,
) -> None:
    """Compare OLD with NEW by meaning: what is computed, reused and predicted.

    OLD and NEW are policies, plans, folders of them, bundled names or compact notation, or REVISION:PATH as in git. OLD
    can be a revision alone: `cachedsl diff HEAD~1 policies/`.

    Policies are compared on the models and step counts that the `plans` table of pyproject.toml names for them. Without
    a table, they are compared on a model with one block list of 28 blocks, for 28 steps.

    Exit status: 0 fine; 1 a policy cannot be read or compiled, or, with --exit-code, something differs; 2 wrong use.
    """
    try:
        targets = _targets(models, steps)
        with ExitStack() as stack:
            compared = list(_compare(old, new, targets, stack))
    except (UnsupportedModel, RevisionError) as error:
        raise click.UsageError(str(error)) from error
    write_out(FORMATS[form](compared), output)
    statuses = {one.status for one in compared}
    if "refused" in statuses or (exit_code and statuses - {"same"}):
        raise SystemExit(1)


def _compare(old: str, new: str, targets: Callable[[Held], list[Target]], stack: ExitStack) -> Iterator[Compared]:
    revision = _revision_alone(old)
    before = _side(old, stack) if revision is None else _at(revision, new, stack)
    gone = revision is not None and bool(before) and not os.path.lexists(new)
    after = {} if gone else _side(new, stack)
    if set(before) == set(after) == {""}:
        yield from compare_held(before[""], after[""], targets)
    elif ("" in before and revision is None) or ("" in after and revision is None):
        raise click.UsageError("a file and a folder cannot be compared; name two files or two folders")
    else:
        yield from compare_sides(before, after, targets)


def _revision_alone(name: str) -> Revision | None:
    """Return the revision that a name is, where it is nothing else."""
    if os.path.exists(name) or _loads(name):
        return None
    return find_revision(name, Path.cwd())


def _loads(name: str) -> bool:
    try:
        load_policy(name)
    except CachedslError:
        return False
    return True


def _side(name: str, stack: ExitStack) -> Side:
    if os.path.exists(name):
        root = Path(name)
        return read_side(root, name, lambda inside: root / inside if inside else root)
    revised, colon, path = name.partition(":")
    revision = find_revision(revised, Path.cwd()) if colon else None
    if revision is not None:
        held = _at(revision, path, stack)
        if not held:
            said = f"`{printable(path)}` holds no policy and no plan at {printable(revised)}"
            raise click.UsageError(f"{said}; a path is taken from the folder that you are in")
        return held
    try:
        return {"": Held(name, None, load_policy(name))}
    except PolicyError as error:
        if any(found.code != NOT_FOUND.code for found in error.findings):
            raise click.UsageError(str(error)) from error
        if find_revision(name, Path.cwd()) is not None:
            said = f"`{printable(name)}` is a revision alone, which only OLD can be; to compare two of them,"
            raise click.UsageError(f"{said} write a path at each, such as {printable(name)}:policies") from error
        raise click.UsageError(
            f"`{printable(name)}` is no file, no folder, no policy, and no revision of git, alone or as "
            f"REVISION:PATH; `cachedsl policies` lists the bundled policies; {why_none(Path.cwd())}"
        ) from error


def _at(revision: Revision, path: str, stack: ExitStack) -> Side:
    """Return what a path held at a revision; nothing where it was not there."""
    here = Path(os.path.realpath(path))
    try:
        inside = here.relative_to(Path(os.path.realpath(revision.top)))
    except ValueError:
        raise click.UsageError(f"{path} is not in the repository {revision.top}") from None
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="cachedsl-")))
    lay_out(revision, folder)
    root = folder / inside
    if not os.path.lexists(root):
        return {}
    return read_side(root, path, lambda below: here / below if below else here, f"{revision.name}:")


def _targets(models: tuple[str, ...], steps: tuple[int, ...]) -> Callable[[Held], list[Target]]:
    """Return what policies are compared on: what the options name, else the table, else a model of one stack."""
    named = [shape_called(model) for model in models]
    tables: dict[Path, PlansTable | None] = {}

    def of_table(held: Held) -> list[Target]:
        if held.path is None or (named and steps):
            return []
        folder = real_path(held.path).parent
        if folder not in tables:
            tables[folder] = nearest_table(folder)
        table = tables[folder]
        entries = () if table is None else table.of(held.path)
        return [Target(shape_called(model), count) for one in entries for model in one.models for count in one.steps]

    def targets(held: Held) -> list[Target]:
        known = of_table(held)
        shapes = named or list(dict.fromkeys(one.shape for one in known)) or [options.GENERIC]
        counts: tuple[int | None, ...] = steps or tuple(dict.fromkeys(one.steps for one in known)) or (None,)
        return known if known and not named and not steps else [Target(s, n) for s in shapes for n in counts]

    return targets

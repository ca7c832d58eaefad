"""Compare policies and plans, by meaning: files, folders, and what they were at a revision."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import attrs
from attrs import frozen

from cachedsl.checking.kept_plans import causes
from cachedsl.checking.kinds import classify
from cachedsl.checking.sources import JSON, Source, list_files, source_at
from cachedsl.explain.diff import diff
from cachedsl.explain.diff_report import Compared
from cachedsl.language.masks import BitMask
from cachedsl.language.policy import Policy
from cachedsl.loading import load_document
from cachedsl.lower.compile import compile_policy
from cachedsl.plan.codec import FORMAT as PLAN_FORMAT
from cachedsl.plan.codec import from_json
from cachedsl.plan.ir import Plan
from cachedsl.plan.model_shape import ModelShape, StackShape
from cachedsl.text.finding import CachedslError, PolicyError, Span
from cachedsl.text.paths import real_path

STEPS = 28


@frozen(eq=False)
class Held:
    """A policy or a plan of one side; an error where it cannot be read.

    Attributes:
        name: what readers call it.
        path: where it is, as the working tree has it; None where it is no file.
        content: what it is.
        prefix: what the name begins with, such as `HEAD:`, that is not of the path.
        ours: whether the file shows by itself that it is a policy or a plan.
    """

    name: str
    path: Path | None
    content: Policy | Plan | CachedslError
    prefix: str = ""
    ours: bool = True


@frozen
class Target:
    """A model and a step count that policies are compared on; without a count, that of the policy's mask, else 28."""

    shape: ModelShape
    steps: int | None = None


Targets = Callable[[Held], Sequence[Target]]


def read_side(root: Path, shown: str, path: Callable[[str], Path | None], prefix: str = "") -> dict[str, Held]:
    """Return what files there are at or below `root`, by their paths relative to it; a file alone by no name.

    Args:
        root: a file or a folder.
        shown: what readers call it, after the prefix.
        path: where a file of that relative path is in the working tree.
        prefix: what names begin with, such as `HEAD:`.
    """
    single = not root.is_dir()
    held = {}
    listing = list_files((str(root),))
    for found in listing.findings:
        inside = os.path.relpath(found.span.file, root)
        error = PolicyError([attrs.evolve(found, span=Span(f"{prefix}{_below(shown, inside)}"))])
        held[inside] = Held(f"{prefix}{_below(shown, inside)}", path(inside), error, prefix)
    for file, _ in listing.files:
        inside = "" if single else Path(file).relative_to(root).as_posix()
        name = f"{prefix}{_below(shown, inside)}"
        source = source_at(Path(file), name, single)
        if not single and file.endswith(JSON) and PLAN_FORMAT not in source.text and not source.unreadable:
            continue  # another tool's
        kind = classify(source)
        content = _content(source, kind == "plan", Path(file))
        ours = single or source.unreadable or kind in ("plan", "policy")
        if ours or kind == "stranger":
            held[inside] = Held(name, path(inside), content, prefix, ours)
    return held


def _below(shown: str, inside: str) -> str:
    """Return a file's path as readers have it: below what they named."""
    return shown if not inside else os.path.normpath(f"{shown or '.'}/{inside}")


def _content(source: Source, is_plan: bool, path: Path) -> Policy | Plan | CachedslError:
    try:
        return from_json(source.text) if is_plan else load_document(source.document, real_path(path))
    except CachedslError as error:
        return error


def compare_sides(old: Mapping[str, Held], new: Mapping[str, Held], targets: Targets) -> Iterator[Compared]:
    """Yield what became of every policy and plan of either side, by their names.

    A file that is one at one side is compared whatever it holds at the other: it may have been broken.
    """
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if any(one is not None and one.ours for one in (before, after)):
            yield from compare_held(before, after, targets)


def compare_held(old: Held | None, new: Held | None, targets: Targets) -> Iterator[Compared]:
    """Yield what became of one policy, once for each target, or of one plan."""
    one = new or old
    assert one is not None
    renamed = old is not None and new is not None and _base(old) != _base(new)
    name = f"{old.name} → {new.name}" if renamed and old and new else one.name
    plans = [held.content for held in (old, new) if held is not None and isinstance(held.content, Plan)]
    wanted = [_as_target(plans[0])] if plans else targets(one)
    for target in wanted:
        yield _compared(name, old, new, target)


def _base(held: Held) -> str:
    return os.path.normpath(held.name.removeprefix(held.prefix))


def _as_target(plan: Plan) -> Target:
    """Return the model and the step count of a plan; of a chain, the lists that it is made of."""
    stacks = [
        StackShape(
            name, blocks, stack.transformer, (), stack.shape.modulated, stack.shape.long_skips, stack.shape.keeps
        )
        for stack in plan.stacks
        for name, blocks in stack.shape.members
    ]
    return Target(ModelShape(stacks, plan.model), plan.num_inference_steps)


def _compared(name: str, old: Held | None, new: Held | None, target: Target) -> Compared:
    model = target.shape.label
    made: list[Plan | None] = []
    wrong: list[str] = []
    for held, side in ((old, "before"), (new, "after")):
        try:
            made.append(None if held is None else _plan(held, target))
        except CachedslError as error:
            wrong += [f"{side}: {line}" for line in str(error).splitlines()]
    if wrong:
        return Compared(name, "refused", model, target.steps, why="\n".join(wrong))
    before, after = made
    if before is None or after is None:
        plan = after or before
        status = "added" if before is None else "removed"
        steps = None if plan is None else plan.num_inference_steps
        return Compared(name, status, model, steps, plan=plan)  # type: ignore[arg-type]
    found = diff(before, after)
    if not found:
        return Compared(name, "same", model, after.num_inference_steps, found)
    policy = None if new is None else new.content
    because = causes(policy, found) if isinstance(policy, Policy) else ()
    return Compared(name, "changed", model, after.num_inference_steps, found, because=because)


def _plan(held: Held, target: Target) -> Plan:
    if isinstance(held.content, CachedslError):
        raise held.content
    if isinstance(held.content, Plan):
        return held.content
    steps = target.steps
    if steps is None:
        mask = held.content.steps
        steps = len(mask.bits) if isinstance(mask, BitMask) else STEPS
    return compile_policy(held.content, target.shape, steps)

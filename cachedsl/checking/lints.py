"""Call the lints: what is not wrong in a policy, and still not good."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path

from attrs import evolve, frozen

from cachedsl.language.policy import Policy
from cachedsl.loading import Read
from cachedsl.lower.compile import compile_policy, fit_refusals, outline, refusals, spanned
from cachedsl.plan.model_shape import ModelShape, StackShape
from cachedsl.rules.base import Count, Fit, Folder, Meaning, ModelFacts, PolicyFile
from cachedsl.rules.budget import Budget
from cachedsl.rules.registry import run_lints
from cachedsl.text.finding import Finding, Related
from cachedsl.text.tree import Document

REFERENCE_STEPS = 28
REFERENCE = ModelShape([StackShape("blocks", 60), StackShape("single_blocks", 60)], "a model with two stacks")
"""The model on which two policies are compared where none is named."""


@frozen
class Held:
    """A model and a step count that a policy is held on.

    Attributes:
        shape: the model's block lists; None where only a step count was given.
        model: what else its adapter knows of it.
        steps: the step count, None where rules that need one are left out.
        budget: how much memory features may take there; None where nobody says it.
    """

    shape: ModelShape | None
    model: ModelFacts | None
    steps: int | None
    budget: Budget | None = None


def policy_lints(file: PolicyFile, read: Read, held: Sequence[Held], asked: Collection[str] = ()) -> Iterator[Finding]:
    """Yield what the rules find that look at one file: at its text, at its meaning, and on each model that is held.

    Of rules that are opt-in, only the codes that were `asked` for are looked for. A policy that does not fit a model is
    an error there, and the lints of that model are left out.
    """
    policy, document = file.policy, file.document
    yield from run_lints("file", file, asked)
    if policy is None:
        return
    parent = read.parent()
    counts = tuple(one.steps for one in held if one.steps is not None)
    found = list(run_lints("meaning", Meaning(policy, document=document, parent=parent, counts=counts), asked))
    inherited = set[tuple[str, str]]()
    if parent is not None and any(one.span.file != document.file for one in found):
        inherited = {(one.code, one.message) for one in run_lints("meaning", Meaning(parent, counts=counts))}
    yield from (
        _placed(one, document) for one in found if (one.code, one.message) not in inherited or _is_in(one, document)
    )
    for one in held:
        for lint in _on_a_model(policy, document, one):
            yield lint if lint.severity == "error" else _placed(lint, document)


def _is_in(found: Finding, document: Document) -> bool:
    return found.span.file == document.file


def _placed(found: Finding, document: Document) -> Finding:
    """Return a finding in a parent's file at the `extends` that brings it in: there it can be mended or ignored."""
    extends = document.root.mapping.get("extends") if document.root is not None else None
    if _is_in(found, document) or extends is None:
        return found
    return evolve(found, span=extends.span, related=(*found.related, Related("written here", found.span)), fix=None)


def _on_a_model(policy: Policy, document: Document, held: Held) -> Iterator[Finding]:
    shape = held.shape
    if shape is None:
        # Without a model nothing fits or fails to fit, and no entry of `stacks` has a list that it could mean.
        policy, shape = evolve(policy, stacks=()), REFERENCE
        if fit_refusals(policy, shape):
            return
    refused = fit_refusals(policy, shape) if held.steps is None else refusals(policy, shape, held.steps)
    if refused:
        yield from refused
        return
    joined = spanned(policy, shape)
    if held.shape is not None:
        counts = () if held.steps is None else (held.steps,)
        yield from run_lints("fit", Fit(policy, joined, model=held.model, document=document, counts=counts))
    if held.steps is not None:
        plan = compile_policy(policy, shape, held.steps)
        count = Count(policy, joined, held.steps, model=held.model, document=document, plan=plan, budget=held.budget)
        yield from run_lints("count", count)


def folder_lints(files: Iterable[PolicyFile], held: Callable[[Path], Sequence[Held]]) -> Iterator[Finding]:
    """Yield what the rules find that look at all policies of a folder."""
    folders: dict[Path, list[PolicyFile]] = {}
    for file in files:
        if file.policy is not None and file.path is not None:
            folders.setdefault(file.path.parent, []).append(file)
    for path, inside in folders.items():
        models = {file.policy: held(file.path) for file in inside if file.policy and file.path}

        def meaning_of(policy: Policy, models: dict[Policy, Sequence[Held]] = models) -> object | None:
            return _plans(policy, models.get(policy, ()))

        yield from run_lints("folder", Folder(path, tuple(inside), meaning_of))


def _plans(policy: Policy, held: Sequence[Held]) -> object | None:
    """Return what two policies share that have the same plans; on the reference model where no other is held."""
    shapes = [(one.shape or REFERENCE, one.steps or REFERENCE_STEPS) for one in held]
    found = [outline(policy, *one) for one in shapes or [(REFERENCE, REFERENCE_STEPS)]]
    return None if None in found else tuple(found)

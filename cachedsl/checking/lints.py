"""Call the lints: what is not wrong in a policy, and still not good."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from attrs import evolve, frozen

from cachedsl.language.policy import Policy
from cachedsl.loading import Read
from cachedsl.lower.compile import compile_policy, fit_refusals, outline, refusals, spanned
from cachedsl.plan.model_shape import ModelShape, StackShape
from cachedsl.rules.base import Count, Fit, Folder, Meaning, ModelFacts, PolicyFile
from cachedsl.rules.registry import run_lints
from cachedsl.text.finding import Finding
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
    """

    shape: ModelShape | None
    model: ModelFacts | None
    steps: int | None


def policy_lints(file: PolicyFile, read: Read, held: Sequence[Held]) -> Iterator[Finding]:
    """Yield what the rules find that look at one file: at its text, at its meaning, and on each model that is held.

    A policy that does not fit a model is an error there, and the lints of that model are left out.
    """
    policy, document = file.policy, file.document
    yield from run_lints("file", file)
    if policy is None:
        return
    yield from run_lints("meaning", Meaning(policy, document=document, parent=read.parent()))
    for one in held:
        yield from _on_a_model(policy, document, one)


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
        yield from run_lints("fit", Fit(policy, joined, model=held.model, document=document))
    if held.steps is not None:
        plan = compile_policy(policy, shape, held.steps)
        count = Count(policy, joined, held.steps, model=held.model, document=document, plan=plan)
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

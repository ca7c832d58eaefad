"""What lints ask a policy again and again: what was written, by whom, and the fix that takes it out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cachedsl.language.policy import StackPolicy
from cachedsl.rules.base import Fit, Meaning, Tree, node_at, offer
from cachedsl.text.entries import remove_entry
from cachedsl.text.finding import Fix
from cachedsl.text.tree import Document


def said(tree: Tree, *path: str) -> Any:
    """Return what a tree in long form says at `path`, None where it says nothing."""
    value: Any = tree
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def without(document: Document | None, path: tuple[str, ...], *, safe: bool, title: str = "") -> Fix | None:
    """Return the fix that takes the entry at `path` out of its file; None where it is not there to be taken out."""
    mapping = None if document is None else node_at(document.root, *path[:-1])
    if document is None or mapping is None or path[-1] not in mapping.mapping:
        return None
    title = title or f"Take `{'.'.join(path)}` out"
    return offer(document, title, lambda: remove_entry(document, mapping, path[-1]), safe=safe)


def is_own(context: Meaning, *path: str) -> bool:
    """Tell whether the policy's own file writes `path`, and no parent of it."""
    return context.own(*path) is not None


def threshold_of(meant: StackPolicy) -> float | None:
    """Return the threshold that values are compared with, None where nothing is measured."""
    threshold = meant.reuse.threshold
    return threshold if meant.measures and threshold != "always" else None


CALLS = {"fused": ("once for all", "branches"), "separate": ("once for each", "branch")}
"""How pipelines call the transformer with guidance on, by the `cfg` that is for it."""


def other_calls(context: Fit, mode: str) -> str | None:
    """Say how pipelines of the model call it, where the policy says `mode` and they call otherwise; else None."""
    model = context.model
    if model is None or context.policy.cfg.mode != mode or model.cfg not in CALLS or model.cfg == mode:
        return None
    calls = " ".join(CALLS[model.cfg])
    return f"cfg: with guidance on, pipelines of {model.name} call {calls}, and not {CALLS[mode][0]}"


def is_unbounded(meant: StackPolicy) -> bool:
    """Tell whether neither a limit, nor a mask, nor a refresh ends a run of reused steps."""
    reuse = meant.reuse
    limits = (reuse.max_total, reuse.max_continuous, reuse.max_accumulated, meant.steps, meant.refresh)
    return all(limit is None for limit in limits)

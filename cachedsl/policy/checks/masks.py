"""A mask has one form, and its runs take turns."""

from __future__ import annotations

from collections.abc import Iterator

from cachedsl.diagnostics import Diagnostic, Span
from cachedsl.policy.merge import Tree


def mask_findings(tree: Tree, span: Span) -> Iterator[Diagnostic]:
    """Yield what is wrong with a long-form `steps` mapping; it must hold before the mask can be built."""
    forms = (
        {"bits"},
        {"compute", "cache"},
        {"at"},
        {"preset"},
        {"every"},
        {"every", "from"},
        {"budget"},
        {"budget", "power"},
    )
    present = {key for key, value in tree.items() if key != "otherwise" and value is not None}
    if present not in forms:
        said = ", ".join(f"`{key}`" for key in sorted(present)) or "none of them"
        hint = "write one of: bits; compute and cache; at; preset; every (and from); budget (and power)"
        yield Diagnostic("mask-form", f"steps: expected one form of mask, got {said}", span, hint)
    elif "compute" in present and len(tree["compute"]) - len(tree["cache"]) not in (0, 1):
        yield Diagnostic(
            "mask-runs",
            f"steps: {len(tree['compute'])} computed and {len(tree['cache'])} reused runs cannot take turns",
            span,
            "runs begin with a computed one, so `cache` has as many entries as `compute`, or one less",
        )

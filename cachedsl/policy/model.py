"""The typed policy: what a YAML policy means, with every default in place.

Everything here is frozen, hashable and comparable. Nothing here reads text; `load.py` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal

import attrs
from attrs import field, frozen

from cachedsl.diagnostics import Span
from cachedsl.policy.overrides import StackOverride, overlay
from cachedsl.policy.parts import Cfg, Compute, Mask, Predict, Prune, Refresh, Reuse, StackPolicy, Warmup

if TYPE_CHECKING:
    from cachedsl.adapter_model import Adapter
    from cachedsl.runtime.session import Cached


@frozen(eq=False)
class Origin:
    """Where a policy's keys were written; findings that come after loading point there.

    `spans` maps key paths such as `("reuse", "threshold")` to the place of their value.
    """

    file: str
    spans: Mapping[tuple[str, ...], Span]

    def span(self, *path: str) -> Span:
        """Return the place of `path`, else of the nearest enclosing key, else the head of the file."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.spans:
                return self.spans[path[:length]]
        return Span(self.file)


@frozen
class Policy:
    """A whole policy. Load one with `cachedsl.load_policy`; `apply` it to a pipeline or a transformer."""

    name: str = "policy"
    description: str = ""
    compute: Compute = Compute()
    warmup: Warmup = Warmup()
    tail: int = 0
    reuse: Reuse = Reuse()
    predict: Predict = Predict()
    cfg: Cfg = Cfg()
    steps: Mask | None = None
    refresh: Refresh | None = None
    prune: Prune | None = None
    span: Literal["stack", "joined"] = "stack"
    stacks: tuple[tuple[str, StackOverride], ...] = field(default=(), converter=tuple[tuple[str, StackOverride], ...])
    version: Literal[1] = 1
    origin: Origin | None = field(default=None, eq=False, repr=False)

    def place(self, *path: str) -> Span:
        """Return where the value at `path` was written, for findings that come after loading."""
        return self.origin.span(*path) if self.origin else Span(self.name)

    def for_stack(self, transformer: str, stack: str) -> StackPolicy:
        """Return what governs block list `stack` of pipeline component `transformer`.

        A key of `stacks` matches the list's own name or `transformer.stack`. Matching entries are laid over the
        policy in order of specificity: short globs first, exact names last (LANGUAGE: an exact name beats a glob,
        a longer glob a shorter one).
        """
        names = [a.name for a in attrs.fields(StackPolicy)]
        resolved = StackPolicy(**{name: getattr(self, name) for name in names})
        for _, override in sorted(self._matches(transformer, stack), key=lambda match: specificity(match[0])):
            resolved = overlay(resolved, override)
        return resolved

    def _matches(self, transformer: str, stack: str) -> list[tuple[str, StackOverride]]:
        return [(key, value) for key, value in self.stacks if matches_stack(key, transformer, stack)]

    @classmethod
    def from_notation(cls, text: str) -> Policy:
        """Read compact notation such as `F8B0_W4MC3_R0.12_T1`. Raises `PolicyError` that points at the column."""
        from cachedsl.policy.notation import parse_notation

        return parse_notation(text)

    @property
    def notation(self) -> str:
        """This policy in compact notation. Raises `CachedslError` when the notation cannot express it."""
        from cachedsl.policy.notation import to_notation

        return to_notation(self)

    def expand(self) -> Policy:
        """Return the same policy with every shorthand and default written out; compiles to the same plan."""
        from cachedsl.policy.dump import expand

        return expand(self)

    def to_yaml(self) -> str:
        """Write YAML that loads as an equal policy."""
        from cachedsl.policy.dump import to_yaml

        return to_yaml(self)

    def apply(self, target: Any, num_inference_steps: int | None = None, adapter: Adapter | None = None) -> Cached:
        """Attach this policy to a diffusers pipeline or to a bare transformer; see `cachedsl.runtime.attach.attach`."""
        from cachedsl.runtime.attach import attach

        return attach(self, target, num_inference_steps=num_inference_steps, adapter=adapter)


def specificity(key: str) -> tuple[bool, int]:
    """Order `stacks` keys: globs before exact names, short before long."""
    return (not any(c in key for c in "*?["), len(key))


def matches_stack(key: str, transformer: str, stack: str) -> bool:
    """Tell whether a `stacks` key names this block list, by its own name or as `transformer.stack`."""
    return fnmatchcase(stack, key) or fnmatchcase(f"{transformer}.{stack}", key)

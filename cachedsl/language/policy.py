"""The typed policy: what a YAML policy means, with every default in place.

Everything here is frozen, hashable and comparable. Nothing here reads text; `cachedsl.loading` does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import attrs
from attrs import field, frozen

from cachedsl.language.kinds import Const, Key, Kind, Schema, Text, word
from cachedsl.language.masks import MASK, Mask
from cachedsl.language.misfit import Misfit, Misfits, collected
from cachedsl.language.origin import Origin
from cachedsl.language.part import CONVERTER, Part, key, long_form, part_of, short_form, tree_of
from cachedsl.language.parts import (
    STEPS,
    Cfg,
    Compute,
    Features,
    Predict,
    Prune,
    Refresh,
    Reuse,
    Signal,
    Warmup,
)
from cachedsl.language.runtime import Runtime
from cachedsl.language.schemas import SUFFIX
from cachedsl.language.taps import PRUNED
from cachedsl.language.trees import merge, without_nulls
from cachedsl.plan.frozen import Frozen, freeze, thaw
from cachedsl.text.finding import Span

if TYPE_CHECKING:
    from cachedsl.matching.adapter import Adapter
    from cachedsl.runtime.handle import Cached

MAX_STACKS = 256
"""Entries of `stacks` that a policy may have: many more than any model has block lists."""


@frozen
class StackPolicy:
    """What governs one stack of one transformer, defaults and overrides resolved."""

    PART: ClassVar[Part] = Part("", "a partial policy", "Overrides for some stacks.")
    compute: Compute = key(Compute(), part_of(Compute), "Which blocks of every stack always run.", shown="`F8B0`")
    warmup: Warmup = key(Warmup(), part_of(Warmup), Warmup.PART.words, shown="`8`")
    tail: int | str = key(
        0, STEPS, "The last steps of a run, or a share of it, which are computed in full. It needs a known step count."
    )
    reuse: Reuse = key(Reuse(), part_of(Reuse), Reuse.PART.words, shown="")
    predict: Predict = key(
        Predict(), part_of(Predict), "How the result of skipped blocks is approximated.", shown="`copy`"
    )
    features: Features = key(Features(), part_of(Features), Features.PART.words, shown="")
    steps: Mask | None = key(
        None, MASK, "A mask that says of each step whether it is computed. It needs a known step count.", shown="none"
    )
    refresh: Refresh | None = key(None, part_of(Refresh), Refresh.PART.words, shown="none")
    prune: Prune | None = key(None, part_of(Prune), Prune.PART.words, shown="absent")

    @property
    def measures(self) -> bool:
        """Whether any step could ever ask for a measurement."""
        static_mask = self.steps is not None and self.steps.otherwise == "static"
        return self.reuse.threshold not in ("always", 0) and not static_mask

    @property
    def signal(self) -> Signal | None:
        """What decides over the middle; None where nothing is measured, a pruned block measures its own input."""
        if not self.measures:
            return None
        return Signal(PRUNED) if self.prune is not None else self.reuse.signal

    @property
    def needs_front(self) -> bool:
        """Whether what is measured, or predicted with, is seen at the front blocks."""
        return self.predict.spec.probes > 0 or (self.signal is not None and self.signal.after_front)


EXTENDS = Key(
    Text("a bundled policy's name or a relative path", least=1), "The policy that this one changes.", shown="none"
)


@frozen
class Slug(Text):
    """A name; a file's is spelt so that it can be typed anywhere, a program's may be any text."""

    def read(self, value: Any) -> str:
        try:
            return Text.read(self, value)
        except Misfit as misfit:
            misfit.beyond_use = isinstance(value, str)
            raise


SLUG = Slug("a name of lower-case letters, digits, `-`, `_` and `.`", "^[a-z0-9][a-z0-9._-]*$")
STACK_NAME = Text("the name of a block list, or a glob", "^[^\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029]+$")


def stem_of(file: str | Path) -> str:
    """Return a file's name without what says that it is a policy: `fast` of `fast.yaml` and of `fast.cachedsl.yaml`."""
    stem = Path(file).stem
    return stem.removesuffix(SUFFIX) or stem


def slug_of(file: str | Path) -> str:
    """Return the name that a policy has by its file."""
    return re.sub(r"[^a-z0-9._-]+", "-", stem_of(file).lower()).strip("-._") or "policy"


@frozen
class Stacks(Kind):
    """Overrides by the name of a block list or a glob; each is a partial policy, kept as a tree in long form."""

    title: str = "a mapping of block lists to partial policies"

    def read(self, value: Any) -> tuple[tuple[str, Frozen], ...]:
        if isinstance(value, tuple):
            value = dict(value)
        if not isinstance(value, Mapping):
            raise Misfit(self.title, value)
        if len(value) > MAX_STACKS:
            raise Misfit(f"at most {MAX_STACKS} entries", value)
        found: list[Misfit] = []
        read = []
        for name, partial in value.items():
            try:
                STACK_NAME.read(name)
            except Misfit:
                found.append(Misfit(STACK_NAME.title, name, key=str(name)))
                continue
            if partial is None:
                continue
            tree = {k: tree_of(v) if hasattr(type(v), "PART") else v for k, v in _entries(partial, name, found)}
            with collected(found, name):
                part_of(StackPolicy).read(tree)
                read.append((name, freeze(long_form(StackPolicy, tree))))
        if found:
            raise Misfits(found)
        return tuple(read)

    def write(self, value: Any) -> Any:
        return self.shorthand({name: thaw(tree) for name, tree in value})

    def parts(self) -> tuple[Any, ...]:
        return (StackPolicy,)

    def longhand(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {name: tree and long_form(StackPolicy, tree) for name, tree in value.items()}

    def shorthand(self, value: Any) -> Any:
        return {name: tree and short_form(StackPolicy, tree) for name, tree in value.items()}

    def schema(self) -> Schema:
        return {
            "type": "object",
            "title": self.title,
            "maxProperties": MAX_STACKS,
            "propertyNames": {"pattern": STACK_NAME.pattern, "title": STACK_NAME.title},
            "additionalProperties": {"oneOf": [{"type": "null"}, {"$ref": "#/$defs/stackpolicy"}]},
        }


def _entries(partial: Any, name: str, found: list[Misfit]) -> Any:
    if isinstance(partial, Mapping):
        return partial.items()
    found.append(Misfit(StackPolicy.PART.expected, partial, path=(name,)))
    return ()


@frozen
class Policy(StackPolicy):
    """A whole policy: which blocks always run, when the others are reused, and what stands for them.

    Load one from a file with `cachedsl.load_policy`, or make one here. Every argument is a key of the language, with
    the same default and the same shorthands as in YAML; docs/language.md has them all. A policy is frozen, and can be
    compared and hashed.

    Attributes:
        name: what reports call it.
        description: what it is for.
        compute: which blocks of every stack always run, such as `"F8B0"`.
        warmup: the first steps, which are computed: a count, or a share such as `"20%"`.
        tail: the last steps, which are computed: a count or a share.
        reuse: when a step is reused: threshold (no unit, relative to the reference), signal and limits.
        predict: how a reused result is approximated.
        features: how the results that are kept between steps are held.
        cfg: how classifier-free guidance reaches the transformer.
        steps: a mask that says of each step whether it is computed.
        refresh: before which step all history is dropped.
        prune: where it is given, every block decides for itself.
        span: `"joined"` for one decision over consecutive block lists.
        stacks: overrides for some block lists, by name or glob.
        runtime: what is done to the models before they run.

    Raises:
        PolicyError: a value is not what its key may hold.

    Example:
        >>> from cachedsl import Policy
        >>> policy = Policy(compute="F1B0", warmup=4, reuse={"threshold": 0.1}, predict="taylor")
        >>> policy.notation
        'F1B0_W4_R0.1_T1'
    """

    PART: ClassVar[Part] = Part("", "a mapping of policy keys", "A cachedsl policy, language version 1.")
    FIRST: ClassVar[tuple[str, ...]] = (
        *("version", "name", "description", "extends", "compute", "warmup", "tail", "reuse", "predict", "features"),
        *("cfg", "steps", "refresh", "prune", "span", "stacks", "runtime"),
    )
    name: str = key("policy", SLUG, "What reports call the policy.", shown="from the name of the file")
    description: str = key("", Text(), "What it is for, and where its settings are from.")
    cfg: Cfg = key(Cfg(), part_of(Cfg), Cfg.PART.words, shown="`auto`")
    span: Literal["stack", "joined"] = key(
        "stack",
        word("stack", "joined"),
        "`joined`: consecutive block lists of one transformer form one chain with one decision. Front and back are the "
        "chain's.",
    )
    stacks: tuple[tuple[str, Frozen], ...] = key(
        (), Stacks(), "Overrides for some stacks, by a list's own name, `transformer.list` or a glob.", shown="`{}`"
    )
    runtime: Runtime = key(Runtime(), part_of(Runtime), Runtime.PART.words, shown="")
    version: Literal[1] = key(
        1,
        Const("1, the only language version", 1),
        "The language version of the file.",
        shown="required",
        required=True,
    )
    origin: Origin | None = field(default=None, eq=False, repr=False)

    @staticmethod
    def brought() -> dict[str, Key]:
        """Return the keys of a file that a loaded policy no longer has."""
        return {"extends": EXTENDS}

    def place(self, *path: str) -> Span:
        """Return where the value at `path` was written, for findings that come after loading.

        Args:
            path: the keys that lead to it, such as `"reuse", "threshold"`.
        """
        return self.origin.span(*path) if self.origin else Span(self.name)

    def for_stack(self, transformer: str, stack: str) -> StackPolicy:
        """Return what governs one block list, with the entries of `stacks` that match it laid over the policy.

        A key of `stacks` matches the list's own name or `transformer.stack`. An exact name beats a glob, and a longer
        glob beats a shorter one.

        Args:
            transformer: the pipeline's name of the component, such as `"transformer"`.
            stack: the attribute path of the list, such as `"single_transformer_blocks"`.

        Returns:
            The keys that hold there: a policy without `cfg`, `span`, `stacks` and `runtime`.
        """
        return _resolved(self, tuple(key for key, _ in self.stacks if matches_stack(key, transformer, stack)))

    def under(self, keys: tuple[str, ...], last: str | None = None) -> StackPolicy:
        """Return what these entries of `stacks` together come to; `last` is laid over all others."""
        return _resolved(self, keys, last)

    @classmethod
    def from_notation(cls, text: str) -> Policy:
        """Read compact notation such as `F8B0_W4MC3_R0.12_T1`; docs/language.md has its parts.

        Raises:
            PolicyError: the text is no notation; it points at the column.
        """
        from cachedsl.language.notation import parse_notation

        return parse_notation(text)

    @property
    def notation(self) -> str:
        """This policy in compact notation.

        Raises:
            CachedslError: the notation cannot express it.
        """
        from cachedsl.language.notation import to_notation

        return to_notation(self)

    def expand(self) -> Policy:
        """Return the same policy with every shorthand and default written out; it compiles to the same plan."""
        from cachedsl.language.dump import to_tree

        written: Policy = CONVERTER.structure(without_nulls(to_tree(self, full=True)), Policy)
        return written

    def to_yaml(self, *, full: bool = False) -> str:
        """Write YAML that loads as an equal policy.

        Args:
            full: whether sections that are as by default are written too.
        """
        from cachedsl.language.dump import to_yaml

        return to_yaml(self, full=full)

    def apply(
        self,
        target: Any,
        num_inference_steps: int | None = None,
        adapter: Adapter | None = None,
        group: Any = None,
        verify_ranks: bool = False,
    ) -> Cached:
        """Attach this policy to a diffusers pipeline or to a bare transformer.

        Everything is checked before anything is changed. Runs that begin from now on go by the policy, until the handle
        is removed.

        Args:
            target: a diffusers pipeline, whose runs are its calls, or a transformer (`torch.nn.Module`).
            num_inference_steps: for a bare transformer, the steps of every run; runs then begin and end by themselves.
                Without it, delimit them with `with cached.run(steps=...)`. A pipeline knows its own.
            adapter: says how the blocks of a model of yours are called. It is asked before the bundled adapters.
            group: the processes that share each run, where an engine of yours splits the model over them: a
                `torch.distributed` process group, or what `cachedsl.engines` makes of one. What diffusers splits is
                known without it.
            verify_ranks: whether the processes that share a run compare every verdict, and raise on all of them where
                they differ. Each waits for the others then.

        Returns:
            The handle. `remove()` it, or use it in a `with` statement. The blocks of a transformer that no adapter
            knows are learned at its first call.

        Raises:
            UnsupportedModel: the target is no pipeline or module, or has no lists of blocks.
            AlreadyAttached: the target, or a transformer in it, runs under a policy or another cache already.
            PolicyError: the policy does not hold, or does not fit the model.
            EngineRefused: what the policy's `runtime` asks for cannot be done here.
            TypeError: arguments that exclude each other.
            ValueError: the step count is no whole number of at least 1.

        Example:
            ```python
            with policy.apply(pipe) as cached:
                pipe(...)
                print(cached.summary())
            ```
        """
        from cachedsl.runtime.attach import attach

        return attach(self, target, num_inference_steps, adapter, group, verify_ranks)


@lru_cache(maxsize=1024)
def _resolved(policy: Policy, keys: tuple[str, ...], last: str | None = None) -> StackPolicy:
    """Lay the entries of `stacks` over the policy, as trees."""
    names = [one.name for one in attrs.fields(StackPolicy)]
    whole = StackPolicy(**{name: getattr(policy, name) for name in names})
    if not keys:
        return whole
    tree = tree_of(whole)
    overrides = dict(policy.stacks)
    for name in sorted(keys, key=lambda key: (key == last, *specificity(key))):
        tree = merge(tree, thaw(overrides[name]), partial=True)
    resolved: StackPolicy = CONVERTER.structure(without_nulls(tree), StackPolicy)
    return resolved


def specificity(key: str) -> tuple[bool, int]:
    """Order `stacks` keys: globs before exact names, short before long."""
    return (not is_glob(key), len(key))


def is_glob(key: str) -> bool:
    """Tell whether a key of `stacks` may match several lists."""
    return any(c in key for c in "*?[")


def matches_stack(key: str, transformer: str, stack: str) -> bool:
    """Tell whether a `stacks` key names this block list, by its own name or as `transformer.stack`."""
    return fnmatchcase(stack, key) or fnmatchcase(f"{transformer}.{stack}", key)

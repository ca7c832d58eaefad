"""Arbitrary policies, made from the declarations of their keys."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from hypothesis import strategies as st

from cachedsl.language import kinds
from cachedsl.language.by_name import PartsByName
from cachedsl.language.masks import FORMS, MaskKind, RunsMask
from cachedsl.language.methods import METHODS
from cachedsl.language.part import PartOf, keys_of
from cachedsl.language.parts import Compute, Dynamic, Predict, Prune, Signal
from cachedsl.language.policy import Policy, Stacks
from cachedsl.language.ratios import Ratios, RatiosKind
from cachedsl.language.taps import PRUNED, TAPS
from cachedsl.rules.base import Meaning
from cachedsl.rules.registry import run_checks

SMALL = 40
"""Counts have no bound that a policy would come near; smaller ones say as much."""


def of_kind(kind: Any) -> st.SearchStrategy[Any]:
    """Values that a kind takes, as Python has them."""
    if isinstance(kind, kinds.Whole):
        return st.integers(kind.least, min(kind.most, kind.least + SMALL) if kind.most > 100 else kind.most)
    if isinstance(kind, kinds.Number):
        low = kind.above if kind.above is not None else kind.least
        return st.floats(
            -1e4 if low is None else low, kind.most, exclude_min=kind.above is not None, allow_nan=False
        ).map(lambda x: x + 0.0)
    if isinstance(kind, kinds.Word):
        return st.sampled_from(kind.words)
    if isinstance(kind, kinds.Flag):
        return st.booleans()
    if isinstance(kind, kinds.Const):
        return st.just(kind.value)
    if isinstance(kind, kinds.Share):
        return st.integers(0, 100).map("{}%".format)
    if isinstance(kind, kinds.Text):
        if kind.pattern is not None:
            return (
                st.from_regex(rf"\A{kind.pattern[1:-1].removesuffix('*').removesuffix('+')}{{1,12}}\Z")
                if kind.pattern[-2] in "*+"
                else st.from_regex(rf"\A{kind.pattern[1:-1]}\Z")
            )
        return st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=kind.least, max_size=30)
    if isinstance(kind, kinds.Either):
        return st.one_of(*map(of_kind, kind.kinds))
    if isinstance(kind, kinds.ListOf):
        lists = st.lists(
            of_kind(kind.items), min_size=kind.least, max_size=min(kind.most, kind.least + 4), unique=kind.unique
        )
        return lists.map(lambda found: tuple(found) if kind.ordered else tuple(sorted(set(found))))
    if isinstance(kind, MaskKind):
        return masks
    if isinstance(kind, RatiosKind):
        return ratios
    if isinstance(kind, Stacks):
        return stacks
    if isinstance(kind, PartsByName):
        named = st.dictionaries(of_kind(kind.names), parts(kind.cls), max_size=3)
        return named.map(lambda found: tuple(found.items()))
    assert isinstance(kind, PartOf), kind
    return parts(kind.cls)


def optional(one: Any) -> st.SearchStrategy[Any]:
    """Values of one key, its default among them."""
    declared = one.metadata["key"]
    strategy = of_kind(declared.kind)
    return strategy if declared.default is not None or declared.required else st.none() | strategy


def parts(cls: Any) -> st.SearchStrategy[Any]:
    """Parts of a policy, of which each key is arbitrary; of signals and predictors those that are read."""
    if cls is Signal:
        return signals
    if cls is Predict:
        return predicts
    own = {one.name: optional(one) for one in keys_of(cls).values()}
    return st.builds(cls, **own)


rows = st.lists(st.floats(0.5, 2), min_size=1, max_size=4).map(tuple)
branches = st.lists(
    st.tuples(st.sampled_from(["cond", "uncond"]), rows), min_size=1, max_size=2, unique_by=lambda b: b[0]
)
ratios = st.builds(Ratios, rows) | st.builds(Ratios, branches=branches.map(tuple))
runs = st.lists(st.integers(1, 9), min_size=1, max_size=5)
masks = st.one_of(
    *(parts(form) for form in FORMS if form is not RunsMask),
    st.tuples(runs, runs, st.sampled_from(["dynamic", "static"])).map(
        lambda t: RunsMask(t[0], (t[1] * 5)[: len(t[0])], t[2])
    ),
)


def _signal(tap: str) -> st.SearchStrategy[Signal]:
    keys = keys_of(Signal)
    own = {name: optional(keys[name]) for name in TAPS[tap].reads}
    own |= {name: of_kind(keys[name].metadata["key"].kind) for name in TAPS[tap].requires}
    return st.builds(Signal, st.just(tap), **own)


def _predict(method: str) -> st.SearchStrategy[Predict]:
    keys = keys_of(Predict)
    own = {name: optional(keys[name]) for name in METHODS[method].reads}
    if "clip" in own:
        own["clip"] = own["clip"].map(lambda clip: tuple(sorted(clip)))
    return st.builds(Predict, st.just(method), **own)


signals = st.sampled_from(sorted(TAPS)).flatmap(_signal)
predicts = st.sampled_from(sorted(METHODS)).flatmap(_predict)
computes = st.builds(Compute, st.integers(1, SMALL), st.integers(0, SMALL))
"""With a front block, which most signals need."""
names = st.text(st.sampled_from("ab_*?.:#-' \"é"), min_size=1, max_size=8)
prunes = st.none() | st.builds(
    Prune,
    st.sets(st.integers(0, SMALL), max_size=4).map(lambda keep: tuple(sorted(keep))),
    st.none() | st.builds(Dynamic, st.floats(0.1, 10), st.none() | st.floats(0, 10)),
    st.integers(1, 9),
)


@st.composite
def overrides(draw: st.DrawFn) -> dict[str, Any]:
    """A partial policy, each part of it partial, whole, in short or null."""
    tree: dict[str, Any] = {}
    for name, one in keys_of(Policy).items():
        kind = one.metadata["key"].kind
        if name in ("version", "name", "description", "cfg", "span", "stacks", "runtime") or draw(st.integers(0, 2)):
            continue
        if draw(st.integers(0, 9)) == 0:
            tree[name] = None
        elif isinstance(kind, PartOf) and draw(st.booleans()):
            part = computes if kind.cls is Compute else parts(kind.cls)
            said = draw(part).written() if kind.cls in (Predict, Signal) else kind.write(draw(part))
            keep = set(draw(st.lists(st.sampled_from(sorted(said)), unique=True))) if isinstance(said, dict) else set()
            keep |= {"method"} if kind.cls is Predict else set()
            required = {key for key, inner in keys_of(kind.cls).items() if inner.metadata["key"].required}
            tree[name] = {key: value for key, value in said.items() if key in keep | required}
        else:
            value = draw(computes if name == "compute" else prunes if name == "prune" else of_kind(kind))
            tree[name] = value if value is None else kind.write(value)
    return tree


stacks = st.dictionaries(names, overrides(), max_size=2).map(Stacks().read)


def holds(policy: Policy) -> bool:
    """Tell whether the rules of meaning find nothing."""
    return not any(run_checks("meaning", Meaning(policy)))


@st.composite
def any_policies(draw: st.DrawFn) -> Policy:
    """A policy whose parts fit; together they may mean nothing."""
    given = {name: draw(optional(one)) for name, one in keys_of(Policy).items() if name not in ("compute", "prune")}
    prune = draw(prunes)
    if prune is not None:
        given["reuse"] = evolve(given["reuse"], signal=Signal(draw(st.sampled_from([PRUNED, "residual"]))))
        given["predict"] = draw(predicts.filter(lambda p: not p.spec.probes and not p.repay))
    return Policy(**given, compute=draw(computes), prune=prune)


def policies() -> st.SearchStrategy[Policy]:
    """A policy that every rule of meaning accepts."""
    return any_policies().filter(holds)

"""Arbitrary valid policies."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from cachedsl.policy.model import Policy
from cachedsl.policy.overrides import UNSET, PartialCompute, PartialPredict, PartialReuse, PartialWarmup, StackOverride
from cachedsl.policy.parts import (
    PREDICT_PARAMETERS,
    Accumulated,
    AtMask,
    BitMask,
    BudgetMask,
    Cfg,
    Compute,
    Dynamic,
    EveryMask,
    Predict,
    PresetMask,
    Prune,
    Refresh,
    Reuse,
    RunsMask,
    Warmup,
)
from cachedsl.policy.signal import SIGNAL_PARAMETERS, SIGNALS, Ratios, Signal

slugs = st.from_regex(r"\A[a-z0-9][a-z0-9._-]{0,12}\Z")
counts = st.integers(0, 40)
limits = st.none() | counts
thresholds = st.just("always") | st.floats(0, 1e6, allow_nan=False)
otherwise = st.sampled_from(["dynamic", "static"])
runs = st.lists(st.integers(1, 9), min_size=1, max_size=5)
masks = st.one_of(
    st.builds(BitMask, st.text("01", min_size=1, max_size=30), otherwise),
    st.tuples(runs, runs, otherwise).map(lambda t: RunsMask(t[0], (t[1] * 5)[: len(t[0])], t[2])),
    st.builds(PresetMask, st.sampled_from(["slow", "medium", "fast", "ultra"]), otherwise),
    st.builds(EveryMask, st.integers(1, 9), st.integers(0, 20), otherwise),
    st.builds(BudgetMask, st.integers(1, 60), st.floats(0.1, 10), otherwise),
    st.builds(AtMask, st.sets(st.integers(0, 60), min_size=1, max_size=8).map(sorted), otherwise),
)
accumulated = st.none() | st.builds(Accumulated, st.floats(0, 1e3), st.sampled_from(["on_compute", "never"]))
references = st.sampled_from(["last_computed", "previous_step"])
accumulates = st.sampled_from(["none", "until_compute", "lifetime"])
ratios = st.lists(st.floats(0.5, 2), min_size=1, max_size=4).map(tuple)
SIGNAL_OWN: dict[str, st.SearchStrategy[Any]] = {
    "reference": references,
    "metric": st.sampled_from(["relative_l1", "relative_l2", "cosine"]),
    "rescale": st.none() | st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=5).map(tuple),
    "accumulate": accumulates,
    "stride": st.integers(1, 8),
    "token_floor": st.floats(0, 1),
    "exponent": st.floats(0, 8),
    "ratios": st.builds(Ratios, ratios)
    | st.builds(
        Ratios,
        branches=st.lists(st.tuples(st.sampled_from(["cond", "uncond"]), ratios), min_size=1, max_size=1).map(tuple),
    ),
}
signals = st.sampled_from(sorted(SIGNALS)).flatmap(
    lambda tap: st.builds(Signal, st.just(tap), **{key: SIGNAL_OWN[key] for key in SIGNAL_PARAMETERS[tap]})
)
OWN: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "order": {"order": st.integers(1, 10)},
    "form": {"form": st.sampled_from(["exact", "published"])},
    "scale": {"scale": st.floats(0.01, 1)},
    "history": {"history": st.integers(4, 64)},
    "rank": {"rank": st.integers(0, 64)},
    "ridge": {"ridge": st.floats(0, 1)},
    "clip": {"clip": st.tuples(st.floats(0, 1), st.floats(1, 4))},
    "repay": {"repay": st.floats(0, 1)},
    "target": {"target": st.sampled_from(["residual", "hidden_states"])},
    "streams": {"streams": st.none() | st.sampled_from([("hidden",), ("encoder",), ("hidden", "encoder")])},
    "clock": {"clock": st.sampled_from(["step", "timestep", "sigma"])},
    "horizon": {"horizon": st.none() | st.integers(1, 99)},
}


def predictor(cls: Any, method: str, wrap: Any = lambda strategy: strategy) -> st.SearchStrategy[Any]:
    """A predictor of `method` with the parameters that it reads, each through `wrap`."""
    read = {name: wrap(strategy) for key in PREDICT_PARAMETERS[method] for name, strategy in OWN[key].items()}
    return st.builds(cls, method=st.just(method), **read)


predicts = st.sampled_from(sorted(PREDICT_PARAMETERS)).flatmap(lambda method: predictor(Predict, method))
refreshes = st.none() | st.builds(Refresh, st.integers(1, 60), st.booleans())
prunes = st.none() | st.builds(
    Prune,
    st.sets(st.integers(0, 40), max_size=4).map(lambda keep: tuple(sorted(keep))),
    st.none() | st.builds(Dynamic, st.floats(0.1, 10), st.none() | st.floats(0, 10)),
    st.integers(1, 9),
)
reuses = st.builds(Reuse, thresholds, signals, limits, limits, accumulated)


def unset_or(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.just(UNSET) | strategy


overrides = st.builds(
    StackOverride,
    compute=unset_or(st.builds(PartialCompute, unset_or(st.integers(1, 9)), unset_or(counts))),
    warmup=unset_or(st.builds(PartialWarmup, unset_or(counts), unset_or(st.integers(1, 9)))),
    tail=unset_or(counts),
    reuse=unset_or(
        st.builds(
            PartialReuse,
            unset_or(thresholds),
            unset_or(signals),
            unset_or(limits),
            unset_or(limits),
            unset_or(accumulated),
        )
    ),
    predict=unset_or(
        st.sampled_from(sorted(PREDICT_PARAMETERS)).flatmap(lambda method: predictor(PartialPredict, method, unset_or))
    ),
    steps=unset_or(st.none() | masks),
    refresh=unset_or(refreshes),
    prune=unset_or(prunes),
)
stack_keys = st.text(st.sampled_from("ab_*?.:#-' \"é"), min_size=1, max_size=8)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """A policy that every check accepts."""
    stacks = draw(st.dictionaries(stack_keys, overrides, max_size=3))
    return Policy(
        name=draw(slugs),
        description=draw(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)),
        compute=Compute(draw(st.integers(1, 40)), draw(counts)),
        warmup=Warmup(draw(counts), draw(st.integers(1, 9))),
        tail=draw(counts),
        reuse=draw(reuses),
        predict=draw(predicts),
        cfg=draw(
            st.builds(
                Cfg,
                st.sampled_from(["auto", "fused", "separate"]),
                st.sampled_from(["cond_first", "uncond_first"]),
                st.sampled_from(["per_branch", "follow_first"]),
            )
        ),
        steps=draw(st.none() | masks),
        refresh=draw(refreshes),
        prune=draw(prunes),
        span=draw(st.sampled_from(["stack", "joined"])),
        stacks=tuple(stacks.items()),
    )

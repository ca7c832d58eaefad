"""Arbitrary stack policies, plans and measurements."""

from __future__ import annotations

import math

from hypothesis import strategies as st

from cachedsl.language.masks import AtMask, BitMask, BudgetMask, EveryMask, PresetMask, RunsMask
from cachedsl.language.parts import Accumulated, Cfg, Compute, Refresh, Reuse, Signal, Warmup
from cachedsl.language.policy import Policy
from cachedsl.lower.compile import compile_policy
from cachedsl.plan.ir import StackPlan
from cachedsl.plan.model_shape import ModelShape, StackShape

BLOCKS = 6
thresholds = st.one_of(st.just("always"), st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.5]))
limits = st.one_of(st.none(), st.integers(0, 5))
accumulated = st.one_of(
    st.none(), st.builds(Accumulated, st.sampled_from([0.1, 0.3, 1.0]), st.sampled_from(["on_compute", "never"]))
)
otherwise = st.sampled_from(["dynamic", "static"])
refreshes = st.one_of(st.none(), st.builds(Refresh, st.integers(1, 6), st.booleans()))
warmups = st.builds(Warmup, st.integers(0, 6), st.integers(1, 4))
signals = st.sampled_from(
    [
        Signal(),
        Signal("hidden_states", accumulate="until_compute"),
        Signal("probe", reference="previous_step", accumulate="lifetime"),
        Signal("transform_rate", accumulate="until_compute"),  # needs two computed steps
    ]
)
reuses = st.builds(
    Reuse,
    signal=signals,
    threshold=thresholds,
    max_total=limits,
    max_continuous=limits,
    max_accumulated=accumulated,
)
values = st.one_of(
    st.sampled_from([0.0, 0.05, 0.1, 0.15, 0.3, 2.0, math.nan, math.inf, -math.inf]), st.floats(0, 3, width=32)
)


def masks(steps: int) -> st.SearchStrategy:
    runs = st.lists(st.integers(1, 4), min_size=1, max_size=4)
    return st.one_of(
        st.none(),
        st.builds(BitMask, st.text("01", min_size=steps, max_size=steps), otherwise),
        st.tuples(runs, runs, otherwise).map(lambda t: RunsMask(t[0], (t[1] * 4)[: len(t[0])], t[2])),
        st.builds(PresetMask, st.sampled_from(["slow", "medium", "fast", "ultra"]), otherwise),
        st.builds(EveryMask, st.integers(1, 5), st.integers(0, 4), otherwise),
        st.builds(BudgetMask, st.integers(1, 9), st.floats(0.5, 2), otherwise),
        st.builds(AtMask, st.sets(st.integers(0, steps - 1), min_size=1).map(sorted), otherwise),
    )


@st.composite
def policies(draw: st.DrawFn, steps: int) -> Policy:
    """A policy that is valid for runs of `steps` steps."""
    return Policy(
        compute=Compute(draw(st.integers(1, 2)), draw(st.integers(0, 2))),
        warmup=draw(warmups),
        tail=draw(st.integers(0, 3)),
        reuse=draw(reuses),
        steps=draw(masks(steps)),
        refresh=draw(refreshes),
        cfg=Cfg(decision=draw(st.sampled_from(["per_branch", "follow_first"]))),
    )


@st.composite
def plans(draw: st.DrawFn, min_steps: int = 1, max_steps: int = 14) -> tuple[StackPlan, int, Policy]:
    steps = draw(st.integers(min_steps, max_steps))
    policy = draw(policies(steps))
    plan = compile_policy(policy, ModelShape([StackShape("blocks", BLOCKS)]), steps)
    return plan.stacks[0], steps, policy

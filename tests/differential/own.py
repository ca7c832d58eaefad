"""The same case on our side."""

from __future__ import annotations

from typing import Any

import attrs

from cachedsl.language.masks import BitMask
from cachedsl.language.parts import Accumulated, Cfg, Compute, Dynamic, Predict, Prune, Refresh, Reuse, Signal, Warmup
from cachedsl.language.policy import Policy
from cachedsl.trace import StepRecord
from tests.differential.cases import Case, Result, StepResult


def policy_of(case: Case) -> Policy:
    """Translate the settings."""
    return Policy(
        name=case.name,
        compute=Compute(case.front, case.back),
        warmup=Warmup(case.warmup, case.warmup_interval),
        reuse=Reuse(
            threshold=case.threshold,
            signal=Signal(case.signal, stride=case.stride, token_floor=case.token_floor),
            max_total=case.max_total,
            max_continuous=case.max_continuous,
            max_accumulated=None if case.max_accumulated is None else Accumulated(case.max_accumulated, "never"),
        ),
        predict=_predict(case),
        cfg=Cfg(
            case.cfg,
            "uncond_first" if case.uncond_first else "cond_first",
            "follow_first" if case.follow_first else "per_branch",
        ),
        steps=None if case.mask is None else BitMask(case.mask, case.otherwise),
        refresh=None if case.refresh_at is None else Refresh(case.refresh_at, case.refresh_repeat),
        prune=None if case.prune is None else Prune(tuple(case.keep), Dynamic() if case.prune == "dynamic" else None),
        stacks=tuple((stack, _override(changes)) for stack, changes in case.overrides.items()),
    )


def _predict(case: Case) -> Predict:
    if case.dmd is not None:
        return Predict("dmd", history=case.dmd)
    return Predict() if case.taylor is None else Predict("taylor", case.taylor)


def _override(changes: dict[str, Any]) -> dict[str, Any]:
    compute = {key: changes[key] for key in ("front", "back") if key in changes}
    reuse = {key: changes[key] for key in ("threshold",) if key in changes}
    assert compute.keys() | reuse.keys() == changes.keys()
    return {"compute": compute, "reuse": reuse}


def run_own(case: Case, policy: Policy | None = None) -> Result:
    """Run `case` under cachedsl; `policy` replaces what its settings mean."""
    transformer = case.transformer()
    cached = (policy or policy_of(case)).apply(transformer)
    outputs = []
    with cached.run(steps=case.steps):
        for _, _, arguments in case.calls(transformer):
            outputs.append(transformer(**arguments, return_dict=False)[0])
    steps = {}
    for stack in case.stacks:
        for branch in case.branches:
            records = cached.trace.steps(stack=stack, branch=branch)
            assert [record.step for record in records] == list(range(case.steps)), (stack, branch)
            steps[stack, branch] = [StepResult(r.outcome == "reused", _value(case, r)) for r in records]
    assert len(cached.trace.steps()) == len(case.stacks) * len(case.branches) * case.steps
    cached.remove()
    return Result(steps, outputs)


def _value(case: Case, record: StepRecord) -> Any:
    """Return what the reference keeps of a step: one value, or under `prune` those of all blocks."""
    if case.prune is None:
        return record.value
    return [unit.value for unit in record.units if unit.value is not None] or None


def changed(policy: Policy, **reuse: Any) -> Policy:
    """Return `policy` with other `reuse` settings."""
    return attrs.evolve(policy, reuse=attrs.evolve(policy.reuse, **reuse))

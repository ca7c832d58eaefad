"""The code that runs cache-dit in the other differential tests, run by `cachedsl.compat.cache_dit`: it decides alike.

Agreement means what it means there: the same reused steps, measured values and outputs.
"""

from __future__ import annotations

import pytest
import torch

import cachedsl.compat.cache_dit as compat
from cachedsl import attached
from cachedsl.compat.cache_dit.caching.patch_functors import DiTPatchFunctor
from tests.differential import test_cache_dit as known
from tests.differential.as_cache_dit import adapter_and_context
from tests.differential.cases import Case, Result, StepResult
from tests.differential.conftest import Reference
from tests.differential.own import _value

PICKED = (
    *("warmup-interval-separate", "all-limits", "mask-limits", "mask-static-separate", "uncond-first"),
    *("refresh-repeat", "first-stack", "taylor-3-gaps", "static-limited", "dit-limits"),
)
CASES = [
    *((known.SINGLE, case) for case in known.SINGLE if case.name in PICKED),
    *((known.FAMILIES, case) for case in known.FAMILIES if case.name.endswith(("-refresh", "-taylor-1"))),
    *((known.PRUNED, case) for case in known.PRUNED[3::5]),
]


def run_compat(case: Case) -> Result:
    transformer = case.transformer()
    adapter, context = adapter_and_context(compat, case, transformer, DiTPatchFunctor())
    assert compat.enable_cache(adapter, **context) is adapter
    outputs = [transformer(**arguments, return_dict=False)[0] for _, _, arguments in case.calls(transformer)]
    cached = attached(transformer)
    assert cached is not None
    steps = {}
    for stack in case.stacks:
        for branch in case.branches:
            records = cached.trace.steps(stack=stack, branch=branch)
            assert [record.step for record in records] == list(range(case.steps)), (stack, branch)
            steps[stack, branch] = [StepResult(r.outcome == "reused", _value(case, r)) for r in records]
    compat.disable_cache(adapter)
    assert attached(transformer) is None
    return Result(steps, outputs)


@pytest.mark.parametrize(("group", "case"), CASES, ids=[case.name for _, case in CASES])
def test_code_written_for_cache_dit_decides_alike(group: tuple[Case, ...], case: Case, reference: Reference) -> None:
    own, theirs = run_compat(case), reference(group)[case.name]
    for key, results in theirs.steps.items():
        assert own.reused(*key) == theirs.reused(*key), key
        if case.prune is None:
            assert own.values(*key) == pytest.approx(theirs.values(*key), rel=1e-5, abs=0), key
        assert results
    for mine, other in zip(own.outputs, theirs.outputs, strict=True):
        assert torch.allclose(mine, other, rtol=0, atol=1e-5 * float(other.abs().max()))

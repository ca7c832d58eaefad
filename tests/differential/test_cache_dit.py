"""Agreement with cache-dit 1.5.3, and each deliberate difference from it (the specification's "differential truth").

Agreement means: the same reused steps, the same measured values (1e-5 relative), and the same output of every call
(1e-5 of the output's largest value), in float32.
"""

from __future__ import annotations

import importlib.resources
import itertools
import os
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
import torch

from cachedsl.language.parts import Accumulated, Predict
from cachedsl.predictors import build_predictor
from cachedsl.predictors.taylor import TaylorPredictor
from tests.differential.cases import Case, Result
from tests.differential.conftest import Reference
from tests.differential.own import changed, policy_of, run_own

BUNDLED = str(importlib.resources.files("cachedsl.models") / "digits_dit" / "transformer")


def _grid(family: str, **fixed: object) -> tuple[Case, ...]:
    axes = itertools.product(("fused", "separate"), ((1, 0), (1, 4), (8, 4)), (0.05, 0.1, 0.2))
    return tuple(
        Case(
            name=f"{family}-{cfg}-F{front}B{back}-R{at}",
            family=family,
            cfg=cfg,
            front=front,
            back=back,
            threshold=at,
            **fixed,
        )
        for cfg, (front, back), at in axes
    )


FLUX = _grid("flux", blocks=14)
DIT = _grid("dit", blocks=24, folder=BUNDLED)

MASK = "11110100110010000001"


def _families() -> tuple[Case, ...]:
    """What every limit does on Wan, called once per branch, and on CogVideoX, which returns both streams."""
    found = []
    for family, cfg in (("wan", "separate"), ("cogvideox", "fused")):
        more: dict[str, dict[str, object]] = {
            "F1B0": {"front": 1},
            "F2B2": {"back": 2, "threshold": 0.05},
            "F4B1": {"front": 4, "back": 1, "threshold": 0.2},
            "warmup-interval": {"warmup": 8, "warmup_interval": 2, "threshold": 0.2},
            "max-total": {"max_total": 5, "threshold": 0.2},
            "max-continuous": {"max_continuous": 2, "threshold": 0.2},
            "accumulated": {"max_accumulated": 1.0, "threshold": 0.2},
            "all-limits": {"max_total": 9, "max_continuous": 3, "max_accumulated": 1.5, "threshold": 0.3},
            "mask": {"mask": MASK, "threshold": 0.2},
            "mask-static": {"mask": MASK, "otherwise": "static"},
            "refresh": {"refresh_at": 9, "threshold": 0.2},
            "refresh-repeat": {"refresh_at": 6, "refresh_repeat": True, "warmup": 2, "threshold": 0.3},
            "taylor-1": {"taylor": 1, "warmup": 5, "threshold": 0.2},
            "hidden-states": {"signal": "hidden_states", "threshold": 0.05},
        }
        found += [
            Case(name=f"{family}-{name}", family=family, blocks=8, cfg=cfg, **fields) for name, fields in more.items()
        ]
    return tuple(found)


FAMILIES = _families()
DMD = (
    Case(name="dmd-dit", family="dit", blocks=24, folder=BUNDLED, dmd=6, warmup=6, threshold=0.2, max_continuous=2),
    Case(name="dmd-wan", family="wan", blocks=8, cfg="separate", dmd=5, warmup=6, threshold=0.2),
    Case(name="dmd-cogvideox", family="cogvideox", blocks=8, dmd=4, warmup=5, threshold=0.3, max_total=6),
    Case(
        name="dmd-mask", family="wan", blocks=8, cfg="separate", dmd=6, mask="11111101010010010101", otherwise="static"
    ),
)
ECONOMIES = (
    Case(name="stride", threshold=0.1, stride=4),
    Case(name="stride-separate", threshold=0.1, stride=3, cfg="separate"),
    Case(name="token-floor", threshold=0.2, token_floor=0.1),
    Case(name="token-floor-high", threshold=0.2, token_floor=0.6),
    Case(name="dit-token-floor", family="dit", blocks=24, threshold=0.2, token_floor=0.15),
)
FEATURES = (
    Case(name="threshold-0", threshold=0.0),
    Case(name="no-warmup", warmup=0, threshold=0.2),
    Case(name="warmup-interval", warmup=9, warmup_interval=3, threshold=0.2),
    Case(name="warmup-interval-separate", warmup=8, warmup_interval=2, threshold=0.2, cfg="separate"),
    Case(name="max-total", threshold=0.2, max_total=5),
    Case(name="max-total-0", threshold=0.2, max_total=0),
    Case(name="max-total-separate", threshold=0.2, max_total=4, cfg="separate", back=2),
    Case(name="max-continuous-1", threshold=0.2, max_continuous=1),
    Case(name="max-continuous-0", threshold=0.2, max_continuous=0),
    Case(name="max-continuous-separate", threshold=0.2, max_continuous=2, cfg="separate", back=2),
    Case(name="both-limits", threshold=0.3, max_total=7, max_continuous=2),
    Case(name="accumulated", threshold=0.2, max_accumulated=0.8),
    Case(name="accumulated-separate", threshold=0.2, max_accumulated=1.0, cfg="separate"),
    Case(name="all-limits", threshold=0.3, max_total=9, max_continuous=3, max_accumulated=1.5, cfg="separate"),
    Case(name="mask", threshold=0.1, mask=MASK),
    Case(name="mask-wide", threshold=0.3, mask=MASK, warmup=2),
    Case(name="mask-limits", threshold=0.3, mask=MASK, warmup=8, max_continuous=2, max_total=6),
    Case(name="mask-separate", threshold=0.2, mask=MASK, cfg="separate", back=2),
    Case(name="mask-interval", threshold=0.2, mask="11111100000100000001", warmup=6, warmup_interval=4),
    Case(name="mask-static", mask=MASK, otherwise="static"),
    Case(name="mask-static-separate", mask=MASK, otherwise="static", cfg="separate", back=2),
    Case(name="hidden-states", signal="hidden_states", threshold=0.05),
    Case(name="hidden-states-separate", signal="hidden_states", threshold=0.07, blocks=8, front=5, cfg="separate"),
    Case(name="uncond-first", threshold=0.2, cfg="separate", uncond_first=True, max_total=9),
    Case(name="refresh", threshold=0.2, refresh_at=9, max_total=4),
    Case(name="refresh-separate", threshold=0.2, refresh_at=9, cfg="separate", max_accumulated=1.0),
    Case(name="refresh-repeat", threshold=0.3, warmup=2, refresh_at=6, refresh_repeat=True),
    Case(name="refresh-repeat-separate", threshold=0.3, warmup=1, refresh_at=5, refresh_repeat=True, cfg="separate"),
    Case(name="stacks", overrides={"single_transformer_blocks": {"front": 1, "back": 3, "threshold": 0.3}}),
    Case(name="first-stack", cfg="separate", overrides={"transformer_blocks": {"front": 4, "threshold": 0.2}}),
    Case(name="taylor-1", taylor=1, warmup=5, threshold=0.3),
    Case(name="taylor-1-separate", taylor=1, warmup=5, threshold=0.2, cfg="separate"),
    Case(name="taylor-1-gaps", taylor=1, warmup=5, threshold=0.9, mask="11111001100010010001", back=2),
    Case(name="jump", threshold=0.3, jump_at=11),
    Case(name="dit-limits", family="dit", blocks=24, threshold=0.2, max_total=8, max_continuous=3),
    Case(name="dit-mask", family="dit", blocks=24, threshold=0.1, mask=MASK, cfg="separate"),
    Case(name="dit-taylor-1", family="dit", blocks=24, taylor=1, warmup=5, threshold=0.2, cfg="separate"),
    Case(name="taylor-1-refresh", taylor=1, warmup=4, threshold=0.3, refresh_at=10),
    Case(name="wan-taylor-1-refresh", family="wan", cfg="separate", taylor=1, warmup=4, threshold=0.3, refresh_at=10),
    Case(name="dit-refresh", family="dit", blocks=24, threshold=0.2, refresh_at=10, cfg="separate"),
)

HIGHER_TAYLOR = (
    Case(name="taylor-2", taylor=2, warmup=5, threshold=0.3, back=2),
    Case(name="taylor-2-gaps", taylor=2, warmup=5, threshold=0.9, mask="11111001100010010001"),
    Case(name="taylor-3-gaps", taylor=3, warmup=6, threshold=0.9, mask="11111101001000101001", cfg="separate"),
    Case(name="dit-taylor-2", family="dit", blocks=24, taylor=2, warmup=5, threshold=0.2),
    Case(name="wan-taylor-2", family="wan", blocks=8, cfg="separate", taylor=2, warmup=5, threshold=0.2),
    Case(name="cogvideox-taylor-2", family="cogvideox", blocks=8, taylor=2, warmup=5, threshold=0.2, back=1),
)
LATE_TAYLOR = Case(name="late-taylor", taylor=1, warmup=2, threshold=0.9, max_continuous=1)
LATE_COPY = attrs.evolve(LATE_TAYLOR, name="late-copy", taylor=None)
ALWAYS = Case(name="always", threshold=1.0, jump_at=11)
ALWAYS_LIMITED = Case(name="always-limited", threshold=1.0, max_total=9, max_continuous=2, cfg="separate")
STATIC_LIMITED = Case(name="static-limited", mask="11110000100001110001", otherwise="static", max_continuous=2)
STATIC_SCARCE = attrs.evolve(STATIC_LIMITED, name="static-scarce", max_continuous=None, max_total=5)
BUDGET = Case(name="budget", threshold=0.3, max_accumulated=0.6)
FOLLOW = Case(name="follow", threshold=0.2, cfg="separate", follow_first=True)
GROW = Case(name="grow", threshold=0.2, grow_at=9)
DEVIATIONS = (LATE_TAYLOR, LATE_COPY, ALWAYS, ALWAYS_LIMITED, STATIC_LIMITED, STATIC_SCARCE, BUDGET, FOLLOW, GROW)
SINGLE = FEATURES + HIGHER_TAYLOR + DEVIATIONS
PRUNED = [
    Case(
        name=f"prune-{kind}-F{front}B{back}-{threshold}-{cfg}",
        prune=kind,
        front=front,
        back=back,
        threshold=threshold,
        cfg=cfg,
    )
    for kind, cfg in (("fixed", "fused"), ("fixed", "separate"), ("dynamic", "fused"))
    for front, back in ((1, 0), (2, 1))
    for threshold in (0.03, 0.08)
]
PRUNED += [
    Case(name="prune-keep", prune="fixed", front=1, threshold=0.08, keep=[2, 4]),
    Case(name="prune-mask", prune="fixed", front=1, threshold=0.08, mask="1110100100010010001001"[:20]),
    Case(name="prune-refresh", prune="fixed", front=1, threshold=0.08, refresh_at=9),
    Case(name="prune-interval", prune="fixed", front=1, threshold=0.08, warmup=8, warmup_interval=3),
]

# cache-dit starts once for each of these: starting takes longer than a case does.
ONE, OTHER = (*FLUX, *FAMILIES, *DMD, *ECONOMIES), (*SINGLE, *DIT, *PRUNED)


def _assert_same_outputs(own: Result, theirs: Result) -> None:
    assert len(own.outputs) == len(theirs.outputs)
    for call, (mine, other) in enumerate(zip(own.outputs, theirs.outputs, strict=True)):
        worst = ((mine - other).abs().max() / other.abs().max()).item()
        assert worst <= 1e-5, f"call {call}: outputs are {worst:.2g} of the largest value apart"


def _assert_same(case: Case, own: Result, theirs: Result) -> None:
    for key in itertools.product(case.stacks, case.branches):
        assert own.reused(*key) == theirs.reused(*key), key
        assert own.values(*key) == pytest.approx(theirs.values(*key), rel=1e-5, abs=0), key
    _assert_same_outputs(own, theirs)


@pytest.mark.parametrize("case", FLUX, ids=lambda case: case.name)
def test_flux_agrees(case: Case, reference: Reference) -> None:
    _assert_same(case, run_own(case), reference(ONE)[case.name])


@pytest.mark.parametrize("case", DIT, ids=lambda case: case.name)
def test_bundled_dit_agrees(case: Case, reference: Reference) -> None:
    _assert_same(case, run_own(case), reference(OTHER)[case.name])


@pytest.mark.parametrize("case", FEATURES, ids=lambda case: case.name)
def test_feature_agrees(case: Case, reference: Reference) -> None:
    _assert_same(case, run_own(case), reference(OTHER)[case.name])


@pytest.mark.parametrize("case", FAMILIES, ids=lambda case: case.name)
def test_wan_and_cogvideox_agree(case: Case, reference: Reference) -> None:
    _assert_same(case, run_own(case), reference(ONE)[case.name])


@pytest.mark.parametrize("case", DMD, ids=lambda case: case.name)
def test_dmd_decides_alike(case: Case, reference: Reference) -> None:
    """The same steps and values. What is predicted differs by design: ours fits differences, theirs the results."""
    own, theirs = run_own(case), reference(ONE)[case.name]
    (stack,) = case.stacks
    for branch in case.branches:
        assert own.reused(stack, branch) == theirs.reused(stack, branch)
        assert own.values(stack, branch) == pytest.approx(theirs.values(stack, branch), rel=1e-5, abs=0)
    assert any(own.reused(stack, branch) for branch in case.branches)


_THEIR_DMD = """
import sys, torch
from cache_dit.caching.cache_contexts.calibrators.dmd import DMDState
given = torch.load(sys.argv[1], weights_only=True)
found = {}
for kind, values in given.items():
    state, found[kind] = DMDState(history=6), {}
    for step, value in enumerate(values):
        state.mark_step_begin()
        state.update(value) if step < 6 else found[kind].update({step: state.approximate()})
torch.save(found, sys.argv[2])
"""


def test_dmd_is_exact_on_what_both_are_for_and_ours_on_a_slow_drift_too(tmp_path: Path) -> None:
    """They drop modes below 1e-4 of the largest one, which a drift on a large constant is; its differences are not."""
    torch.manual_seed(0)
    a, b, c = torch.randn(3, 2, 5, 7, dtype=torch.float64)
    forms = {
        "exponentials": lambda t: a * 0.8**t + b * (-0.5) ** t + c,
        "constant": lambda t: a,
        "affine": lambda t: a + b * t,
        "slow drift": lambda t: 100 * a + 0.01 * b * t,
    }
    truths = {kind: torch.stack([form(t) for t in range(9)]).float() for kind, form in forms.items()}
    torch.save(truths, tmp_path / "given.pt")
    script = [sys.executable, "-c", _THEIR_DMD, str(tmp_path / "given.pt"), str(tmp_path / "found.pt")]
    subprocess.run(script, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    for kind, truth in truths.items():
        predictor = build_predictor(Predict("dmd", history=6))
        for step in range(6):
            predictor.update(truth[step], float(step))
        for step in range(6, 9):
            moved = (truth[step] - truth[5]).abs().max() if kind != "constant" else truth[step].abs().max()
            theirs = (found[kind][step] - truth[step]).abs().max() / moved
            assert (predictor.predict(float(step)) - truth[step]).abs().max() / moved < 2e-3, kind
            assert theirs > 0.5 if kind == "slow drift" else theirs < 2e-3, kind


@pytest.mark.parametrize("case", ECONOMIES, ids=lambda case: case.name)
def test_fewer_channels_and_tokens_agree(case: Case, reference: Reference) -> None:
    _assert_same(case, run_own(case), reference(ONE)[case.name])


@pytest.mark.parametrize("grid", [FLUX, DIT], ids=["flux", "dit"])
def test_the_grid_tells_settings_apart(grid: tuple[Case, ...], reference: Reference) -> None:
    """The comparisons above are not vacuous: thresholds, stacks and branches lead to different steps."""
    results = reference(ONE if grid is FLUX else OTHER)
    patterns = set()
    for case in grid:
        for key in itertools.product(case.stacks, case.branches):
            reused = results[case.name].reused(*key)
            assert min(reused, default=case.steps) >= case.warmup
            patterns.add(tuple(reused))
    assert len(patterns) >= 12
    for loose, tight in zip(grid[2::3], grid[::3], strict=True):
        stack, branch = loose.stacks[0], loose.branches[0]
        more, fewer = results[loose.name].reused(stack, branch), results[tight.name].reused(stack, branch)
        assert len(more) > len(fewer)
        assert len(more) < loose.steps - loose.warmup


@pytest.mark.parametrize("case", HIGHER_TAYLOR, ids=lambda case: case.name)
def test_higher_taylor_agrees_in_the_published_form_alone(case: Case, reference: Reference) -> None:
    """From order 2 on the j-th difference is weighed with k^j / j! there, which misses polynomials of its own degree."""
    theirs, own = reference(OTHER)[case.name], run_own(case)
    stack, branch = case.stacks[0], case.branches[-1]
    first = own.reused(stack, branch)[0]
    assert theirs.reused(stack, branch)[0] == first
    assert not torch.allclose(_output(own, case, first), _output(theirs, case, first), rtol=0, atol=1e-3)
    policy = policy_of(case)
    published = attrs.evolve(policy, predict=attrs.evolve(policy.predict, form="published"))
    _assert_same(case, run_own(case, published), theirs)


def _output(result: Result, case: Case, step: int) -> torch.Tensor:
    return result.outputs[len(case.branches) * (step + 1) - 1]


def test_taylor_extrapolates_from_two_anchors_here(reference: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    """There no difference is taken before step 3, in a plain warmup the fourth computed one; until then it copies.

    With that rule in place of ours everything agrees.
    """
    results = reference(OTHER)
    first = LATE_TAYLOR.warmup
    taylor, copy = run_own(LATE_TAYLOR), run_own(LATE_COPY)
    for stack in LATE_TAYLOR.stacks:
        for result in (taylor, copy, results["late-taylor"], results["late-copy"]):
            assert result.reused(stack, "cond_uncond")[:2] == [first, first + 2]
    _assert_same(LATE_COPY, copy, results["late-copy"])
    assert torch.equal(results["late-taylor"].outputs[first], results["late-copy"].outputs[first])
    assert not torch.allclose(results["late-taylor"].outputs[first + 2], results["late-copy"].outputs[first + 2])
    assert not torch.allclose(taylor.outputs[first], copy.outputs[first], rtol=0, atol=1e-3)
    monkeypatch.setattr(TaylorPredictor, "update", _without_early_differences)
    _assert_same(LATE_TAYLOR, run_own(LATE_TAYLOR), results["late-taylor"])


_update = TaylorPredictor.update


def _without_early_differences(predictor: TaylorPredictor, value: torch.Tensor, position: float) -> None:
    _update(predictor, value, position)
    if position < 3:
        predictor._differences = [value]


def test_threshold_of_one_measures_here(reference: Reference) -> None:
    """There a threshold of 1 or more means always and -1 is recorded; here it is a number like any other."""
    theirs, own = reference(OTHER)["always"], run_own(ALWAYS)
    open_steps = range(ALWAYS.warmup, ALWAYS.steps)
    for stack in ALWAYS.stacks:
        assert theirs.reused(stack, "cond_uncond") == list(open_steps)
        assert set(theirs.values(stack, "cond_uncond").values()) == {-1.0}
        values = own.values(stack, "cond_uncond")
        assert list(values) == list(open_steps)
        assert own.reused(stack, "cond_uncond") == [step for step in open_steps if values[step] < 1.0]
    assert values[ALWAYS.jump_at] > 1.0
    before = ALWAYS.jump_at
    _assert_same_outputs(_head(own, before), _head(theirs, before))


def _head(result: Result, calls: int) -> Result:
    return Result(result.steps, result.outputs[:calls])


@pytest.mark.parametrize("case", [ALWAYS, ALWAYS_LIMITED], ids=lambda case: case.name)
def test_always_is_what_one_means_there(case: Case, reference: Reference) -> None:
    theirs, own = reference(OTHER)[case.name], run_own(case, changed(policy_of(case), threshold="always"))
    for key in itertools.product(case.stacks, case.branches):
        assert own.reused(*key) == theirs.reused(*key)
        assert own.values(*key) == {}
    _assert_same_outputs(own, theirs)


def test_limits_hold_against_a_static_mask_here(reference: Reference) -> None:
    """There a static mask reuses every 0 of the mask, whatever the limits say."""
    results = reference(OTHER)
    zeros = [step for step, bit in enumerate(STATIC_LIMITED.mask or "") if bit == "0"]
    assert zeros == [4, 5, 6, 7, 9, 10, 11, 12, 16, 17, 18]
    limited, scarce = run_own(STATIC_LIMITED), run_own(STATIC_SCARCE)
    for stack in STATIC_LIMITED.stacks:
        assert results["static-limited"].reused(stack, "cond_uncond") == zeros
        assert results["static-scarce"].reused(stack, "cond_uncond") == zeros
        assert limited.reused(stack, "cond_uncond") == [4, 5, 7, 9, 10, 12, 16, 17]
        assert scarce.reused(stack, "cond_uncond") == zeros[:5]
    before = 6
    _assert_same_outputs(_head(limited, before), _head(results["static-limited"], before))


def test_accumulated_is_reset_by_a_computed_step_here(reference: Reference) -> None:
    """There the sum is a budget for the run, which here has to be asked for with `reset: never`."""
    theirs = reference(OTHER)["budget"]
    own = run_own(BUDGET, changed(policy_of(BUDGET), max_accumulated=Accumulated(0.6)))
    _assert_same(BUDGET, run_own(BUDGET), theirs)
    for stack in BUDGET.stacks:
        values = theirs.values(stack, "cond_uncond")
        spent = [step for step in values if sum(v for s, v in values.items() if s <= step) >= 0.6]
        assert theirs.reused(stack, "cond_uncond")[-1] <= spent[0] < BUDGET.steps - 3
        assert own.reused(stack, "cond_uncond")[-1] > spent[0]
        assert _longest_sum(own, stack) < 0.6 + BUDGET.threshold


def _longest_sum(result: Result, stack: str) -> float:
    """Return the largest sum of measured values between two computed steps."""
    largest = total = 0.0
    for step in result.steps[stack, "cond_uncond"]:
        total = total + (step.value or 0.0) if step.reused else 0.0
        largest = max(largest, total)
    return largest


def test_follow_first_decides_as_a_shared_measurement_does(reference: Reference) -> None:
    """There the second branch is given the first one's value; here it follows the verdict and has no value."""
    theirs, own = reference(OTHER)["follow"], run_own(FOLLOW)
    for stack in FOLLOW.stacks:
        assert theirs.values(stack, "uncond") == theirs.values(stack, "cond")
        assert own.values(stack, "cond") == pytest.approx(theirs.values(stack, "cond"), rel=1e-5, abs=0)
        assert own.values(stack, "uncond") == {}
        for branch in FOLLOW.branches:
            assert own.reused(stack, branch) == theirs.reused(stack, branch)
    _assert_same_outputs(own, theirs)


def test_changed_shapes_compute_on_both_sides(reference: Reference) -> None:
    """A step whose batch has another size is recorded as -2 there; here it has no value."""
    theirs, own = reference(OTHER)["grow"], run_own(GROW)
    for stack in GROW.stacks:
        expected = theirs.values(stack, "cond_uncond")
        assert expected.pop(GROW.grow_at) == -2.0
        assert own.values(stack, "cond_uncond") == pytest.approx(expected, rel=1e-5, abs=0)
        assert own.reused(stack, "cond_uncond") == theirs.reused(stack, "cond_uncond")
        assert GROW.grow_at not in own.reused(stack, "cond_uncond")
        assert any(step > GROW.grow_at for step in own.reused(stack, "cond_uncond"))
    _assert_same_outputs(own, theirs)


@pytest.mark.parametrize("case", PRUNED, ids=lambda case: case.name)
def test_pruning_agrees(case: Case, reference: Reference) -> None:
    """The same blocks measured with the same values, the same steps with a pruned block, the same outputs."""
    theirs, own = reference(OTHER)[case.name], run_own(case)
    for key in own.steps:
        assert own.reused(*key) == theirs.reused(*key), key
        values, expected = own.values(*key), theirs.values(*key)
        assert values.keys() == expected.keys(), key
        for step, measured in values.items():
            assert measured == pytest.approx(expected[step], rel=1e-5), (key, step)
    for call, (ours, reference_output) in enumerate(zip(own.outputs, theirs.outputs, strict=True)):
        apart = float((ours - reference_output).abs().max() / reference_output.abs().max())
        assert apart <= 1e-5, f"call {call}: outputs are {apart:.3g} of the largest value apart"


def test_pruning_is_not_trivial(reference: Reference) -> None:
    mixed = 0
    for case in PRUNED:
        for key, steps in reference(OTHER)[case.name].steps.items():
            blocks = case.blocks - case.front - case.back - len(case.keep)
            mixed += sum(r.reused and len(r.value or ()) == blocks and max(r.value) > case.threshold for r in steps)
            assert key
    assert mixed > 20

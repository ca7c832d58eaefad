"""A policy that an engine can say comes back from that engine's settings as a policy with the same plan."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cachedsl import PolicyError, compile_policy, load_policy
from cachedsl.convert.cache_dit import policy_from_options
from cachedsl.convert.engine import Asked
from cachedsl.convert.notes import ConversionError
from cachedsl.convert.registry import UnknownEngine, convert, engines, write_policy
from cachedsl.explain.diff import diff
from cachedsl.language.policy import Policy
from cachedsl.plan.ir import Plan
from cachedsl.plan.model_shape import ModelShape, StackShape
from tests.strategies import policies

STACKS = [StackShape("double", 19, modulated=True), StackShape("single", 38, modulated=True)]
SHAPE = ModelShape([*STACKS, StackShape("blocks", 40, "transformer_2", modulated=True)], "model")
WRITABLE = [engine.name for engine in engines() if engine.write is not None]

options = st.fixed_dictionaries(
    {},
    optional={
        "Fn_compute_blocks": st.integers(1, 8),
        "Bn_compute_blocks": st.integers(0, 8),
        "residual_diff_threshold": st.floats(0.001, 1.2),
        "max_warmup_steps": st.integers(0, 9),
        "max_cached_steps": st.integers(-1, 9),
        "max_continuous_cached_steps": st.integers(-1, 9),
        "max_accumulated_residual_diff_threshold": st.floats(0.1, 3),
        "enable_separate_cfg": st.booleans(),
        "steps_computation_mask": st.sampled_from(["fast", "ultra"]) | st.lists(st.integers(0, 1), min_size=12, max_size=12),
        "steps_computation_policy": st.sampled_from(["dynamic", "static"]),
        "enable_taylorseer": st.booleans(),
        "enable_encoder_taylorseer": st.booleans(),
        "taylorseer_order": st.integers(1, 5),
        "force_refresh_step_hint": st.integers(1, 20),
    },
)  # fmt: skip
few = st.sets(st.sampled_from(["Fn_compute_blocks", "residual_diff_threshold", "max_warmup_steps"]), min_size=1)


@st.composite
def of_cache_dit(draw: st.DrawFn) -> Policy:
    """A policy that cache-dit can say; some of those that are simple enough for engines with few settings."""
    chosen = draw(options)
    if draw(st.booleans()):
        keep = draw(few) | {"enable_taylorseer", "enable_encoder_taylorseer", "steps_computation_mask"}
        chosen = {name: value for name, value in chosen.items() if name in keep}
    found = policy_from_options(chosen, steps=12)
    assume(not found.errors)
    return found.policy()


@st.composite
def of_whole_steps(draw: st.DrawFn) -> Policy:
    """A policy that decides over whole steps, by a signal that caches of this kind have."""
    tap = draw(st.sampled_from(["modulated_input", "magnitude", "transform_rate", "filtered_latent", "residual"]))
    more = {
        "modulated_input": {"rescale": draw(st.lists(st.floats(-9, 9), min_size=1, max_size=4))},
        "magnitude": {"ratios": draw(st.lists(st.floats(0.5, 2), min_size=12, max_size=12))},
        "filtered_latent": {"exponent": draw(st.sampled_from([2.0, 3.0]))},
    }.get(tap, {})
    reuse: dict[str, Any] = {"threshold": draw(st.floats(0.01, 0.9)), "signal": {"tap": tap, **more}}
    if draw(st.booleans()):
        reuse["max_continuous"] = draw(st.integers(1, 6))
    return Policy(
        compute="F1B0" if tap == "residual" else "F0B0",  # type: ignore[arg-type]
        span="joined",
        warmup=draw(st.integers(1, 6)),  # type: ignore[arg-type]
        tail=draw(st.integers(0, 2)),
        reuse=reuse,  # type: ignore[arg-type]
        predict=draw(st.sampled_from(["copy", "taylor"])),  # type: ignore[arg-type]
    )


def comes_back(policy: Policy, engine: str, steps: int = 12) -> bool | None:
    """Tell whether a policy comes back with the same plan; None where the engine cannot say it."""
    asked = Asked(steps)
    written = write_policy(policy, engine, asked)
    if any(note.severity == "error" for note in written.notes):
        return None
    found = convert(written.text, "x", engine=engine, asked=asked)
    assert not found.errors, (written.text, found.errors)
    try:
        plan = compile_policy(policy, SHAPE, steps)
    except PolicyError:
        return None
    again = compile_policy(found.converted.policy(), SHAPE, steps)
    changes = diff(plan, again).changes
    # the first step is computed for lack of history, and no limit is reached that is as long as the run
    same = {("warmup.steps", "0", "1"), ("warmup.steps", "1", "0"), ("reuse.max_continuous", "–", str(steps))}
    if policy.cfg.mode == "fused":  # one call serves all branches, so there is none to follow
        same.add(("cfg.decision", "follow_first", "per_branch"))
    changes = tuple(change for change in changes if (".".join(change.key), change.before, change.after) not in same)
    keys = {change.key[0] if change.key else change.what for change in changes}
    if policy.reuse.threshold == "always" and "tail" in keys <= {"tail", "steps"}:
        # without measuring, a tail is written into the mask, which computes the same steps
        assert _verdicts(plan) == _verdicts(again)
        return True
    assert not changes, (written.text, changes)
    return True


def _verdicts(plan: Plan) -> list[list[str]]:
    return [[entry.verdict for entry in stack.table or ()] for stack in plan.stacks]


def test_a_tail_without_measuring_comes_back_as_a_mask() -> None:
    policy = Policy(compute="F1B0", warmup=0, tail=1, reuse={"threshold": "always"})  # type: ignore[arg-type]
    assert comes_back(policy, "cache-dit")


@pytest.mark.parametrize("engine", WRITABLE)
@settings(max_examples=30, deadline=None)
@given(policy=of_cache_dit() | of_whole_steps() | policies())
def test_what_can_be_said_comes_back(engine: str, policy: Policy) -> None:
    comes_back(policy, engine)


SAID = {
    "cache-dit": ["F4B0_W4MC3_R0.12_T1_CFG1", "dbprune", "dbprune-dynamic", "f8b8-taylor"],
    "sglang": ["F1B0_W4MC3_R0.24", "F2B1_W2MC1_R0.1_T2_SCM111001100101"],
    "vllm-omni": ["F1B0_W4MC3_R0.24", "F4B2_W4M7MC3_R0.12", "teacache-flux", "magcache-flux"],
    "tensorrt-llm": ["F1B0_W4MC3_R0.24_CFG1", "teacache-flux", "teacache-wan"],
    "stable-diffusion.cpp": ["f8b0", "F2B0_W4_R0.25_SCM111001100101", "F2B0_W4_R0.25_T1"],
    "diffusers": ["fbcache", "magcache-flux", "seacache"],
}


@pytest.mark.parametrize(("engine", "name"), [(engine, name) for engine, names in SAID.items() for name in names])
def test_these_can_be_said(engine: str, name: str) -> None:
    policy = load_policy(name)
    if policy.predict.method == "taylor" and policy.predict.order > 1:
        policy = attrs.evolve(policy, predict=attrs.evolve(policy.predict, form="published"))
    assert comes_back(policy, engine, 28 if name == "magcache-flux" else 12)


def test_every_writable_engine_has_policies_that_it_can_say() -> None:
    assert sorted(SAID) == sorted(WRITABLE)


def test_a_schedule_of_diffusers_comes_back() -> None:
    from cachedsl.convert.diffusers_caches import schedule

    for interval, before, after in [(5, 3, None), (3, 2, None), (2, 4, 17), (6, 1, 18)]:
        bits = schedule(20, interval, before, after)
        policy = Policy(
            compute="F0B0",  # type: ignore[arg-type]
            warmup=before,  # type: ignore[arg-type]
            reuse={"threshold": "always"},  # type: ignore[arg-type]
            steps={"bits": bits, "otherwise": "static"},  # type: ignore[arg-type]
            predict="taylor",  # type: ignore[arg-type]
        )
        assert comes_back(policy, "diffusers", 20)


@pytest.mark.parametrize("engine", [engine.name for engine in engines() if engine.write is None])
def test_what_nothing_is_written_for_is_told(engine: str) -> None:
    with pytest.raises(UnknownEngine, match=f"nothing is written for {engine}"):
        write_policy(load_policy("f8b0"), engine)


def test_a_mask_without_a_step_count_is_named(recwarn: pytest.WarningsRecorder) -> None:
    notes = write_policy(load_policy("scm-fast"), "sglang").notes
    assert any("step count must be known" in note.message for note in notes)


def test_errors_of_a_conversion_are_all_told() -> None:
    found = convert("cache_config: {Fn_compute_blocks: x, Bn_compute_blocks: y}\n", "a.yaml")
    with pytest.raises(ConversionError) as caught:
        found.converted.policy()
    assert "Fn_compute_blocks" in str(caught.value)
    assert "Bn_compute_blocks" in str(caught.value)

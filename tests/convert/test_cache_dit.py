"""cache-dit's options as policies: the policies of the differential tests, which cache-dit is known to agree with."""

from __future__ import annotations

import itertools
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachedsl.convert.cache_dit import (
    ALIASES,
    OPTIONS,
    options_from_policy,
    policy_from_options,
    runtime_from_options,
)
from cachedsl.convert.notes import ConversionError
from cachedsl.language.parts import Reuse
from cachedsl.language.policy import Policy
from cachedsl.language.runtime import Parallel
from tests.differential import test_cache_dit as known
from tests.differential.cases import Case
from tests.differential.own import changed, policy_of

STATIC = {"steps_computation_mask": [1, 0], "steps_computation_policy": "static"}
FIELDS = {"front": "Fn_compute_blocks", "back": "Bn_compute_blocks", "threshold": "residual_diff_threshold"}


def options_of(case: Case) -> dict[str, Any]:
    """The case as `tests/differential/reference_runner.py` gives it to cache-dit, in flat keys."""
    found: dict[str, Any] = {
        **{name: getattr(case, field) for field, name in FIELDS.items()},
        "max_warmup_steps": case.warmup,
        "warmup_interval": case.warmup_interval,
        "max_cached_steps": -1 if case.max_total is None else case.max_total,
        "max_continuous_cached_steps": -1 if case.max_continuous is None else case.max_continuous,
        "max_accumulated_residual_diff_threshold": case.max_accumulated,
        "enable_separate_cfg": case.cfg == "separate",
        "cfg_compute_first": case.uncond_first,
        "cfg_diff_compute_separate": not (case.follow_first or case.uncond_first),
        "num_inference_steps": case.steps,
        "steps_computation_mask": None if case.mask is None else [int(bit) for bit in case.mask],
        "steps_computation_policy": case.otherwise,
        "force_refresh_step_hint": None if case.refresh_at is None else case.refresh_at * len(case.branches),
        "force_refresh_step_policy": "repeat" if case.refresh_repeat else "once",
    }
    if case.prune is not None:
        found |= {
            "cache_type": "DBPrune",
            "enable_dynamic_prune_threshold": case.prune == "dynamic",
            "non_prune_block_ids": case.keep,
        }
    if case.taylor is not None:
        found |= {"enable_taylorseer": True, "enable_encoder_taylorseer": True, "taylorseer_order": case.taylor}
    if case.dmd is not None:
        found |= {"enable_dmd": True, "dmd_history": case.dmd}
    if case.signal == "hidden_states":
        found["l1_hidden_states_diff_threshold"] = case.threshold
    if case.token_floor:
        found["important_condition_threshold"] = case.token_floor
    if case.stride > 1:
        found["downsample_factor"] = case.stride
    return found


def overrides_of(case: Case) -> dict[str, dict[str, Any]]:
    return {stack: {FIELDS[key]: value for key, value in one.items()} for stack, one in case.overrides.items()}


def expected(case: Case) -> Policy:
    """What the differential tests found to decide as cache-dit does, where that is not `policy_of` itself."""
    policy = policy_of(case)
    if case.threshold >= 1:
        policy = changed(policy, threshold="always")
    if case.otherwise == "static":
        policy = changed(policy, max_total=None, max_continuous=None)
    if (case.taylor or 0) > 1:
        policy = attrs.evolve(policy, predict=attrs.evolve(policy.predict, form="published"))
    if case.prune is not None:
        policy = changed(policy, signal=Reuse().signal)
    if case.threshold == 0:
        policy = changed(policy, signal=Reuse().signal)
    return policy


CASES = [
    *itertools.chain(known.FLUX, known.DIT, known.SINGLE, known.FAMILIES, known.DMD, known.ECONOMIES, known.PRUNED)
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_options_mean_the_policy_that_cache_dit_agrees_with(case: Case) -> None:
    converted = policy_from_options(options_of(case), overrides=overrides_of(case))
    assert not converted.errors
    assert converted.steps == case.steps
    assert_same(converted.policy(case.name), expected(case), case)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_policy_goes_back_to_options_that_mean_it(case: Case) -> None:
    policy = expected(case)
    exported = options_from_policy(policy, steps=case.steps)
    assert not exported.errors
    again = policy_from_options(exported.options, overrides=exported.stacks)
    assert_same(again.policy(policy.name), policy, case)


def assert_same(policy: Policy, other: Policy, case: Case) -> None:
    assert attrs.evolve(policy, stacks=()) == attrs.evolve(other, stacks=())
    for stack in case.stacks:
        assert policy.for_stack("transformer", stack) == other.for_stack("transformer", stack)


def test_an_override_stands_for_itself_beside_what_all_others_have() -> None:
    base = {"max_cached_steps": 5, "enable_taylorseer": True, "taylorseer_order": 2, "max_warmup_steps": 4}
    override = {"max_cached_steps": -1, "taylorseer_order": 1, "warmup_interval": 2}
    policy = policy_from_options(base, overrides={"blocks": override}).policy()
    alone = policy_from_options({**base, **override}).policy()
    assert policy.for_stack("transformer", "blocks") == alone.for_stack("transformer", "blocks")
    assert policy.for_stack("transformer", "others") == policy_from_options(base).policy().for_stack("", "")


def test_no_option_is_the_default_policy_but_for_nothing() -> None:
    assert policy_from_options({}).tree == {"version": 1}
    assert policy_from_options(dict.fromkeys(OPTIONS)).tree == {"version": 1}
    assert policy_from_options({name: one.default for name, one in OPTIONS.items()}).tree == {"version": 1}


@pytest.mark.parametrize(
    ("options", "tree"),
    [
        ({"warmup_steps": 3, "max_pruned_steps": 7}, {"warmup": 3, "reuse": {"max_total": 7}}),
        ({"cache_type": "FBCache", "warmup_steps": 4}, {"compute": "F1B0", "warmup": 4}),
        (
            {"enable_taylorseer": True, "enable_encoder_taylorseer": True, "taylorseer_kwargs": {"n_derivatives": 2}},
            {"predict": {"method": "taylor", "order": 2, "form": "published"}},
        ),
        ({"Fn_compute_blocks_ids": [], "Bn_compute_blocks_ids": []}, {}),
        ({"enable_spearate_cfg": True}, {"cfg": "separate"}),
        ({"cfg_diff_compute_separate": False}, {"cfg": {"decision": "follow_first"}}),
        ({"cache_type": "DBPrune", "residual_cache_update_interval": 2}, {"prune": {"update_interval": 2}}),
        (
            {"Bn_compute_blocks": 4, "Bn_compute_blocks_ids": [3, 1]},
            {"compute": {"front": 8, "back": 4, "back_blocks": [1, 3], "back_threshold": 0.08}},
        ),
        ({"enable_taylorseer": True}, {"predict": {"method": "taylor", "streams": ["hidden"]}}),
        ({"enable_taylorseer": True, "taylorseer_order": 0}, {}),
        ({"enable_dmd": True, "enable_encoder_dmd": False}, {"predict": {"method": "dmd", "streams": ["hidden"]}}),
        ({"enable_foca": True, "enable_encoder_foca": True}, {"predict": "foca"}),
        (
            {"enable_encoder_calibrator": True, "calibrator_type": "foca"},
            {"predict": {"method": "foca", "streams": ["encoder"]}},
        ),
        ({"cache_type": "NONE", "Fn_compute_blocks": 2}, {"reuse": {"threshold": 0}}),
        ({"num_inference_steps": 20, "steps_computation_mask": "fast"}, {"steps": "11111101000100001000"[:20]}),
        ({"num_inference_steps": 6, "steps_computation_mask": [1, 1, 0]}, {"steps": "110000"}),
        ({"num_inference_steps": 2, "steps_computation_mask": [1, 1, 0]}, {"steps": "11"}),
    ],
)
def test_spellings(options: dict[str, Any], tree: dict[str, Any]) -> None:
    converted = policy_from_options(options)
    if "fast" not in options.values():
        assert converted.tree == {"version": 1, **tree}
    else:
        bits = converted.tree["steps"]
        assert (bits[:8], bits[-1], bits.count("1")) == ("11111101", "1", 8)
    assert not converted.errors
    converted.policy()


@pytest.mark.parametrize(
    ("options", "path", "said"),
    [
        ({"enable_sperate_cfg": True}, "enable_sperate_cfg", "did you mean `enable_separate_cfg`?"),
        ({"Fn_compute_blocks": 0}, "Fn_compute_blocks", "expected a whole number of at least 1, got `0`"),
        ({"max_cached_steps": -2}, "max_cached_steps", "expected a whole number of at least -1"),
        ({"residual_diff_threshold": float("nan")}, "residual_diff_threshold", "expected a finite number"),
        ({"dmd_ridge": "1e-8"}, "dmd_ridge", 'expected a number from 0 to 1, got `"1e-8"`'),
        ({"cache_type": "TeaCache"}, "cache_type", "expected `DBCache`, `DBPrune` or `FBCache`"),
        ({"steps_computation_mask": "fast"}, "steps_computation_mask", "set `num_inference_steps`"),
        ({"steps_computation_mask": [1, 2]}, "steps_computation_mask", "expected a list of 0 and 1"),
        (
            {"steps_computation_mask": "fast", "num_inference_steps": 5},
            "steps_computation_mask",
            "presets for 4 and 6 steps only, not for 5",
        ),
        ({"enable_taylorseer": True, "enable_dmd": True}, "enable_dmd", "exclude each other"),
        ({"force_refresh_step_hint": 7, "enable_separate_cfg": True}, "force_refresh_step_hint", "8 is before step 4"),
        ({"max_warmup_steps": 3, "warmup_steps": 4}, "warmup_steps", "`max_warmup_steps` is the same option"),
        ({"enable_alter_cache": True}, "enable_alter_cache", "a fixed pattern of computed and reused steps is a mask"),
        ({"taylorseer_kwargs": {"warmup_steps": 3}}, "taylorseer_kwargs", "set `max_warmup_steps`"),
        ({"Fn_compute_blocks_ids": [0]}, "Fn_compute_blocks_ids", "every front block always runs here"),
    ],
)
def test_what_is_wrong_or_cannot_be_carried_over_is_an_error_at_its_key(
    options: dict[str, Any], path: str, said: str
) -> None:
    converted = policy_from_options(options)
    (note,) = converted.errors
    assert note.path[0] == path
    assert said in str(note)
    with pytest.raises(ConversionError) as raised:
        converted.policy()
    assert str(raised.value) == str(note)


@pytest.mark.parametrize(
    ("options", "path", "said"),
    [
        ({"max_continuous_cached_steps": 2, **STATIC}, "max_continuous_cached_steps", "reads no limit"),
        ({"non_prune_block_ids": [1]}, "non_prune_block_ids", "only `cache_type: DBPrune` reads it"),
        ({"dmd_history": 7}, "dmd_history", "no calibrator that is in use reads it"),
        ({"cfg_compute_first": True, "enable_separate_cfg": False}, "cfg_compute_first", "one call serves all"),
        ({"steps_computation_policy": "static"}, "steps_computation_policy", "there is no `steps_computation_mask`"),
        ({"force_refresh_step_hint": 9}, "force_refresh_step_hint", "counts calls of the transformer"),
        ({"enable_foca": True, "enable_encoder_foca": True}, "enable_foca", "it predicts otherwise"),
        ({"cache_type": "dbcache"}, "cache_type", "write `DBCache`"),
        ({"enable_taylorseer": True, "max_warmup_steps": 2}, "max_warmup_steps", "from 4 warmup steps on"),
        ({"residual_diff_threshold": -0.1}, "residual_diff_threshold", "computes every step below 0"),
    ],
)
def test_what_is_read_differently_or_not_at_all_is_named(options: dict[str, Any], path: str, said: str) -> None:
    converted = policy_from_options(options)
    (note,) = converted.notes
    assert (note.severity, note.path) == ("warning", (path,))
    assert said in str(note)
    converted.policy()


@pytest.mark.parametrize(
    ("policy", "path"),
    [
        (Policy(span="joined"), ("span",)),
        (Policy(compute="F0B0", reuse={"threshold": "always"}), ("compute",)),
        (Policy(predict="hermite"), ("predict", "method")),
        (Policy(predict={"method": "taylor", "order": 2}), ("predict", "form")),
        (Policy(predict={"method": "taylor", "horizon": 2}), ("predict", "horizon")),
        (Policy(reuse={"max_accumulated": 1.0}), ("reuse", "max_accumulated")),
        (Policy(reuse={"threshold": 1.5}), ("reuse", "threshold")),
        (Policy(reuse={"signal": "transform_rate"}, compute="F0B0"), ("compute",)),
        (Policy(reuse={"signal": {"tap": "residual", "metric": "cosine"}}), ("reuse", "signal")),
        (Policy(tail=2), ("tail",)),
        (Policy(warmup="20%"), ("warmup", "steps")),
        (Policy(steps={"every": 3}), ("steps",)),
        (Policy(stacks={"blocks": {"prune": {}}}), ("stacks", "blocks", "prune")),
    ],
)
def test_what_cache_dit_cannot_say_is_an_error_at_its_key(policy: Policy, path: tuple[str, ...]) -> None:
    assert path in [note.path for note in options_from_policy(policy).errors]


def test_a_tail_and_shares_become_a_mask_and_numbers_where_the_step_count_is_known() -> None:
    options = options_from_policy(Policy(warmup="20%", tail="10%"), steps=20).options
    assert options["max_warmup_steps"] == 4
    assert "".join(map(str, options["steps_computation_mask"])) == "1111" + "0" * 14 + "11"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 99) | st.floats(-1, 2) | st.sampled_from(["fast", "1101", "DBPrune"]),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
VALUES = {
    "cache_type": st.sampled_from(["DBCache", "DBPrune", "NONE"]),
    "Fn_compute_blocks": st.integers(1, 9),
    "Bn_compute_blocks": st.integers(0, 9),
    "residual_diff_threshold": st.floats(-0.5, 2),
    "max_cached_steps": st.integers(-1, 9),
    "max_accumulated_residual_diff_threshold": st.floats(0, 2),
    "enable_separate_cfg": st.booleans(),
    "cfg_compute_first": st.booleans(),
    "cfg_diff_compute_separate": st.booleans(),
    "num_inference_steps": st.sampled_from([4, 6, 20, 28]),
    "steps_computation_mask": st.sampled_from(["fast", [1, 1, 0, 1], [0] * 20]),
    "steps_computation_policy": st.sampled_from(["dynamic", "static"]),
    "force_refresh_step_hint": st.integers(1, 9),
    "downsample_factor": st.integers(1, 4),
    "enable_dynamic_prune_threshold": st.booleans(),
    "max_dynamic_prune_threshold": st.floats(0, 1),
    "Bn_compute_blocks_ids": st.lists(st.integers(0, 3)),
    "taylorseer_order": st.integers(1, 3),
    "taylorseer_cache_type": st.sampled_from(["residual", "hidden_states"]),
} | dict.fromkeys(["enable_taylorseer", "enable_encoder_taylorseer", "enable_dmd", "enable_foca"], st.booleans())


@given(st.dictionaries(st.sampled_from([*OPTIONS, *ALIASES, "stranger"]), JSON))
def test_nothing_raises_whatever_the_options_hold(options: dict[str, Any]) -> None:
    converted = policy_from_options(options)
    assert {note.path[0] for note in converted.notes} <= {*options, "max_warmup_steps", "taylorseer_order"}
    if converted.errors:
        with pytest.raises(ConversionError):
            converted.policy()


@given(st.fixed_dictionaries({}, optional=VALUES))
def test_every_setting_takes_effect_or_is_named(options: dict[str, Any]) -> None:
    """Taking one option out changes the policy, or a note was about it, or it was at its default."""
    converted = policy_from_options(options)
    if converted.errors:
        return
    named = {note.path[0] for note in converted.notes} | {"num_inference_steps"}
    for name, value in options.items():
        rest = {key: other for key, other in options.items() if key != name}
        same = policy_from_options(rest).tree == converted.tree
        assert not same or name in named or value in (OPTIONS[name].default, False) or _idle(name, options)


def _idle(name: str, options: dict[str, Any]) -> bool:
    """Whether it goes without saying that an option changes nothing."""
    if options.get("cache_type") == "NONE":
        return True
    limits = name == "max_accumulated_residual_diff_threshold" and options[name] == 0
    encoder = name == "enable_encoder_taylorseer"
    separate = name in ("cfg_diff_compute_separate", "enable_separate_cfg") and options.get("cfg_compute_first", False)
    return limits or encoder or separate


@given(st.fixed_dictionaries({}, optional=VALUES))
def test_what_was_converted_goes_back_and_means_the_same(options: dict[str, Any]) -> None:
    converted = policy_from_options(options)
    try:
        policy = converted.policy()
    except ConversionError:
        return
    exported = options_from_policy(policy, steps=converted.steps)
    if exported.errors:
        assert {note.path[-1] for note in exported.errors} <= {"back_blocks", "streams", "steps", "target"}
        return
    assert policy_from_options(exported.options).policy() == policy


@pytest.mark.parametrize(
    ("parallelism", "tree"),
    [
        ({"ulysses_size": 2, "tp_size": 2}, {"ulysses": 2, "tensor": 2}),
        ({"ulysses": 2, "ring": 4, "backend": "auto"}, {"ulysses": 2, "ring": 4}),
        ({"ulysses_size": 1, "ring_size": 2, "ring_rotate_method": "p2p"}, {"ring": 2}),
        (
            {"ulysses_size": 2, "parallel_kwargs": {"experimental_ulysses_anything": True}},
            {"ulysses": 2, "uneven": True},
        ),
    ],
)
def test_parallelism(parallelism: dict[str, Any], tree: dict[str, Any]) -> None:
    converted = runtime_from_options(parallelism)
    assert (converted.tree, converted.notes) == ({"parallel": tree}, ())
    assert Policy(runtime=converted.tree).runtime.parallel == Parallel(**tree)


@pytest.mark.parametrize(
    ("quantize", "tree", "noted"),
    [
        ({"quant_type": "int8_weight_only", "regional_quantize": False, "exclude_layers": []}, "int8_weight_only", ()),
        ({"quant_type": "FLOAT8", "exclude_layers": ["proj"], "regional_quantize": False}, "float8_dynamic", ()),
        ({"regional_quantize": False, "exclude_layers": []}, "float8_dynamic", ()),
        (
            {"quant_type": "int8_per_tensor", "regional_quantize": False, "exclude_layers": []},
            "int8_dynamic",
            ("quant_type",),
        ),
        ({"quant_type": "int4_weight_only", "exclude_layers": None}, "int4_weight_only", ("regional_quantize",)),
    ],
)
def test_quantisation(quantize: dict[str, Any], tree: str, noted: tuple[str, ...]) -> None:
    converted = runtime_from_options(quantize=quantize)
    policy = Policy(runtime=converted.tree)
    ((name, part),) = policy.runtime.quantize
    excluded = tuple(f"*{layer}*" for layer in quantize.get("exclude_layers") or ())
    assert (name, part.kind, part.exclude) == ("transformer", tree, excluded)
    assert tuple(note.path[-1] for note in converted.notes) == noted


def test_components_are_quantised_by_what_is_said_of_each() -> None:
    of_each = {"transformer": {"quant_type": "float8_per_row"}, "text_encoder": {"quant_type": "float8_weight_only"}}
    tree = runtime_from_options(quantize={"components_to_quantize": of_each}).tree
    assert {name: part["kind"] for name, part in tree["quantize"].items()} == {
        "transformer": "float8_dynamic",
        "text_encoder": "float8_weight_only",
    }
    assert tree["quantize"]["text_encoder"]["exclude"] == ["*embedder*", "*embed*", "*modulation*", "*mod*"]
    listed = runtime_from_options(quantize={"components_to_quantize": ["vae"], "quant_type": "int8"}).tree
    assert list(listed["quantize"]) == ["vae"]


@pytest.mark.parametrize(
    ("parallelism", "quantize", "path"),
    [
        ({"ulysses_size": "auto"}, None, ("parallelism_config", "ulysses_size")),
        ({"ulysses_size": 2, "ulysses": 4}, None, ("parallelism_config", "ulysses")),
        ({"ulysses_size": 2, "use_ray": True}, None, ("parallelism_config", "use_ray")),
        ({"tp_size": 2, "extra_parallel_modules": ["vae"]}, None, ("parallelism_config", "extra_parallel_modules")),
        ({"ulysses_sice": 2}, None, ("parallelism_config", "ulysses_sice")),
        ({"tp_size": 0}, None, ("parallelism_config", "tp_size")),
        (None, {"quant_type": "svdq_int4_r32"}, ("quantize_config", "quant_type")),
        (None, {"quant_type": "flaot8"}, ("quantize_config", "quant_type")),
        (None, {"quantype": "int8"}, ("quantize_config", "quantype")),
        (None, {"precision_plan": {"to_q": "int8"}}, ("quantize_config", "precision_plan")),
        (None, {"components_to_quantize": "transformer"}, ("quantize_config", "components_to_quantize")),
    ],
)
def test_what_a_runtime_section_cannot_say_is_an_error_at_its_key(
    parallelism: Any, quantize: Any, path: tuple[str, ...]
) -> None:
    (note,) = runtime_from_options(parallelism, quantize).errors
    assert note.path == path
    assert str(note).startswith(path[-1])

"""What two processes do together; see test_processes.py."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist

from cachedsl.engines import EngineRefused, RanksDisagree
from cachedsl.engines.ranks import ranks_of_group
from cachedsl.language.masks import BitMask
from cachedsl.language.parts import Cfg, Compute, Dynamic, Predict, Prune, Signal, Warmup
from tests.parallel.common import STEPS, flux, over, policy, random_case, refusal, some_of_each
from tests.parallel.world import Case, drive, equals_one, everywhere, outcomes, run_inputs
from tests.tiny import call, tiny_pipeline, tiny_transformer
from tests.zoo.entries import ENTRIES

CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    CASES[function.__name__] = function
    return function


@case
def ulysses_measures_what_one_process_would() -> None:
    one = policy()
    some_of_each(equals_one(flux, one, over(one, ulysses=2), run_inputs("flux", STEPS)))


@case
def a_model_that_its_user_split_before_or_after_apply_is_known() -> None:
    from diffusers import ContextParallelConfig

    one, given = policy(), run_inputs("flux", STEPS)
    expected, alone = drive(flux(), one, given)
    for early in (True, False):
        model = flux()
        if early:
            model.enable_parallelism(config=ContextParallelConfig(ulysses_degree=2))
        cached = one.apply(model, num_inference_steps=STEPS)
        if not early:
            model.enable_parallelism(config=ContextParallelConfig(ulysses_degree=2))
        outputs = [model(**arguments, return_dict=False)[0] for arguments in given]
        found = [(s.stack, s.step, s.outcome) for s in cached.trace.steps()]
        assert all(told == found for told in everywhere(found))
        assert [outcome for *_, outcome in found] == [units[0] for *_, units in outcomes(alone)]
        torch.testing.assert_close(outputs, expected, rtol=1e-3, atol=2e-4)
        cached.remove()


@case
def a_first_block_that_splits_tokens_may_be_measured_and_reused() -> None:
    """Wan's and Qwen-Image's tokens are split by a hook of the first block."""
    mask = BitMask("11010010", "static")
    for name in ("wan", "qwenimage"):
        make, given = (lambda name=name: tiny_transformer(name, blocks=4)), run_inputs(name, STEPS)  # type: ignore[misc]
        if name == "qwenimage":
            for arguments in given:
                del arguments["encoder_hidden_states_mask"]
        for one in (
            policy(0.2),
            policy("always", compute=Compute(0, 0), steps=mask, predict=Predict("taylor", 1)),
            policy(0.2, compute=Compute(0, 0), signal=Signal("block_input")),
            policy(0.2, compute=Compute(0, 0), signal=Signal("transform_rate")),
            policy(0.15, compute=Compute(0, 0), prune=Prune()),
        ):
            some_of_each(equals_one(make, one, over(one, ulysses=2), given))


@case
def random_policies_on_tokens_that_do_not_divide() -> None:
    found = [random_case(seed, 2) for seed in range(5)]
    some_of_each([step for steps in found for step in steps])


@case
def a_size_that_changes_on_one_process_only_changes_for_both() -> None:
    """Of 9 tokens the first process has 5, of 10 it has 5 again; the other has one more."""
    one = policy("always")
    given = [*run_inputs("flux", 4, tokens=9), *run_inputs("flux", 4, tokens=10)]
    steps = equals_one(flux, one, over(one, ulysses=2, uneven=True), given)
    assert any("shape" in reason for *_, units in steps for _, reason, _ in units)


@case
def separate_guidance_measures_each_branch() -> None:
    one, text = policy(0.2, cfg=Cfg("separate")), run_inputs("flux", STEPS, seed=5)
    given = run_inputs("flux", STEPS)
    for arguments, other in zip(given, text, strict=True):
        arguments["uncond"] = {"encoder_hidden_states": other["encoder_hidden_states"]}
    steps = equals_one(flux, one, over(one, ulysses=2), given, branches=("cond", "uncond"))
    assert {branch for _, _, branch, _ in steps} == {"cond", "uncond"}
    some_of_each(steps)


@case
def a_pipeline_with_guidance_gives_what_one_process_gives() -> None:
    one = policy(0.2, cfg=Cfg("auto"))
    results = []
    for each in (one, over(one, ulysses=2, verify=True)):
        pipe = tiny_pipeline("wan22")  # of two transformers
        with each.apply(pipe) as cached:
            results.append((call(pipe, STEPS), [(s.step, s.branch, s.outcome) for s in cached.trace.steps()]))
    (expected, alone), (output, steps) = results
    assert steps == alone
    assert {"computed", "reused"} == {outcome for _, _, outcome in steps}
    assert len({branch for _, branch, _ in steps}) == 2
    torch.testing.assert_close(output, expected, rtol=1e-3, atol=2e-4)


TENSOR = (
    *("FluxTransformer2DModel", "QwenImageTransformer2DModel", "WanTransformer3DModel", "WanTransformer3DModel/i2v"),
    *("HunyuanVideoTransformer3DModel", "HunyuanImageTransformer2DModel", "ChromaTransformer2DModel"),
)


@case
def tensor_parallel_families_do_what_one_process_does() -> None:
    one = policy(0.3)
    for name in TENSOR:
        entry = ENTRIES[name]
        given = [entry.inputs(step, 4) for step in range(4)]
        steps = equals_one(entry.build, one, over(one, tensor=2), given)
        assert any(value is not None for *_, units in steps for *_, value in units), name


@case
def tensor_parallel_goes_with_pruning() -> None:
    one = policy(0.1, prune=Prune(dynamic=Dynamic()))
    some_of_each(equals_one(flux, one, over(one, tensor=2), run_inputs("flux", STEPS)))


@case
def ring_adds_up_what_each_process_attends_to() -> None:
    def make() -> Any:
        model = flux()
        model.set_attention_backend("_native_cudnn")
        return model

    one, given = policy(), run_inputs("flux", STEPS)
    expected, alone = drive(flux(), one, given)
    outputs, steps = drive(make(), over(one, ring=2), given)
    flux().set_attention_backend("native")  # which is all models' at once
    assert outcomes(steps) == outcomes(alone)
    assert all(told == steps for told in everywhere(steps))
    torch.testing.assert_close(outputs, expected, rtol=1e-3, atol=2e-4)


@case
def a_group_of_the_caller_decides_together_over_items_of_its_own() -> None:
    one, rank = policy(0.3), dist.get_rank()
    ranks = ranks_of_group(dist.group.WORLD, share_items=False)
    for group in (dist.group.WORLD, ranks):
        _, steps = drive(flux(), one, run_inputs("flux", STEPS, seed=rank), group=group, verify_ranks=True)
        assert all(told == steps for told in everywhere(steps))
        some_of_each(steps)
    model, given = flux(), run_inputs("flux", STEPS, seed=rank)
    with one.apply(model, num_inference_steps=STEPS, group=ranks, verify_ranks=True) as cached:
        for arguments in given:  # which are all that shows the step, and differ
            model(**arguments)
        assert everywhere([step.step for step in cached.trace.steps()]) == [[s // 2 for s in range(2 * STEPS)]] * 2
    _, alone = drive(flux(), one, run_inputs("flux", STEPS, seed=rank))
    values = everywhere([value for *_, units in alone for *_, value in units])
    assert values[0] != values[1], "alone they measure different values"


@case
def a_disagreement_is_raised_on_both_and_names_step_stack_and_ranks() -> None:
    rank, given = dist.get_rank(), run_inputs("flux", STEPS)
    others = [
        policy("always", warmup=Warmup(2 + rank)),
        policy(0.3, warmup=Warmup(2 + rank)),
        policy((0.3, 0.0001)[rank], compute=Compute(1, 0), prune=Prune()),
        policy(0.3, signal=Signal(("residual", "block_input")[rank])),
    ]
    found = []
    for one in others:
        try:
            drive(flux(), over(one, ulysses=2, verify=True), given)
        except RanksDisagree as error:
            found.append(str(error))
        else:
            found.append("")
    told = everywhere(found)
    assert told[0] == told[1], told
    steps = "rank {}: transformer.transformer_blocks, step 2: {}"
    for error, mine, other in zip(
        told[0],
        ("begins as reuse", "begins as open", "reuses unit 0 (below)"),
        ("begins as compute", "begins as compute", "computes unit 0 (above)"),
        strict=False,
    ):
        assert steps.format(0, mine) in error
        assert steps.format(1, other) in error
    assert told[0][3] == "", "the sums of both taps are added up, so they decide alike"


@case
def what_cannot_be_split_is_refused_with_the_numbers() -> None:
    one = policy()
    assert "ulysses 3 needs 3 processes, or a multiple of it, and there are 2" in refusal(flux, over(one, ulysses=3))
    assert "does not divide its 3 attention heads" in refusal(lambda: flux(num_attention_heads=3), over(one, ulysses=2))
    assert "tensor 2 does not divide its 3 attention heads" in refusal(
        lambda: flux(num_attention_heads=3), over(one, tensor=2)
    )
    assert "ring 2 needs attention that returns its log-sum-exp" in refusal(flux, over(one, ring=2))
    assert "(`_cp_plan`)" in refusal(lambda: tiny_transformer("hunyuan_video", blocks=3), over(one, ulysses=2))
    assert "neither diffusers" in refusal(lambda: tiny_transformer("cogvideox", blocks=3), over(one, tensor=2))
    uneven = refusal(flux, over(one, ulysses=2), run_inputs("flux", 2, tokens=15))
    assert "ulysses 2 does not divide the 15 tokens of `hidden_states` (1, 15, 16)" in uneven
    odd = run_inputs("qwenimage", 2)
    for arguments in odd:
        del arguments["encoder_hidden_states_mask"]
        arguments["encoder_hidden_states"] = arguments["encoder_hidden_states"][:, :5]
    qwen = refusal(lambda: tiny_transformer("qwenimage", blocks=3), over(one, ulysses=2), odd)
    assert "does not divide the 5 tokens of what `pos_embed` returns (5, " in qwen


@case
def one_process_that_refuses_stops_the_other() -> None:
    model = flux(num_attention_heads=3 if dist.get_rank() else 2)
    try:
        over(policy(), ulysses=2).apply(model)
    except EngineRefused as error:
        told = everywhere(str(error))
        assert "rank 1 refuses" in told[0]
        assert model._parallel_config is None
    else:
        raise AssertionError("both go on")


@case
def a_model_stays_split_and_is_taken_as_it_is() -> None:
    one, model, given = policy(), flux(), run_inputs("flux", STEPS)
    first = drive(model, over(one, ulysses=2), given)
    again = drive(model, over(one, ulysses=2), given)
    torch.testing.assert_close(first[0], again[0])
    plain = drive(model, one, given)
    assert plain[1] == first[1], "without a `runtime` it is known to be split, too"
    try:
        over(one, tensor=2).apply(model)
    except EngineRefused as error:
        assert "split by ulysses 2 already, and the policy says tensor 2" in str(error)
    else:
        raise AssertionError("it was split again")
    bare = [model(**arguments, return_dict=False)[0] for arguments in given]
    torch.testing.assert_close(
        bare, [flux()(**arguments, return_dict=False)[0] for arguments in given], rtol=1e-3, atol=2e-4
    )


@case
def a_model_that_is_compiled_as_a_whole_stays_in_one_graph_for_each_kind_of_step() -> None:
    import torch._dynamo.utils as dynamo

    one, given = policy(0.3, span="joined"), run_inputs("flux", STEPS)

    def make() -> Any:
        return tiny_transformer("flux", blocks=1)

    expected, alone = drive(make(), one, given)
    model = make()
    with over(one, ulysses=2).apply(model, num_inference_steps=STEPS) as cached:
        compiled = torch.compile(model, backend="eager")
        dynamo.counters.clear()
        outputs = [compiled(**arguments, return_dict=False)[0] for arguments in given]
        found = [step.outcome for step in cached.trace.steps()]
    assert [units[0] for *_, units in outcomes(alone)] == found
    assert {*found} == {"computed", "reused"}
    torch.testing.assert_close(outputs, expected, rtol=1e-3, atol=2e-4)
    assert not dynamo.counters["graph_break"]
    assert 1 < dynamo.counters["stats"]["unique_graphs"] <= 4
    assert everywhere(found)[0] == everywhere(found)[1]


@case
def without_accelerators_it_is_refused() -> None:
    """On a machine where nothing stands in for accelerators that it lacks."""
    from diffusers.hooks import tensor_parallel

    counts, devices = torch.accelerator.device_count, tensor_parallel._SUPPORTED_TP_DEVICES
    torch.accelerator.device_count = lambda: 0
    tensor_parallel._SUPPORTED_TP_DEVICES = ("cuda",)
    try:
        assert "this machine has 0" in refusal(flux, over(policy(), ulysses=2))
        assert "splits weights on cuda, and this machine has cpu" in refusal(flux, over(policy(), tensor=2))
    finally:
        torch.accelerator.device_count, tensor_parallel._SUPPORTED_TP_DEVICES = counts, devices

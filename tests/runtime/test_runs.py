"""Runs begin and end where they should, do not mix, and leave nothing behind when they break."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any

import pytest
import torch
from diffusers import FirstBlockCacheConfig

from cachedsl import CachedslError, Policy, PolicyError, attached
from cachedsl.language.masks import BitMask
from cachedsl.language.parts import Cfg, Compute, Predict, Reuse, Warmup
from cachedsl.matching.adapter import UnsupportedModel
from cachedsl.runtime.errors import AlreadyAttached, CfgMismatch, ConcurrentRun, StillRunning
from tests.tiny import call, inputs, tiny_pipeline, tiny_transformer

STEPS = 6
STATIC = Policy(
    name="static", compute=Compute(1, 0), warmup=Warmup(2), reuse=Reuse(threshold="always", max_continuous=2)
)
DYNAMIC = Policy(name="dynamic", compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse(threshold=0.5))
TAYLOR = Policy(
    name="taylor",
    compute=Compute(1, 1),
    warmup=Warmup(3),
    reuse=Reuse(threshold="always"),
    predict=Predict("taylor", 2),
)


def outcomes(cached: Any, **where: Any) -> str:
    return "".join("R" if s.outcome == "reused" else "C" for s in cached.trace.steps(**where))


def test_the_second_pipeline_of_a_class_is_untouched() -> None:
    first, second = tiny_pipeline("dit"), tiny_pipeline("dit")
    expected = call(second, STEPS)
    with STATIC.apply(first) as cached:
        changed = call(first, STEPS)
        before = len(cached.trace)
        assert torch.equal(call(second, STEPS), expected)
        assert len(cached.trace) == before
        assert type(second).__call__ is not type(first).__call__
    assert not torch.equal(changed, expected)


def test_two_policies_on_two_pipelines_do_not_mix() -> None:
    alone = []
    for policy in (STATIC, TAYLOR):
        pipe = tiny_pipeline("flux")
        with policy.apply(pipe):
            alone.append(call(pipe, STEPS))
    first, second = tiny_pipeline("flux"), tiny_pipeline("flux")
    with STATIC.apply(first) as a, TAYLOR.apply(second) as b:
        together = [call(first, STEPS), call(second, STEPS)]
        assert outcomes(a, stack="transformer_blocks") == "CCRRCR"
        assert outcomes(b, stack="transformer_blocks") == "CCCRRR"
    assert all(torch.equal(x, y) for x, y in zip(alone, together, strict=True))


def test_a_second_apply_raises_and_changes_nothing() -> None:
    pipe = tiny_pipeline("dit")
    with STATIC.apply(pipe) as cached:
        expected = call(pipe, STEPS)
        for target in (pipe, pipe.transformer):
            with pytest.raises(AlreadyAttached, match="already runs under policy 'static'"):
                DYNAMIC.apply(target)
        other = tiny_pipeline("dit")
        other.register_modules(transformer=pipe.transformer)
        with pytest.raises(AlreadyAttached):
            DYNAMIC.apply(other)
        assert torch.equal(call(pipe, STEPS), expected)
        assert attached(pipe) is cached
    assert attached(pipe) is None


def test_a_model_under_a_cache_of_diffusers_is_refused() -> None:
    pipe = tiny_pipeline("flux")
    pipe.transformer.enable_cache(FirstBlockCacheConfig(0.1))
    for target in (pipe, pipe.transformer):
        with pytest.raises(AlreadyAttached, match=r"FluxTransformer2DModel already runs .*disable_cache\(\) first"):
            STATIC.apply(target)
    assert attached(pipe) is None
    pipe.transformer.disable_cache()
    with STATIC.apply(pipe) as cached:
        assert cached.attached


def test_a_pipeline_that_shares_the_transformer_runs_uncached() -> None:
    pipe, other = tiny_pipeline("dit"), tiny_pipeline("dit")
    expected = call(other, STEPS)
    other.register_modules(transformer=pipe.transformer)
    with STATIC.apply(pipe) as cached:
        assert torch.equal(call(other, STEPS), expected)
        assert len(cached.trace) == 0


@pytest.mark.parametrize("name", ["dit", "flux", "wan", "wan22", "qwenimage", "cogvideox"])
@pytest.mark.parametrize("policy", [STATIC, TAYLOR, DYNAMIC], ids=lambda p: p.name)
def test_the_same_pipeline_twice_gives_the_same_output_twice(name: str, policy: Policy) -> None:
    pipe = tiny_pipeline(name)
    with policy.apply(pipe) as cached:
        first = call(pipe, STEPS)
        second = call(pipe, STEPS)
        records = [[(s.outcome, s.reason, s.value) for s in cached.trace.steps(run=run)] for run in (0, 1)]
        assert cached.held_bytes() == 0
    assert torch.equal(first, second)
    assert records[0] == records[1]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("where", ["block", "loop"])
def test_an_exception_in_the_middle_leaves_the_next_run_as_the_first(error: type[BaseException], where: str) -> None:
    pipe = tiny_pipeline("dit")
    with TAYLOR.apply(pipe) as cached:
        expected = call(pipe, STEPS)
        count = 0

        def explode(*_: Any) -> None:
            nonlocal count
            count += 1
            if count == 5:
                raise error("boom")

        module = pipe.transformer.transformer_blocks[0] if where == "block" else pipe.transformer
        handle = module.register_forward_hook(explode)
        with pytest.raises(error, match="boom"):
            call(pipe, STEPS)
        handle.remove()
        assert cached.held_bytes() == 0
        assert isinstance(pipe.transformer.transformer_blocks[0], torch.nn.Module)
        assert torch.equal(call(pipe, STEPS), expected)
        assert [r.reason for r in cached.trace.steps(run=2)] == [r.reason for r in cached.trace.steps(run=0)]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_in_a_bare_transformer_begins_a_new_run(error: type[BaseException]) -> None:
    model = tiny_transformer("dit")
    with STATIC.apply(model, num_inference_steps=STEPS) as cached, torch.no_grad():
        for i in range(4):
            model(**inputs("dit", i, STEPS))
        handle = model.transformer_blocks[0].register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(error("boom")))
        with pytest.raises(error):
            model(**inputs("dit", 4, STEPS))
        handle.remove()
        for i in range(STEPS):
            model(**inputs("dit", i, STEPS))
        assert outcomes(cached, run=1) == "CCRRCR"
        assert cached.held_bytes() == 0


def test_a_bare_transformer_begins_a_new_run_after_its_last_step() -> None:
    model = tiny_transformer("flux")
    policy = Policy(compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse(threshold="always"), cfg=Cfg("separate"))
    with policy.apply(model, num_inference_steps=3) as cached, torch.no_grad():
        for i in (0, 1, 2, 0, 1, 2):
            for branch in ("cond", "uncond"):
                model(**inputs("flux", i, 3, branch))
        for run in (0, 1):
            for branch in ("cond", "uncond"):
                assert outcomes(cached, run=run, branch=branch, stack="transformer_blocks") == "CRR"
        assert cached.held_bytes() == 0


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        (("cond",) * 4, {"cond": "CRRR"}),
        (("cond uncond",) * 4, {"cond": "CRRR", "uncond": "CRRR"}),
        (("cond uncond", "cond uncond", "cond", "cond"), {"cond": "CRRR", "uncond": "CR"}),
        (("cond", "cond uncond", "cond uncond", "cond"), {"cond": "CRRR", "uncond": "CR"}),
    ],
)
@pytest.mark.parametrize("explicit", [True, False])
def test_calls_to_a_bare_transformer_are_counted_by_their_timesteps(
    calls: tuple[str, ...], expected: dict[str, str], explicit: bool
) -> None:
    """A separate family without guidance, with it, with guidance at first and in the middle; two runs of each."""
    model = tiny_transformer("flux")
    policy = Policy(compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse(threshold="always"))
    with policy.apply(model, num_inference_steps=None if explicit else 4) as cached, torch.no_grad():
        for _ in range(2):
            with cached.run(steps=4) if explicit else nullcontext():
                for step, branches in enumerate(calls):
                    for branch in branches.split():
                        model(**inputs("flux", step, 4, branch))
        for run in (0, 1):
            for branch in ("cond", "uncond"):
                where = {"run": run, "branch": branch, "stack": "transformer_blocks"}
                assert outcomes(cached, **where) == expected.get(branch, "")
        uneven = {branch: len(seen) for branch, seen in expected.items()} == {"cond": 4, "uncond": 2}
        cached.summary()
        assert {w.code for w in cached.trace.warnings()} == ({"calls-differ"} if uneven else set())


def image(model: Any, name: str, seed: int, calls: int | None = None, steps: int = 6) -> list[torch.Tensor]:
    """Denoise without a pipeline; `calls` is after how many the caller goes away."""
    branch = "cond_uncond" if name == "dit" else "cond"
    with torch.no_grad():
        given = [inputs(name, step, steps, branch, seed=seed) for step in range(steps if calls is None else calls)]
        return [model(**each, return_dict=False)[0] for each in given]


@pytest.mark.parametrize("cfg", [Cfg(), Cfg("fused")])
@pytest.mark.parametrize("name", ["dit", "wan", "flux"])
@pytest.mark.parametrize("calls", [1, 2, 4])
def test_a_run_of_a_bare_transformer_that_is_left_between_calls_does_not_reach_the_next(
    calls: int, name: str, cfg: Cfg
) -> None:
    """A sampler that fails, or is interrupted, between two calls is seen by nobody."""
    model = tiny_transformer(name)
    policy = Policy(compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse(threshold="always"), cfg=cfg)
    with policy.apply(model, num_inference_steps=6):
        fresh = image(model, name, seed=2)
    with policy.apply(model, num_inference_steps=6) as cached:
        image(model, name, seed=1, calls=calls)
        assert all(torch.equal(a, b) for a, b in zip(image(model, name, seed=2), fresh, strict=True))
        assert len(cached.trace.steps(run=1, stack=cached.plan(6).stacks[0].shape.name)) == 6


def test_a_run_whose_thread_has_ended_gives_way_and_a_living_ones_does_not(caplog: pytest.LogCaptureFixture) -> None:
    model = tiny_transformer("dit")
    with STATIC.apply(model, num_inference_steps=6) as cached:
        worker = threading.Thread(target=image, args=(model, "dit", 1, 3))
        worker.start()
        worker.join()
        image(model, "dit", seed=2)
        assert outcomes(cached, run=1) == "CCRRCR"
        image(model, "dit", seed=3, calls=2)
        worker = threading.Thread(target=image, args=(model, "dit", 1, 3))
        worker.start()
        worker.join()
        assert outcomes(cached, run=2) == "CC"
        assert "called from another thread than the run in progress" in caplog.text


def test_a_call_for_each_branch_of_a_fused_family_is_a_branch_of_its_own() -> None:
    model = tiny_transformer("dit")
    with STATIC.apply(model, num_inference_steps=4) as cached, torch.no_grad():
        for step in range(4):
            for branch in ("cond", "uncond"):
                model(**inputs("dit", step, 4, branch))
        assert {s.run for s in cached.trace.steps()} == {0}
        assert outcomes(cached, branch="cond_uncond") == outcomes(cached, branch="branch_2") == "CCRR"


def test_an_error_under_another_policy_leaves_none_of_its_run() -> None:
    model = tiny_transformer("dit")
    plain = image(model, "dit", seed=2)
    exact = Policy(compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse(0.0))
    with exact.apply(model, num_inference_steps=6) as cached:
        under_another = cached.using(STATIC)
        with suppress(KeyError), under_another:
            image(model, "dit", seed=1, calls=4)
            raise KeyError
        assert all(torch.equal(a, b) for a, b in zip(image(model, "dit", seed=2), plain, strict=True))


@pytest.mark.parametrize("steps", [0, -1, 2.5, "8", True])
def test_a_step_count_is_a_whole_number_of_at_least_1(steps: Any) -> None:
    model = tiny_transformer("dit")
    message = re.escape(f"expected a whole number of at least 1, got {steps!r}")
    with pytest.raises(ValueError, match=message):
        STATIC.apply(model, num_inference_steps=steps)
    assert attached(model) is None
    with STATIC.apply(model) as cached, pytest.raises(ValueError, match=message), cached.run(steps=steps):
        pass


WRONG: dict[str, Callable[[Any], Any]] = {
    "the id of a run: expected a value that can be a key": lambda cached: cached.run(steps=3, id=[1]).__enter__(),
    "that can be a key, such as a request's number, got \\[1\\]": lambda cached: cached.end([1]),
    "the scheduler of a run: expected one": lambda cached: cached.run(steps=3, scheduler=3).__enter__(),
    "the step count of a run: .* got -1": lambda cached: cached.plan(-1),
    "the step count of a run: .* got 'x'": lambda cached: cached.plan("x"),
    "on_run: expected a function, got 3": lambda cached: cached.on_run(3),
    "watching: expected a function, got 3": lambda cached: cached.watching(3).__enter__(),
}


@pytest.mark.parametrize("says", WRONG)
def test_what_a_handle_cannot_be_given_is_named(says: str) -> None:
    with DYNAMIC.apply(tiny_transformer("dit")) as cached:
        with pytest.raises((TypeError, ValueError), match=says):
            WRONG[says](cached)
        assert cached.held_bytes() == 0
        with cached.run(steps=1):
            pass


@pytest.mark.parametrize("blocks", [False, True], ids=["a class", "a block list"])
def test_what_a_policy_cannot_be_applied_to_is_named(blocks: bool) -> None:
    pipe = tiny_pipeline("dit")
    target, says = (
        (pipe.transformer.transformer_blocks, "the transformer that") if blocks else (type(pipe), "an object")
    )
    with pytest.raises(UnsupportedModel, match=f"give it {says}"):
        DYNAMIC.apply(target)
    assert attached(target) is None


def test_a_removed_handle_says_so() -> None:
    cached = STATIC.apply(tiny_transformer("dit"))
    cached.remove()
    for use in (lambda: cached.run(steps=3), lambda: cached.using(DYNAMIC)):
        with pytest.raises(CachedslError, match="was removed"), use():
            pass


def test_run_delimits_a_bare_transformer() -> None:
    model = tiny_transformer("dit")
    with STATIC.apply(model) as cached, torch.no_grad():
        plain = model(**inputs("dit", 0, 4), return_dict=False)[0]
        assert len(cached.trace) == 0  # outside a run: uncached
        for _ in range(2):
            with cached.run(steps=4):
                for i in range(4):
                    first = (
                        model(**inputs("dit", i, 4), return_dict=False)[0] if i == 0 else model(**inputs("dit", i, 4))
                    )
                    assert i or torch.equal(first, plain)
                assert cached.held_bytes() > 0
            assert cached.held_bytes() == 0
        assert outcomes(cached) == "CCRR" * 2
        with cached.run(steps=4), pytest.raises(ConcurrentRun), cached.run(steps=4):
            pass


def test_two_runs_at_once_on_one_pipeline_raise_and_do_not_disturb_the_first() -> None:
    pipe = tiny_pipeline("flux")
    with STATIC.apply(pipe):
        expected = call(pipe, STEPS)
        caught: list[BaseException] = []

        def intrude(pipe: Any, i: int, t: Any, kwargs: Any) -> Any:
            if i == 2:
                thread = threading.Thread(target=lambda: _catch(lambda: call(pipe, STEPS), caught))
                thread.start()
                thread.join()
            return kwargs

        assert torch.equal(call(pipe, STEPS, callback_on_step_end=intrude), expected)
        assert [type(error) for error in caught] == [ConcurrentRun]


def _catch(action: Any, caught: list[BaseException]) -> None:
    try:
        action()
    except BaseException as error:
        caught.append(error)


def test_step_count_batch_and_resolution_may_change_between_runs() -> None:
    pipe = tiny_pipeline("flux")
    with TAYLOR.apply(pipe) as cached:
        for steps, overrides in ((6, {}), (4, {}), (5, {"height": 128}), (2, {"num_images_per_prompt": 2}), (1, {})):
            call(pipe, steps, **overrides)
            expected = ("CCC" + "R" * 9)[:steps]
            run = cached.summary().run
            assert outcomes(cached, run=run, stack="transformer_blocks") == expected


def test_a_shape_that_changes_within_a_run_is_computed() -> None:
    model = tiny_transformer("dit")
    for policy in (STATIC, DYNAMIC):
        with policy.apply(model) as cached, torch.no_grad(), cached.run(steps=5):
            for i, batch in enumerate((1, 1, 1, 2, 2)):
                got = model(**inputs("dit", i, 5, batch=batch), return_dict=False)[0]
                assert got.shape[0] == batch
            assert [s.reason for s in cached.trace.steps()][3] == "shape_changed"


def test_remove_inside_the_forward_is_refused() -> None:
    model = tiny_transformer("dit")
    cached = STATIC.apply(model, num_inference_steps=2)
    handle = model.transformer_blocks[0].register_forward_hook(lambda *_: cached.remove())
    with pytest.raises(StillRunning), torch.no_grad():
        model(**inputs("dit", 0, 2))
    handle.remove()
    cached.remove()
    assert attached(model) is None


def test_remove_between_steps_goes_on_uncached() -> None:
    pipe = tiny_pipeline("flux")
    cached = STATIC.apply(pipe)

    def stop(pipe: Any, i: int, t: Any, kwargs: Any) -> Any:
        if i == 2:
            cached.remove()
        return kwargs

    call(pipe, STEPS, callback_on_step_end=stop)
    assert outcomes(cached, stack="transformer_blocks") == "CCR"


def test_a_failed_apply_changes_nothing() -> None:
    pipe = tiny_pipeline("dit")
    keys = sorted(pipe.transformer.__dict__)
    with pytest.raises(PolicyError, match="blocks"):
        Policy(compute=Compute(80, 80)).apply(pipe)
    with pytest.raises(UnsupportedModel, match="no adapter knows a transformer of Linear"):
        STATIC.apply(torch.nn.Linear(2, 2))
    with pytest.raises(UnsupportedModel, match="apply\\(\\) takes a diffusers pipeline or a transformer"):
        STATIC.apply("flux")
    assert sorted(pipe.transformer.__dict__) == keys
    assert attached(pipe) is None
    with STATIC.apply(pipe):
        pass


def test_a_mask_of_the_wrong_length_says_both_numbers_and_the_next_run_works() -> None:
    pipe = tiny_pipeline("dit")
    with Policy(compute=Compute(1, 0), steps=BitMask("110100", "static")).apply(pipe) as cached:
        with pytest.raises(PolicyError, match=r"6.*5|5.*6"):
            call(pipe, 5)
        call(pipe, 6)
        assert outcomes(cached, run=1) == "CCRCRR"


@pytest.mark.parametrize(("name", "mode"), [("cogvideox", "separate"), ("wan", "fused")])
def test_cfg_against_what_the_pipeline_does_is_an_error(name: str, mode: Any) -> None:
    pipe = tiny_pipeline(name)
    with Policy(compute=Compute(1, 0), cfg=Cfg(mode)).apply(pipe), pytest.raises(CfgMismatch, match="set cfg: auto"):
        call(pipe, STEPS)


def test_every_error_of_ours_is_a_cachedsl_error() -> None:
    for error in (AlreadyAttached, ConcurrentRun, CfgMismatch, StillRunning, UnsupportedModel, PolicyError):
        assert issubclass(error, CachedslError)

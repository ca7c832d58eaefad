"""A converted policy decides on a tiny model as the engine that is installed does with the original text.

cache-dit reads the same files with `load_configs`, and runs the same Python, in a process of its own
(`convert_runner.py`); diffusers' caches are hooks, and run here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import attrs
import diffusers.hooks as hooks
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.hooks import SeaCacheConfig, apply_first_block_cache, apply_mag_cache, apply_sea_cache
from filelock import FileLock

from cachedsl import load_policy
from cachedsl.convert.engine import Asked
from cachedsl.convert.registry import convert, write_policy
from cachedsl.language.parts import Cfg
from cachedsl.language.policy import Policy
from tests.differential.cases import Case, Result
from tests.differential.conftest import ROOT, _read
from tests.differential.own import run_own
from tests.differential.test_hooks import STEPS, _computed, _taylorseer_computes, agree, hooked, own, run
from tests.tiny import inputs, tiny_transformer

FOREIGN = ROOT / "tests" / "convert" / "foreign"
BACK = {"back-limits": "F4B1_W4M9MC3_R0.2_T1_CFG0", "back-mask": "F1B0_W2_R0.2_SCM11110100110010000001_CFG0"}
"""Policies that go to cache-dit's YAML and are read there."""

FILES = {
    "cache-dit-1_flat_legacy.yaml": 20,
    "cache-dit-2_nested_cache_taylor_scm.yaml": 28,
    "cache-dit-3_nested_cache_dmd_mask_list.yaml": 8,
}
"""Files of the converter's tests, and step counts."""

PYTHON = {
    "config-objects": """
config = DBCacheConfig(Fn_compute_blocks=2, residual_diff_threshold=0.15, max_warmup_steps=4, enable_separate_cfg=False,
                       steps_computation_mask=cache_dit.steps_mask(compute_bins=[5, 2, 2, 1], cache_bins=[2, 3, 5]))
cache_dit.enable_cache(
    BlockAdapter(transformer=transformer, forward_pattern=PATTERNS, blocks=[
        transformer.transformer_blocks, transformer.single_transformer_blocks]),
    cache_config=config, calibrator_config=TaylorSeerCalibratorConfig(taylorseer_order=2))
""",
    "modifiers": """
cache_dit.enable_cache(
    BlockAdapter(
        transformer=transformer, forward_pattern=PATTERNS,
        blocks=[transformer.transformer_blocks, transformer.single_transformer_blocks],
        params_modifiers=[
            ParamsModifier(cache_config=DBCacheConfig().reset(residual_diff_threshold=0.3)),
            ParamsModifier(cache_config=DBCacheConfig().reset(Fn_compute_blocks=1, max_continuous_cached_steps=2)),
        ]),
    cache_config=DBCacheConfig(Fn_compute_blocks=2, residual_diff_threshold=0.1, max_warmup_steps=3,
                               enable_separate_cfg=False))
""",
    "prune": """
cache_dit.enable_cache(
    BlockAdapter(transformer=transformer, forward_pattern=PATTERNS, blocks=[
        transformer.transformer_blocks, transformer.single_transformer_blocks]),
    cache_config=DBPruneConfig(Fn_compute_blocks=1, residual_diff_threshold=0.08, max_warmup_steps=3,
                               non_prune_block_ids=[2, 4], enable_separate_cfg=False))
""",
}
"""Calls in Python as users write them; run there, read here."""

SERVED = {
    "sglang": "SGLANG_CACHE_DIT_ENABLED=1 SGLANG_CACHE_DIT_RDT=0.2 SGLANG_CACHE_DIT_MC=2 SGLANG_CACHE_DIT_BN=1",
    "vllm-omni": "{cache_backend: cache_dit, cache_config: {scm_steps_mask_policy: fast, num_inference_steps: 20}}",
    "tensorrt-llm": "cache_config: {cache_backend: cache_dit, enable_separate_cfg: false, enable_taylorseer: true}",
    "stable-diffusion.cpp": "--cache-mode dbcache --cache-option Fn=2,threshold=0.2,warmup=4",
}
"""Settings of engines that build on cache-dit: converted to its file, they decide there as the policy does here."""


def _cases() -> list[dict[str, Any]]:
    cases = [{"name": name, "steps": steps, "yaml": (FOREIGN / name).read_text()} for name, steps in FILES.items()]
    cases += [{"name": name, "steps": 20, "python": text} for name, text in PYTHON.items()]
    texts = {name: write_policy(load_policy(said), "cache-dit", Asked(20)).text for name, said in BACK.items()}
    for name, said in SERVED.items():
        policy = convert(said, "x", asked=Asked(20)).converted.policy()
        texts[name] = write_policy(policy, "cache-dit", Asked(20)).text
    return [*cases, *({"name": name, "steps": 20, "yaml": text} for name, text in texts.items())]


@pytest.fixture(scope="session")
def theirs(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> dict[str, Result]:
    """What cache-dit did with every case, by name; run once, whichever worker asks first."""
    shared = tmp_path_factory.getbasetemp()
    folder = (shared if worker_id == "master" else shared.parent) / "cache-dit-convert"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            started = folder.with_suffix(".started")
            started.mkdir()
            (started / "cases.json").write_text(json.dumps(_cases()), encoding="utf-8")
            script = [sys.executable, "-m", "tests.differential.convert_runner", str(started)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
            done = subprocess.run(script, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
            assert not done.returncode, done.stderr[-600:]
            started.rename(folder)
    return _read(folder)


def policy_of(text: str, file: str, steps: int) -> Policy:
    found = convert(text, file, asked=Asked(steps))
    assert not found.errors
    return found.converted.policy()


def predicts_alike(text: str, file: str, steps: int) -> bool:
    """Tell whether no finding says that a result is approximated otherwise."""
    said = [found.message for found in convert(text, file, asked=Asked(steps)).findings]
    return not any("predicts otherwise" in one or "copies until then" in one for one in said)


def same(name: str, steps: int, policy: Policy, theirs: Result, outputs: bool = True, reuses: bool = True) -> None:
    case = Case(name=name, steps=steps, blocks=10, prune=None if policy.prune is None else "fixed")
    mine = run_own(case, attrs.evolve(policy, cfg=Cfg("fused")))  # as a bare model is called, here and there
    for key in mine.steps:
        assert mine.reused(*key) == theirs.reused(*key), key
        values, expected = mine.values(*key), theirs.values(*key)
        assert values.keys() == expected.keys(), key
        for step, value in values.items():
            assert value == pytest.approx(expected[step], rel=1e-5), (key, step)
    assert reuses == any(mine.reused(*key) for key in mine.steps)
    if outputs:
        agree(mine.outputs, theirs.outputs)


@pytest.mark.parametrize(("name", "steps"), FILES.items())
def test_files_of_cache_dit(name: str, steps: int, theirs: dict[str, Result]) -> None:
    """Where a finding says that a result is predicted otherwise, the steps are the same and the outputs are not."""
    text = (FOREIGN / name).read_text()
    # of the few steps of that mask none is below the default threshold on this model, and both compute all of them
    reuses = "mask_list" not in name
    same(name, steps, policy_of(text, name, steps), theirs[name], predicts_alike(text, name, steps), reuses)


@pytest.mark.parametrize("name", PYTHON)
def test_calls_of_cache_dit(name: str, theirs: dict[str, Result]) -> None:
    alike = predicts_alike(PYTHON[name], "call.py", 20)
    same(name, 20, policy_of(PYTHON[name], "call.py", 20), theirs[name], alike)


@pytest.mark.parametrize("name", BACK)
def test_policies_written_for_cache_dit(name: str, theirs: dict[str, Result]) -> None:
    same(name, 20, load_policy(BACK[name]), theirs[name])


@pytest.mark.parametrize("name", SERVED)
def test_settings_of_engines_that_build_on_it(name: str, theirs: dict[str, Result]) -> None:
    same(name, 20, policy_of(SERVED[name], "x", 20), theirs[name])


def made(text: str) -> Any:
    """Return the config that a text makes, by diffusers itself."""
    return eval(text, {**vars(hooks), "FLUX_MAG_RATIOS": hooks.mag_cache.FLUX_MAG_RATIOS})


def fused(text: str, steps: int = STEPS) -> Policy:
    return attrs.evolve(policy_of(text, "config.py", steps), cfg=Cfg("fused"))


@pytest.mark.parametrize(
    ("text", "apply"),
    [
        ("FirstBlockCacheConfig(threshold=0.1)", apply_first_block_cache),
        ("FirstBlockCacheConfig(0.3)", apply_first_block_cache),
        (f"MagCacheConfig(0.24, 3, 0.15, {STEPS}, mag_ratios=FLUX_MAG_RATIOS)", apply_mag_cache),
        (f"MagCacheConfig(max_skip_steps=5, num_inference_steps={STEPS}, mag_ratios=FLUX_MAG_RATIOS)", apply_mag_cache),
    ],
)  # fmt: skip
def test_caches_of_diffusers(text: str, apply: Any) -> None:
    expected, outputs = hooked("flux", apply, made(text))
    mine, own_outputs, _ = own("flux", fused(text))
    assert mine == expected
    assert "reused" in mine
    agree(own_outputs, outputs)


@pytest.mark.parametrize(("interval", "head", "after"), [(5, 3, None), (2, 4, 17), (6, 1, 18)])
def test_taylorseer_of_diffusers(interval: int, head: int, after: int | None) -> None:
    text = f"TaylorSeerCacheConfig(cache_interval={interval}, disable_cache_before_step={head}"
    text += f", disable_cache_after_step={after})"
    assert _computed(fused(text)) == _taylorseer_computes(interval, head, after)


@pytest.mark.parametrize("text", ["SeaCacheConfig(threshold=0.9, residual_order=0)", "SeaCacheConfig(0.5, 0, 3, 2, 1)"])
def test_seacache_of_diffusers(text: str) -> None:
    """Its hook is told step and sigma in the cache context; a policy on a bare model has them from a scheduler."""
    model = tiny_transformer("wan")
    config = made(text)
    assert isinstance(config, SeaCacheConfig)
    apply_sea_cache(model, config)
    ran: list[int] = []
    handle = model.blocks[2].attn1.register_forward_hook(lambda *_: ran.append(step))  # type: ignore[index, union-attr]
    with torch.no_grad():
        for step in range(STEPS):
            given = inputs("wan", step, STEPS)
            sigma = float(given["timestep"][0]) / 1000
            context = {"step_index": step, "sigma": sigma, "num_inference_steps": STEPS}
            with model.cache_context("cond", **context):  # type: ignore[operator]
                model(**given)
    handle.remove()
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(sigmas=[1 - step / STEPS for step in range(STEPS)])
    model = tiny_transformer("wan")
    with fused(text).apply(model) as cached, cached.run(steps=STEPS, scheduler=scheduler):
        mine, _ = run(model, "wan")
    assert [step for step, verdict in enumerate(mine) if verdict == "computed"] == sorted(set(ran))
    assert 2 < mine.count("reused") < STEPS - 2

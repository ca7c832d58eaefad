"""What the interface does beyond what the guides show: faults, order, and that nothing is changed by halves."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import cachedsl.compat.cache_dit as compat
from cachedsl import CachedslError, Policy, PolicyError, attached
from cachedsl.compat.cache_dit import (
    BlockAdapter,
    BlockAdapterRegister,
    CacheType,
    DBCacheConfig,
    DBPruneConfig,
    DMDCalibratorConfig,
    ForwardPattern,
    ParallelismConfig,
    ParamsModifier,
    QuantizeConfig,
    TaylorSeerCalibratorConfig,
)
from cachedsl.compat.cache_dit.runtime import outside_of_blocks, runtime_of
from cachedsl.compat.cache_dit.targets import targets_of
from cachedsl.convert.notes import ConversionError
from tests.tiny import call, inputs, tiny_pipeline, tiny_transformer

QUICK: dict[str, Any] = {"Fn_compute_blocks": 1, "max_warmup_steps": 2, "residual_diff_threshold": 0.5}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


class Block(nn.Module):
    """One that names its arguments in its own way, and returns `(encoder, hidden)`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Linear(width, width)

    def forward(self, image: torch.Tensor, text: torch.Tensor, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
        return text + 0.1 * torch.tanh(self.mix(text)), image + scale * torch.tanh(self.mix(image))


class Model(nn.Module):
    """A transformer of nobody's family, with two lists."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.ModuleList([Block(8) for _ in range(4)])
        self.second = nn.ModuleList([Block(8) for _ in range(6)])

    def forward(self, image: torch.Tensor, text: torch.Tensor, t: float) -> torch.Tensor:
        for block in (*self.first, *self.second):
            text, image = block(image, text, 0.1 + 0.01 * t)
        return image


def _adapter(model: Model, **more: Any) -> BlockAdapter:
    given = {"blocks": [model.first, model.second], "forward_pattern": [ForwardPattern.Pattern_1] * 2, **more}
    return BlockAdapter(transformer=model, **given)


def _run(model: Model, steps: int) -> list[torch.Tensor]:
    torch.manual_seed(1)
    image, text = torch.randn(1, 5, 8), torch.randn(1, 3, 8)
    with torch.no_grad():
        return [model(image * (1 - 0.02 * t), text, float(t)) for t in range(steps)]


def test_blocks_of_nobody_s_family_are_called_by_the_pattern() -> None:
    model = Model()
    plain = _run(model, 8)
    adapter = compat.enable_cache(_adapter(model), cache_config=DBCacheConfig(num_inference_steps=8, **QUICK))
    cached = _run(model, 8)
    stats = compat.summary(adapter, logging=False)
    names = [one.cache_options["name"] for one in stats]
    assert names == ["transformer.first", "transformer.second", "transformer.second"]
    assert all(one.accumulated_cached_steps > 2 for one in stats)
    assert stats[0].accumulated_executed_steps == stats[0].accumulated_transformer_executed_steps == 8
    assert 0 < max(float((a - b).abs().max()) for a, b in zip(plain, cached, strict=True)) < 1
    assert adapter.blocks_name == ["first", "second"]
    compat.disable_cache(adapter)
    assert all(torch.equal(a, b) for a, b in zip(plain, _run(model, 8), strict=True))
    assert compat.summary(adapter, logging=False)[0].cached_steps == []


def test_the_second_run_begins_anew() -> None:
    model = Model()
    adapter = compat.enable_cache(_adapter(model), cache_config=DBCacheConfig(num_inference_steps=5, **QUICK))
    first = _run(model, 5)
    assert all(torch.equal(a, b) for a, b in zip(first, _run(model, 5), strict=True))
    assert min(compat.summary(adapter, logging=False)[0].cached_steps) == 2


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"blocks": nn.ModuleList([Block(8)])}, "a list of 1 Block is no block list of Model"),
        ({"blocks": None}, "`blocks` is not given"),
        ({"dummy_blocks_names": ["second"]}, "`dummy_blocks_names` has second; no list is left out of a model here"),
        ({"blocks": "first"}, "`blocks` has a str; expected a torch.nn.ModuleList"),
        ({"forward_pattern": [ForwardPattern.Pattern_1] * 3}, r"`forward_pattern` has \[3\] items for 1 transformers"),
    ],
)
def test_an_adapter_that_does_not_hold_is_refused(more: dict[str, Any], said: str) -> None:
    model = Model()
    with pytest.raises(ValueError, match=said):
        compat.enable_cache(_adapter(model, **more), cache_config=DBCacheConfig(num_inference_steps=5, **QUICK))
    assert attached(model) is None


def test_one_pattern_holds_for_all_lists_and_auto_finds_the_longest() -> None:
    model = Model()
    assert [
        row.pattern for _, rows in _adapter(model, forward_pattern=ForwardPattern.Pattern_1).lists() for row in rows
    ] == [ForwardPattern.Pattern_1] * 2
    pipe = tiny_pipeline("flux", blocks=3)
    pipe.transformer.single_transformer_blocks.append(pipe.transformer.single_transformer_blocks[0])
    blocks, name = BlockAdapter.find_match_blocks(pipe.transformer, forward_pattern=ForwardPattern.Pattern_1)
    assert (name, len(blocks)) == ("single_transformer_blocks", 4)
    _, name = BlockAdapter.find_match_blocks(pipe.transformer, blocks_policy="min")
    assert name == "transformer_blocks"
    with pytest.raises(ValueError, match=r"no block list of FluxTransformer2DModel takes .* there are single_transf"):
        BlockAdapter.find_match_blocks(pipe.transformer, ["layers"])


def test_only_the_lists_that_are_named_are_cached() -> None:
    pipe = tiny_pipeline("wan22", blocks=4)
    adapter = BlockAdapter(
        pipe=pipe,
        transformer=pipe.transformer,
        blocks=pipe.transformer.blocks,
        forward_pattern=ForwardPattern.Pattern_2,
    )
    compat.enable_cache(adapter, cache_config=DBCacheConfig(**QUICK))
    call(pipe, 10)
    reused = {s.cache_options["name"]: s.accumulated_cached_steps for s in compat.summary(pipe, logging=False)}
    assert reused["transformer.blocks"] > 0
    assert reused["transformer_2.blocks"] == 0


def test_a_registered_adapter_comes_before_those_that_there_are() -> None:
    pipe = tiny_pipeline("flux", blocks=4)

    @BlockAdapterRegister.register("FluxPipe")
    def mine(pipe: Any, **kwargs: Any) -> BlockAdapter:
        return BlockAdapter(
            pipe=pipe,
            transformer=pipe.transformer,
            blocks=pipe.transformer.transformer_blocks,
            forward_pattern=ForwardPattern.Pattern_1,
            **kwargs,
        )

    try:
        assert "FluxPipe" in compat.supported_pipelines()[1]
        compat.enable_cache(pipe, cache_config=DBCacheConfig(**QUICK))
        call(pipe, 4)
        assert {s.stack for s in attached(pipe).trace.steps()} == {"transformer_blocks"}  # type: ignore[union-attr]
    finally:
        BlockAdapterRegister._adapters.clear()
    assert len(compat.get_adapter(pipe).blocks[0]) == 2  # type: ignore[union-attr]


def test_enabling_twice_leaves_the_first_policy_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    pipe = tiny_pipeline("flux", blocks=9)
    compat.enable_cache(pipe)
    with caplog.at_level(logging.WARNING, "cachedsl.compat"):
        assert compat.enable_cache(pipe, cache_config=DBCacheConfig(Fn_compute_blocks=1)) is pipe
    assert compat.policy_of(pipe) == Policy(name="cache-dit", span="joined")
    assert "call disable_cache() on it first" in caplog.text
    compat.disable_cache(pipe)
    with pytest.raises(ValueError, match="FluxPipeline is not cached; call enable_cache"):
        compat.policy_of(pipe)


def test_more_blocks_than_there_are_is_an_error_and_nothing_is_changed() -> None:
    pipe = tiny_pipeline("flux", blocks=4)
    with pytest.raises(PolicyError, match=r"8 front and 0 back blocks always run, but transformer.transformer_blocks"):
        compat.enable_cache(pipe)
    assert attached(pipe) is None


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"Fn_compute_block": 1}, TypeError, "enable_cache.* options that cache-dit does not have: Fn_compute_block"),
        ({"cache_config": DBCacheConfig(Fn_compute_blocks=0)}, ConversionError, "Fn_compute_blocks: expected a whole"),
        ({"cache_config": DBCacheConfig(steps_computation_mask=[2])}, ConversionError, "expected a list of 0 and 1"),
        ({"calibrator_config": DMDCalibratorConfig(dmd_history=3)}, ConversionError, "dmd_history: expected a whole"),
        ({"enable_taylorseer": True, "enable_dmd": True}, ConversionError, "exclude each other"),
    ],
)
def test_what_cannot_be_carried_over_raises_with_the_option(arguments: Any, error: type[Exception], said: str) -> None:
    pipe = tiny_pipeline("flux", blocks=2)
    with pytest.raises(error, match=said):
        compat.enable_cache(pipe, **arguments)
    assert attached(pipe) is None


def test_single_options_are_those_of_older_releases_and_no_config_is_changed() -> None:
    pipe = tiny_pipeline("flux", blocks=2)
    config = DBCacheConfig(**QUICK)
    compat.enable_cache(pipe, cache_config=config, enable_spearate_cfg=True, enable_taylorseer=True, warmup_steps=4)
    policy = compat.policy_of(pipe)
    assert (policy.warmup.steps, policy.cfg.mode, policy.predict.method) == (4, "separate", "taylor")
    assert config == DBCacheConfig(**QUICK)


def test_a_step_count_is_a_matter_of_bare_transformers_and_refreshes_all_or_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = tiny_transformer("flux", blocks=3)
    compat.enable_cache(model, cache_config=DBCacheConfig(num_inference_steps=6, **QUICK))
    before = compat.policy_of(model)
    for wrong, error in (({"Fn_compute_blocks": 9}, PolicyError), ({"Fn_compute_blocks": 0}, ConversionError)):
        with pytest.raises(error):
            compat.refresh_context(model, **wrong)
        assert compat.policy_of(model) == before
        assert attached(model) is not None
    with pytest.raises(TypeError, match="put num_inference_steps into `cache_config`"):
        compat.refresh_context(model, cache_config=DBCacheConfig(), num_inference_steps=4)
    compat.refresh_context(model, num_inference_steps=4, calibrator_config=TaylorSeerCalibratorConfig())
    for step in range(8):
        model(**inputs("flux", step % 4, 4), return_dict=False)
    trace = attached(model).trace  # type: ignore[union-attr]
    assert {record.run for record in trace.steps()} == {0, 1}
    assert compat.policy_of(model).predict.method == "taylor"
    assert compat.policy_of(model).compute == before.compute
    pipe = tiny_pipeline("flux", blocks=2)
    with caplog.at_level(logging.WARNING, "cachedsl.compat"):
        compat.refresh_context(pipe, num_inference_steps=4)
    assert "FluxPipeline is not cached; nothing is refreshed" in caplog.text


def test_modifiers_go_by_the_order_of_lists(caplog: pytest.LogCaptureFixture) -> None:
    pipe = tiny_pipeline("flux", blocks=4)
    changes = [ParamsModifier(cache_config=DBCacheConfig().reset(Fn_compute_blocks=n)) for n in (1, 2, 3)]
    with caplog.at_level(logging.WARNING, "cachedsl.compat"):
        adapter = BlockAdapter(
            pipe=pipe,
            transformer=pipe.transformer,
            blocks=[pipe.transformer.transformer_blocks, pipe.transformer.single_transformer_blocks],
            forward_pattern=ForwardPattern.Pattern_1,
        )
        compat.enable_cache(adapter, cache_config=DBCacheConfig(max_cached_steps=3), params_modifiers=changes)
    policy = compat.policy_of(pipe)
    resolved = [policy.for_stack("transformer", name) for name in ("transformer_blocks", "single_transformer_blocks")]
    assert [one.compute.front for one in resolved] == [1, 2]
    assert [one.reuse.max_total for one in resolved] == [3, 3]
    assert "3 modifiers for 2 block lists" in caplog.text


@pytest.mark.parametrize("make", [tiny_pipeline, tiny_transformer])
def test_one_chain_of_flux_has_one_modifier(make: Any) -> None:
    """cache-dit's own adapter of Flux makes one chain of both lists."""
    given = make("flux", blocks=3)
    changes = ParamsModifier(cache_config=DBCacheConfig().reset(max_cached_steps=2))
    for target in (given, compat.get_adapter(given)):
        compat.enable_cache(
            target, cache_config=DBCacheConfig(num_inference_steps=6, **QUICK), params_modifiers=changes
        )
        policy = compat.policy_of(given)
        assert policy.span == "joined"
        assert list(dict(policy.stacks)) == ["transformer.transformer_blocks+single_transformer_blocks"]
        if isinstance(given, nn.Module):
            for step in range(6):
                given(**inputs("flux", step, 6), return_dict=False)
        else:
            call(given, 6)
        assert {one.accumulated_cached_steps for one in compat.summary(target, logging=False)} == {2}
        compat.disable_cache(target)


def test_types_and_ranges() -> None:
    assert CacheType.type("db_prune") is CacheType.DBPrune is compat.cache_type("DBP") is compat.DBPrune
    assert compat.cache_type(None) is CacheType.NONE
    with pytest.raises(ValueError, match="cache type 'TeaCache': there are DBCache, DBPrune, FBCache, NONE"):
        compat.cache_type("TeaCache")
    assert compat.block_range(0, 8, 2) == CacheType.range(0, 8, 2) == [0, 2, 4, 6, 7]
    assert compat.block_range(0, 8) == compat.block_range(5, 3, 2) == []
    assert [one.In for one in ForwardPattern][3] == ("hidden_states",)
    assert compat.Pattern_1.Out == ("encoder_hidden_states", "hidden_states")
    assert [one.Return_H_First for one in ForwardPattern] == [True, False, False, False, True, False]
    assert [one.Return_H_Only for one in ForwardPattern] == [False, False, True, True, False, False]
    assert [one.Forward_H_only for one in ForwardPattern] == [False, False, False, True, True, True]


def test_none_caches_nothing() -> None:
    pipe = tiny_pipeline("flux", blocks=2)
    assert compat.apply_cache_on_pipe(pipe, cache_type="none") is pipe
    assert compat.enable_cache(pipe, cache_config=DBCacheConfig(cache_type=CacheType.NONE)) is pipe
    assert compat.enable_cache(pipe, attention_backend="native") is pipe
    assert attached(pipe) is None


def test_tags_for_file_names() -> None:
    config = DBCacheConfig(Fn_compute_blocks=1, steps_computation_mask=[1, 0], enable_separate_cfg=True)
    assert config.strify() == "DBCache_F1B0_W8I1M0MC0_R0.08_SCM10_dynamic_CFG1"
    assert DBPruneConfig().strify() == "DBPrune_F8B0_W8I1M0MC0_R0.08"
    assert TaylorSeerCalibratorConfig(taylorseer_order=2).strify() == "T1O2"
    assert DMDCalibratorConfig(dmd_svd_precision="low").strify() == "DMDH6l"
    assert compat.strify({"cache_config": {"Fn_compute_blocks": 2}}) == "DBCache_F2B0_W8I1M0MC0_R0.08_T0O0"
    assert compat.strify({"Fn_compute_blocks": 2, "enable_foca": True}) == "DBCache_F2B0_W8I1M0MC0_R0.08_FoCa"
    assert compat.strify({"cache_type": "NONE"}) == ""
    pipe = tiny_pipeline("flux", blocks=3)
    assert compat.strify(pipe) == ""
    compat.enable_cache(pipe, cache_config=DBCacheConfig(**QUICK))
    call(pipe, 5)
    assert compat.strify(pipe) == "DBCache_F1B0_W2I1M0MC0_R0.5_T0O0_S2"


def test_configs_are_loaded_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    path.write_text(
        "cache_config:\n  cache_type: DBPrune\n  non_prune_block_ids: [1]\n  num_inference_steps: 8\n"
        "  steps_computation_mask: fast\n  enable_dmd: true\n  dmd_ridge: 1e-6\n"
        "parallelism_config: {ulysses: 2}\nattention_backend: native\nquantize_config: {quant_type: int8_weight_only}\n"
    )
    found = compat.load_configs(str(path))
    mask = [1, 1, 1, 0, 1, 0, 0, 1]
    cache = DBPruneConfig(non_prune_block_ids=[1], num_inference_steps=8, steps_computation_mask=mask)
    assert found["cache_config"] == cache
    assert found["calibrator_config"] == DMDCalibratorConfig(dmd_ridge=1e-6)
    assert found["parallelism_config"].ulysses_size == 2
    assert found["attention_backend"] == "native"
    assert found["quantize_config"] == QuantizeConfig(quant_type="int8_weight_only")
    assert compat.load_configs(path, return_dict=False) == tuple(found.values())
    assert compat.load_options(str(path)) == {name: found[name] for name in ("cache_config", "calibrator_config")}
    assert compat.load_parallelism_config(path, check_only=True)
    assert compat.load_cache_config({"Fn_compute_blocks": 2}, reset=True)[0] == DBCacheConfig().reset(
        Fn_compute_blocks=2
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cache_config: {enable_sperate_cfg: true}", "all.yaml:1:36: error[bad-option]: enable_sperate_cfg"),
        ("cache_config: {Fn_compute_blocks: 1, Fn_compute_blocks: 9}", "error[duplicate-key]"),
        ("cache_config: {Fn_compute_blocks: 1}\nquantise_config: {}", "did you mean `quantize_config`?"),
        ("attention_backend: flash\ncache_config: {}\nFn_compute_blocks: 2", "put it into `cache_config`"),
        ("cache_config: {enable_taylorseer: true, enable_dmd: true}", "exclude each other"),
    ],
)
def test_faults_of_a_file_are_errors_at_their_place(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    path.write_text(text)
    with pytest.raises(PolicyError) as raised:
        compat.load_configs(str(path))
    assert said in str(raised.value)
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        compat.load_configs(str(tmp_path / "none.yaml"))


def test_flat_options_beside_an_attention_backend_are_not_lost() -> None:
    found = compat.load_configs({"Fn_compute_blocks": 2, "attention_backend": "flash"})
    assert (found["cache_config"].Fn_compute_blocks, found["attention_backend"]) == (2, "flash")
    assert compat.load_configs({"attention_backend": "flash"})["cache_config"] is None


def test_sizes_that_follow_from_the_processes() -> None:
    with pytest.raises(ValueError, match="only one size can be `auto`"):
        compat.load_configs({"parallelism_config": {"ulysses": "auto", "ring": "auto"}})
    with pytest.raises(ValueError, match="set ulysses_size, ring_size or tp_size above 1"):
        compat.load_configs({"parallelism_config": {"ulysses_size": "auto"}})


def test_parallelism_and_quantisation_become_a_runtime_section() -> None:
    target = targets_of(tiny_pipeline("flux", blocks=2))[0]
    parallel = ParallelismConfig(ulysses_size=2, tp_size=2, parallel_kwargs={"attention_backend": "native"})
    assert runtime_of(target, parallel, None) == {"parallel": {"ulysses": 2, "tensor": 2}}
    assert (parallel.attention_backend, parallel.strify()) == ("native", "Ulysses2_TP2")
    outside = ["pos_embed", "time_text_embed", "context_embedder", "x_embedder", "norm_out", "proj_out"]
    assert outside_of_blocks(target.components["transformer"], []) == outside
    config = QuantizeConfig(quant_type="int8_weight_only", exclude_layers=["to_q", "no_such_layer"])
    linear = [name for name in outside if name != "pos_embed"]
    assert runtime_of(target, None, config) == {
        "quantize": {"transformer": {"kind": "int8_weight_only", "exclude": ["*to_q*", *linear]}}
    }
    whole = QuantizeConfig(quant_type="int8_weight_only", exclude_layers=None, regional_quantize=False)
    assert runtime_of(target, None, whole) == {"quantize": {"transformer": {"kind": "int8_weight_only"}}}
    assert config.update(quant_type="int8", verbose=None) is config
    assert config.as_dict()["quant_type"] == "int8"
    with pytest.raises(ConversionError):
        config.update(quant_type="nvfp4")
    assert config.quant_type == "int8"
    for made in (
        lambda: ParallelismConfig(ulysses_size=2, use_ray=True),
        lambda: QuantizeConfig(quant_type="svdq_int4_r32"),
        lambda: QuantizeConfig(quant_type="nvfp4"),
    ):
        with pytest.raises(ConversionError):
            made()


def _quantised(module: nn.Module) -> list[str]:
    linear = ((name, one) for name, one in module.named_modules() if isinstance(one, nn.Linear))
    return [name for name, one in linear if type(one.weight.data) is not torch.Tensor]


def test_a_module_is_quantised_in_place_and_cached_in_any_order() -> None:
    pytest.importorskip("torchao")
    pipe = tiny_pipeline("flux", blocks=3)
    compat.enable_cache(
        pipe,
        cache_config=DBCacheConfig(**QUICK),
        quantize_config=QuantizeConfig(quant_type="int8_weight_only", exclude_layers=["to_q"]),
    )
    names = _quantised(pipe.transformer)
    assert "transformer_blocks.0.attn.to_k" in names
    assert not {"proj_out", "x_embedder", "transformer_blocks.0.attn.to_q"} & set(names)
    call(pipe, 5)
    assert compat.strify(pipe) == "DBCache_F1B0_W2I1M0MC0_R0.5_T0O0_S2_int8_weight_only"
    model = tiny_transformer("flux", blocks=2)
    assert compat.quantize(model, quant_type="int8_weight_only", regional_quantize=False, exclude_layers=None) is model
    assert "proj_out" in _quantised(model)
    with pytest.raises(TypeError, match="needs a `quantize_config`, or a `quant_type`"):
        compat.quantize(model)


def test_parallelism_without_processes_is_refused_and_nothing_is_changed() -> None:
    pytest.importorskip("cachedsl.engines.parallel")
    pipe = tiny_pipeline("flux", blocks=3)
    for config in (DBCacheConfig(**QUICK), None):
        with pytest.raises(CachedslError, match="torchrun"):
            compat.enable_cache(pipe, cache_config=config, parallelism_config=ParallelismConfig(ulysses_size=2))
        assert attached(pipe) is None


def test_metrics_are_those_of_scikit_image(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16, 3), dtype=np.uint8)
    for folder, images in zip(("true", "test"), noise, strict=True):
        (tmp_path / folder).mkdir()
        for number, pixels in enumerate(images):
            Image.fromarray(pixels).save(tmp_path / folder / f"{number}.png")
    true, test = str(tmp_path / "true"), str(tmp_path / "test")
    errors = [float(np.mean((a.astype(float) - b) ** 2)) for a, b in zip(*noise, strict=True)]
    mse, count = compat.metrics.compute_mse(true, test)
    assert (mse, count) == (pytest.approx(np.mean(errors)), 3)
    psnr, _ = compat.metrics.compute_psnr(true, test)
    assert psnr == pytest.approx(np.mean([10 * np.log10(255**2 / error) for error in errors]))
    assert compat.metrics.compute_ssim(noise[0, 0], noise[0, 0])[0] == pytest.approx(1)
    assert compat.metrics.compute_psnr(noise[0, 0], noise[0, 0]) == (float("inf"), 1)
    for name, frames in zip(("a.gif", "b.gif"), noise, strict=True):
        first, *rest = (Image.fromarray(frame).convert("P") for frame in frames)
        first.save(tmp_path / name, save_all=True, append_images=rest)
    assert compat.metrics.compute_video_mse(str(tmp_path / "a.gif"), str(tmp_path / "b.gif"))[1] == 3
    with pytest.raises(ValueError, match="compare images of one size"):
        compat.metrics.compute_psnr(noise[0, 0], noise[0, 0, :8])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no files of the same name"):
        compat.metrics.compute_psnr(true, str(tmp_path / "empty"))


def test_a_functor_of_your_own_changes_a_transformer_once() -> None:
    class Mine(compat.PatchFunctor):
        def _apply(self, transformer: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
            transformer.times = getattr(transformer, "times", 0) + 1  # type: ignore[assignment, operator]
            return transformer

    model = Model()
    for _ in range(2):
        _adapter(model, patch_functor=Mine())
    assert model.times == 1
    with pytest.raises(NotImplementedError, match="PatchFunctor does not say in `_apply` what it changes"):
        compat.PatchFunctor().apply(Model())


def test_every_error_of_the_interface_is_one_of_ours_or_of_python() -> None:
    assert issubclass(ConversionError, CachedslError)
    assert issubclass(compat.NotCarriedOver, CachedslError)
    with pytest.raises(TypeError, match="takes a diffusers pipeline, a transformer or a BlockAdapter, got str"):
        compat.enable_cache("flux")
    config = DBCacheConfig()
    with pytest.raises(TypeError, match="has no field 'Fn'"):
        config.reset(Fn=1)
    assert config == DBCacheConfig()

"""`runtime: {quantize: …}` on real torchao, and weights that somebody else has quantised."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from cachedsl import Policy
from cachedsl.engines import EngineRefused
from cachedsl.engines.quantize import BACKENDS
from cachedsl.language.runtime import QUANTIZATIONS
from tests.tiny import inputs, tiny_pipeline, tiny_transformer

STEPS = 5


def policy(kind: str, component: str = "transformer", exclude: tuple[str, ...] = (), **more: Any) -> Policy:
    quantize = {component: {"kind": kind, "exclude": list(exclude)}}
    return Policy(
        compute="F1B1",
        warmup=2,
        reuse={"threshold": "always"},
        predict=more.pop("predict", None),
        cfg="fused",
        runtime={"quantize": quantize},
    )


def run(model: Any, one: Policy) -> list[torch.Tensor]:
    with one.apply(model, num_inference_steps=STEPS) as cached, torch.no_grad():
        outputs = [model(**inputs("flux", step, STEPS), return_dict=False)[0] for step in range(STEPS)]
        assert [s.outcome[0] for s in cached.trace.steps(stack="transformer_blocks")] == list("ccrrr")
    return outputs


def quantised(model: nn.Module) -> list[str]:
    return [
        name for name, m in model.named_modules() if isinstance(m, nn.Linear) and "torchao" in type(m.weight).__module__
    ]


@pytest.mark.parametrize("kind", ["int8_weight_only", "int8_dynamic", "float8_weight_only"])
def test_kinds_that_any_machine_can_do(kind: str) -> None:
    model = tiny_transformer("flux")
    blocks, keys = list(model.transformer_blocks), list(model.state_dict())
    plain = run(model, Policy(compute="F1B1", warmup=2, reuse={"threshold": "always"}, cfg="fused"))
    outputs = run(model, policy(kind, exclude=("proj_out", "*.norm1.*", "single_transformer_blocks.0.*")))
    errors = [float((a - b).abs().max() / b.abs().max()) for a, b in zip(outputs, plain, strict=True)]
    assert 0 < max(errors) < 0.1, errors
    assert list(model.transformer_blocks) == blocks
    assert list(model.state_dict()) == keys
    done = quantised(model)
    assert "transformer_blocks.0.attn.to_q" in done
    assert not [n for n in done if n == "proj_out" or ".norm1." in n or n.startswith("single_transformer_blocks.0.")]


def test_applying_again_does_nothing_more(caplog: pytest.LogCaptureFixture) -> None:
    model = tiny_transformer("flux")
    first = run(model, policy("int8_weight_only", predict="taylor"))
    weight = model.proj_out.weight
    again = run(model, policy("int8_weight_only", predict="taylor"))
    assert model.proj_out.weight is weight
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    with pytest.raises(EngineRefused, match=r"asks for int8_dynamic, but .*int8_weight_only before.*load it anew"):
        policy("int8_dynamic").apply(model)
    assert "left alone" not in caplog.text


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (policy("int8_dynamic", "unet"), "'unet', and FluxTransformer2DModel has `transformer`"),
        (policy("int8_dynamic", exclude=("proj_uot",)), "'proj_uot' matches no linear layer, such as"),
        (policy("int8_dynamic", exclude=("*",)), "leaves none of"),
    ],
)
def test_what_cannot_be_meant_is_refused(one: Policy, message: str) -> None:
    model = tiny_transformer("flux")
    with pytest.raises(EngineRefused, match=message.replace("*", r"\*")):
        one.apply(model)
    assert not quantised(model)
    assert type(model) is type(tiny_transformer("flux"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine may be able to")
@pytest.mark.parametrize(("kind", "needed"), [("float8_dynamic", "8.9"), ("int4_weight_only", "8.0")])
def test_what_this_machine_cannot_do_is_refused_with_the_numbers(kind: str, needed: str) -> None:
    model = tiny_transformer("flux")
    with pytest.raises(EngineRefused, match=f"compute capability {needed} or more, and its weights are on cpu"):
        policy(kind).apply(model)
    assert not quantised(model)


@pytest.mark.parametrize("found", [(7, 5), (8, 6)])
def test_an_older_device_is_named(found: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    from cachedsl.engines import quantize

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: found)
    weight = SimpleNamespace(device=torch.device("cuda:1"), dtype=torch.bfloat16)
    layer = SimpleNamespace(in_features=16, out_features=16, weight=weight)
    with pytest.raises(EngineRefused, match=f"8.9 or more, and cuda:1 has {found[0]}.{found[1]}"):
        quantize._check_layer("runtime.quantize.transformer", "x", layer, BACKENDS["float8_dynamic"])


def test_every_kind_of_the_language_has_a_backend() -> None:
    assert set(BACKENDS) == set(QUANTIZATIONS)


class GGUFParameter(nn.Parameter):
    """Weights in another class, as diffusers holds those of GGUF files."""


@pytest.mark.parametrize("how", ["torchao", "a parameter of another class", "a layer of another package"])
def test_what_is_quantised_already_is_left_alone(how: str, caplog: pytest.LogCaptureFixture) -> None:
    model = tiny_transformer("flux", blocks=3)
    if how == "torchao":
        from torchao.quantization import Int8WeightOnlyConfig, quantize_

        quantize_(model, Int8WeightOnlyConfig())
    elif how == "a parameter of another class":
        for layer in model.modules():
            if isinstance(layer, nn.Linear):
                layer._parameters["weight"] = GGUFParameter(layer.weight.data, requires_grad=False)
    else:
        packed = type("SVDQW4A4Linear", (nn.Linear,), {"__module__": "nunchaku.models.linear"})
        for layer in model.modules():
            if type(layer) is nn.Linear:
                layer.__class__ = packed
    before = {name: id(tensor) for name, tensor in model.named_parameters()}
    with caplog.at_level(logging.WARNING, "cachedsl"):
        run(model, policy("int8_dynamic"))
    assert {name: id(tensor) for name, tensor in model.named_parameters()} == before
    assert "quantised already" in caplog.text
    assert "left alone" in caplog.text


def test_components_of_a_pipeline() -> None:
    pipe = tiny_pipeline("dit")
    assert isinstance(pipe.vae, nn.Module)
    with policy("int8_weight_only", "vae").apply(pipe):
        assert quantised(pipe.vae)
        assert not quantised(pipe.transformer)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", sorted(BACKENDS))
def test_on_a_device(kind: str) -> None:
    needed = BACKENDS[kind].capability
    model = tiny_transformer("flux", num_attention_heads=4, attention_head_dim=32, axes_dims_rope=(8, 12, 12))
    model = model.to("cuda", torch.bfloat16)
    excluded = ("x_embedder", "context_embedder", "time_text_embed.*", "proj_out")
    if needed is not None and torch.cuda.get_device_capability() < needed:
        with pytest.raises(EngineRefused, match="compute capability"):
            policy(kind, exclude=excluded).apply(model)
        return
    try:
        handle = policy(kind, exclude=excluded).apply(model, num_inference_steps=STEPS)
    except EngineRefused as refused:
        assert BACKENDS[kind].package, refused
        pytest.skip(str(refused))
    with handle, torch.no_grad():
        for step in range(STEPS):
            given = {
                key: value.to("cuda", torch.bfloat16 if value.is_floating_point() else None)
                if isinstance(value, torch.Tensor)
                else value
                for key, value in inputs("flux", step, STEPS).items()
            }
            assert model(**given, return_dict=False)[0].isfinite().all()

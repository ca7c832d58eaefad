"""Adapters for models that nobody has seen, and another policy for one call."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cachedsl import PolicyError, attached, load_adapter, load_policy
from cachedsl.language.parts import Cfg, Compute, Reuse, Warmup
from cachedsl.language.policy import Policy
from cachedsl.matching import reading as matching
from cachedsl.matching.adapter import AdapterError, UnsupportedModel
from cachedsl.runtime.errors import ConcurrentRun
from tests.tiny import call, inputs, tiny_pipeline, tiny_transformer

YAML = """
family: mine
transformers:
  MyModel:
    cfg: fused
    stacks:
      body.steps: {pattern: hidden_encoder, hidden: img, encoder: txt}
"""


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(8, 8)

    def forward(self, img: torch.Tensor, *, txt: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return img + self.mix(img) + txt.mean(1, keepdim=True), txt * 0.9


class MyModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.ModuleDict({"steps": nn.ModuleList([Block() for _ in range(5)])})

    def forward(self, x: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        for block in self.body["steps"]:  # type: ignore[attr-defined]
            x, text = block(x, txt=text)
        return x


def static(front: int = 1) -> Policy:
    return Policy(compute=Compute(front, 0), warmup=Warmup(1), reuse=Reuse("always"), cfg=Cfg("fused"))


def test_a_model_of_one_s_own_takes_one_yaml(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(YAML)
    model, x, text = MyModel(), torch.randn(1, 4, 8), torch.randn(1, 2, 8)
    with torch.no_grad():
        expected = model(x, text)
        with static().apply(model, num_inference_steps=3, adapter=load_adapter(tmp_path / "mine.yaml")) as cached:
            outputs = [model(x, text) for _ in range(3)]
            assert [s.outcome for s in cached.trace.steps()] == ["computed", "reused", "reused"]
    assert all(torch.allclose(output, expected, atol=1e-6) for output in outputs)


def test_another_package_offers_adapters_as_an_entry_point(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(YAML)
    module = tmp_path / "offering.py"
    module.write_text(f"path = {str(tmp_path / 'mine.yaml')!r}\nwrong = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    offered = [EntryPoint("mine", "offering:path", "cachedsl.adapters")]
    monkeypatch.setattr(matching, "entry_points", lambda group: offered)
    matching.load_adapters.cache_clear()
    try:
        assert static().apply(MyModel()).attached
        assert "mine" in matching.supported_families()
        offered[0] = EntryPoint("mine", "offering:wrong", "cachedsl.adapters")
        matching.load_adapters.cache_clear()
        with pytest.raises(AdapterError, match=r"entry point 'mine'.*got int"):
            matching.load_adapters()
    finally:
        matching.load_adapters.cache_clear()


def test_an_adapter_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="cannot be read"):
        load_adapter(tmp_path / "none.yaml")


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_in_place_of_an_adapter_says_how_to_read_it(kind: type, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(YAML)
    model, before = MyModel(), set(vars(MyModel()))
    given: Any = kind(path)
    with pytest.raises(TypeError, match=r"adapter=cachedsl\.load_adapter\('"):
        matching.match_transformer(["MyModel"], given)
    with pytest.raises(TypeError) as caught:
        static().apply(model, adapter=given)
    said = f"adapter=cachedsl.load_adapter({str(path)!r}); nothing was changed"
    assert str(caught.value).startswith("adapter: expected an Adapter, got ")
    assert str(caught.value).endswith(said)
    assert attached(model) is None
    assert set(vars(model)) == before


def test_what_is_no_adapter_at_all_is_refused() -> None:
    one: Any = matching.read_adapter(YAML, "mine.yaml").transformers["MyModel"]
    with pytest.raises(TypeError, match=r"expected an Adapter.*Adapter\('mine', \{'MyModel': TransformerAdapter"):
        static().apply(MyModel(), adapter=one)
    other: Any = {"MyModel": one}
    with pytest.raises(TypeError, match=r"expected an Adapter, got \{'MyModel': .*; nothing was changed"):
        static().apply(MyModel(), adapter=other)


def test_another_policy_for_one_call() -> None:
    pipe = tiny_pipeline("wan")
    plain = call(pipe, 6)
    with load_policy("F1B0_W1_S").apply(pipe) as cached:
        cachedly = call(pipe, 6)
        with cached.using(load_policy("F1B0_W1_R0")) as same:
            assert same is cached
            assert torch.equal(call(pipe, 6), plain)
            assert cached.summary().computed_fraction == 1
        assert cached.policy.notation == "F1B0_W1_S"
        assert torch.equal(call(pipe, 6), cachedly)


def test_a_policy_that_does_not_fit_leaves_the_attached_one() -> None:
    model = tiny_transformer("dit")
    with static().apply(model) as cached:
        with pytest.raises(PolicyError, match="too-many-blocks"), cached.using(static(9)):
            raise AssertionError("not entered")
        assert cached.policy == static()


def test_no_other_policy_in_the_middle_of_a_run() -> None:
    model = tiny_transformer("dit")
    with static().apply(model) as cached, cached.run(steps=2), torch.no_grad():
        model(**inputs("dit", 0, 2))
        with pytest.raises(ConcurrentRun, match="in the middle of a run"), cached.using(static()):
            raise AssertionError("not entered")
        model(**inputs("dit", 1, 2))
    assert [s.outcome for s in cached.trace.steps()] == ["computed", "reused"]


def test_an_error_inside_gives_the_attached_policy_back() -> None:
    model: Any = tiny_transformer("dit")
    other = static(2)
    with static().apply(model) as cached:
        with pytest.raises(ZeroDivisionError), cached.using(other):
            raise ZeroDivisionError
        assert cached.policy == static()


def test_an_adapter_that_is_for_another_class_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(YAML.replace("MyModel", "MyModle"))
    model = MyModel()
    with pytest.raises(
        UnsupportedModel, match=r"is for MyModle, and MyModel has none of them \(transformer: MyModel\)"
    ):
        static().apply(model, num_inference_steps=3, adapter=load_adapter(tmp_path / "mine.yaml"))
    assert attached(model) is None

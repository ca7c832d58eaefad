"""What adapters say of splitting weights names layers that their models have."""

from __future__ import annotations

import pytest
from torch import nn

from cachedsl.engines.tensor import _modules
from cachedsl.matching.adapter import TensorAdapter
from cachedsl.matching.reading import match_transformer
from tests.zoo.entries import ENTRIES

PLANS = {name: one.tensor for name in ENTRIES if (one := match_transformer([name])) is not None and one.tensor}


def test_the_families_without_a_plan_in_diffusers_have_one() -> None:
    assert PLANS.keys() >= {
        "WanTransformer3DModel",
        "HunyuanVideoTransformer3DModel",
        "HunyuanImageTransformer2DModel",
        "ChromaTransformer2DModel",
    }


@pytest.mark.parametrize("name", PLANS)
def test_every_path_is_one_of_the_class_in_some_variant(name: str) -> None:
    plan: TensorAdapter = PLANS[name]
    models = [entry.build() for other, entry in ENTRIES.items() if other.partition("/")[0] == name]
    for path in (*plan.colwise, *plan.rowwise, *plan.joined):
        found = [module for model in models for module in _modules(model, path)]
        assert found, path
        assert all(isinstance(module, nn.Linear) for module in found), path
    for path in plan.heads:
        assert all(module.heads > 0 for model in models for module in _modules(model, path)), path
    for path in plan.norms:
        assert any(module.eps > 0 for model in models for module in _modules(model, path)), path
    for path, sources in plan.joined.items():
        for block in _modules(models[0], path.partition("*")[0] + "*"):
            inside = path.partition("*.")[2]
            wide = sum(block.get_submodule(source).out_features for source in sources)
            assert wide == block.get_submodule(inside).in_features

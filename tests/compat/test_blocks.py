"""Every code block of cache-dit's README and user guide, and of diffusers' page on it, on tiny models.

A block is a file of `blocks/`, written for cache-dit. It is run with its imports changed and nothing else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from cachedsl import Policy
from cachedsl.compat.cache_dit import BlockAdapterRegister
from tests.compat import models

BLOCKS = sorted(path for path in Path(__file__).with_name("blocks").glob("*.py") if path.stem != "__init__")
F8B8 = {"compute": "F8B8", "reuse": {"threshold": 0.12}}
PRUNED = {"reuse": {"threshold": 0.12}}

QUANTISED = ["*embedder*", "*embed*", "time_text_embed", "context_embedder", "x_embedder", "norm_out", "proj_out"]

EXPECTED: dict[str, list[Any]] = {
    "attention": [{}],
    "block_adapter_auto": [{}, {}],
    "calibrators": [
        {**F8B8, "predict": "taylor"},
        {"reuse": {"threshold": 0.12}, "predict": "dmd"},
        {"compute": "F1B0", "reuse": {"threshold": 0.12}, "predict": "foca"},
    ],
    "compile": [{}],
    "dbcache": [{}, F8B8, F8B8],
    "dbprune": [
        {**PRUNED, "prune": {"dynamic": {}}},
        {**PRUNED, "compute": "F4B4", "prune": {"dynamic": {}, "keep": [6, 7, 8]}},
    ],
    "force_refresh": [
        {"compute": "F1B0", "warmup": 4, "refresh": {"at": 7, "repeat": True}},
        {"compute": "F1B0", "warmup": 4, "refresh": 1},
    ],
    "hybrid_pattern": [{}],
    "load_configs": [
        {
            "compute": "F1B0",
            "warmup": {"steps": 8, "interval": 2},
            "reuse": {"threshold": 0.12, "max_continuous": 2},
            "predict": {"method": "taylor", "streams": ["hidden"]},
        }
    ],
    "metrics": [],
    "older_dbcache": [
        {"reuse": {"threshold": 0.12}},
        {
            "compute": {"front": 8, "back": 8, "back_blocks": [0, 2, 4, 6, 7], "back_threshold": 0.08},
            "reuse": {"threshold": 0.12, "max_total": 8},
        },
        {
            "warmup": 3,
            "reuse": {"threshold": 0.12},
            "predict": {"method": "taylor", "order": 2, "form": "published"},
        },
        {"compute": "F1B0", "reuse": {"max_total": 8}},
    ],
    "older_dbprune": [
        {"compute": "F8B8", "prune": {}},
        {"compute": "F4B4", "reuse": {"threshold": 0.05, "max_total": 12}, "prune": {"dynamic": {"max": 0.1}}},
    ],
    "one_line": [{}, None],
    "params_modifier": [
        {
            "warmup": 4,
            "stacks": {"transformer.single_transformer_blocks": {"compute": "F1B0", "reuse": {"threshold": 0.16}}},
        }
    ],
    "patch_functor": [{}],
    "quantization": [
        {"runtime": {"quantize": {"transformer": {"kind": "int8_weight_only", "exclude": QUANTISED}}}},
        {},
        {},
    ],
    "refresh_context": [{}, {}, {"warmup": 10, "reuse": {"threshold": 0.1, "max_total": 20, "max_continuous": 4}}],
    "separate_cfg": [{"compute": "F1B0", "warmup": 4, "cfg": "separate"}],
    "steps_mask": [{"reuse": {"threshold": 0.12}, "steps": "11101001001001", "predict": "taylor"}],
    "supported": [],
    "transformer_only": [{}],
    "wan22_moe": [
        {
            "cfg": "separate",
            "stacks": {
                "transformer.blocks": {"warmup": 4, "reuse": {"max_total": 8}},
                "transformer_2.blocks": {"warmup": 2, "reuse": {"max_total": 20}},
            },
        }
    ],
}
"""What the policy of each run is."""

CHAINED = (
    *("attention", "calibrators", "dbcache", "dbprune", "force_refresh", "load_configs", "older_dbcache"),
    *("older_dbprune", "quantization", "steps_mask"),
)
"""Blocks that leave it to cache-dit which lists of Flux are cached: it makes one chain of both."""


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Leave one thread, no registered adapters and no settings of the compiler behind."""
    torch.set_num_threads(1)
    dynamo: Any = torch._dynamo.config
    limits, folder = (dynamo.recompile_limit, dynamo.accumulated_recompile_limit), os.getcwd()
    yield
    BlockAdapterRegister._adapters.clear()
    os.chdir(folder)
    dynamo.recompile_limit, dynamo.accumulated_recompile_limit = limits
    models.RUNS.clear()


def with_imports_of(source: str, module: str) -> str:
    """Return a block with another module imported in place of `cache_dit`."""
    source = re.sub(r"^(\s*)import cache_dit$", rf"\1import {module} as cache_dit", source, flags=re.M)
    return re.sub(r"^(\s*)from cache_dit\b", rf"\1from {module}", source, flags=re.M)


@pytest.mark.parametrize("path", BLOCKS, ids=lambda path: path.stem)
def test_a_block_runs_with_its_import_changed_and_nothing_else(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    changed = with_imports_of(source, "cachedsl.compat.cache_dit")
    lines = [(a, b) for a, b in zip(source.splitlines(), changed.splitlines(), strict=True) if a != b]
    assert lines
    assert all(a.strip().startswith(("import cache_dit", "from cache_dit")) for a, _ in lines)
    exec(compile(changed, str(path), "exec"), {"__name__": path.stem})
    policies = [run["policy"] for run in models.RUNS]
    assert policies == [
        tree if tree is None else _same(tree, policy, path.stem in CHAINED)
        for tree, policy in zip(EXPECTED[path.stem], policies, strict=True)
    ]


def _same(tree: dict[str, Any], policy: Policy, chained: bool) -> Policy:
    """Return the policy of a tree under the name that it has, its stacks as they mean the same."""
    if chained:
        tree = {**tree, "span": "joined"}
    expected = Policy(name=policy.name, **tree)
    for name, _ in expected.stacks:
        transformer, _, stack = name.partition(".")
        assert policy.for_stack(transformer, stack) == expected.for_stack(transformer, stack)
    return Policy(name=policy.name, **{**tree, "stacks": dict(policy.stacks)}) if expected.stacks else expected


def test_every_block_has_its_policies() -> None:
    assert EXPECTED.keys() == {path.stem for path in BLOCKS}

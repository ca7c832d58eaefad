"""Every public name of the installed cache-dit: here with a signature that takes the same calls, or an error.

cache-dit is looked at in a process of its own, because it patches classes for the process.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import cachedsl.compat.cache_dit as compat
from cachedsl.compat.cache_dit import NotCarriedOver
from cachedsl.compat.cache_dit.absent import ABSENT
from cachedsl.compat.cache_dit.caching import patch_functors
from cachedsl.convert.cache_dit import ALIASES, OPTIONS

_LOOK = """
import enum, inspect, json, types
import cache_dit, cache_dit.metrics, cache_dit.caching.patch_functors as functors

def look(value):
    if isinstance(value, type) and issubclass(value, enum.Enum):
        return {"kind": "enum", "members": [one.name for one in value]}
    if isinstance(value, type):
        public = [n for n, one in vars(value).items() if not n.startswith("_") and callable(getattr(value, n))]
        return {"kind": "class", "call": parameters(value), "methods": {n: parameters(getattr(value, n)) for n in public}}
    if callable(value):
        return {"kind": "function", "call": parameters(value)}
    return {"kind": "value", "name": getattr(value, "name", None)}

def parameters(value):
    found = inspect.signature(value).parameters.values()
    return [[p.name, p.kind.name, p.default is not p.empty, plain(p.default)] for p in found]

def plain(default):
    default = getattr(default, "name", default)
    return default if isinstance(default, (str, int, float, bool, type(None))) else "..."

public = {n: v for n, v in vars(cache_dit).items() if not n.startswith("_") and not isinstance(v, types.ModuleType)}
metrics = [n for n in vars(cache_dit.metrics) if not n.startswith("_") and callable(getattr(cache_dit.metrics, n))]
print(json.dumps({
    "names": {n: look(v) for n, v in public.items()},
    "metrics": {n: look(getattr(cache_dit.metrics, n)) for n in metrics},
    "functors": [n for n in dir(functors) if n.endswith("PatchFunctor")],
    "version": cache_dit.__version__,
}))
"""


@pytest.fixture(scope="module")
def theirs() -> dict[str, Any]:
    environment = {**os.environ, "CACHE_DIT_LOG_LEVEL": "error", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", _LOOK], capture_output=True, text=True, env=environment, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_release_is_the_one_that_is_installed(theirs: dict[str, Any]) -> None:
    assert compat.__version__ == theirs["version"]


def test_every_public_name_is_here_or_says_what_to_use(theirs: dict[str, Any]) -> None:
    here = {name for name in theirs["names"] if name not in ABSENT}
    assert here <= set(vars(compat)), sorted(here - set(vars(compat)))
    assert set(ABSENT) <= set(theirs["names"])
    assert not set(ABSENT) & set(vars(compat))


def test_signatures_take_the_same_calls(theirs: dict[str, Any]) -> None:
    for name, look in theirs["names"].items():
        if name in ABSENT:
            continue
        own = getattr(compat, name)
        if look["kind"] == "enum":
            assert issubclass(own, enum.Enum), name
            assert set(look["members"]) <= set(own.__members__), name
        elif look["kind"] in ("class", "function"):
            _takes(name, own, look["call"])
            for method, call in look.get("methods", {}).items():
                if not any(part in method for part in INNER.get(name, ())):
                    _takes(f"{name}.{method}", getattr(own, method), call)
        elif look["name"] is not None:
            assert own.name == look["name"], name


INNER = {
    "BlockAdapter": ("maybe_", "unique", "assert_", "is_"),
    "ParallelismConfig": ("_enabled", "world_size", "rank", "mesh", "strify"),
    "QuantizeConfig": ("is_", "expand", "resolve", "svdq", "get_", "to_", "from_", "component_quant"),
    "PatchFunctor": ("is_from", "assert_", "logging", "_apply"),
}
"""Methods that cache-dit calls itself, by a part of their names."""


def _takes(name: str, own: Any, call: list[Any]) -> None:
    """Check that every parameter is taken, in its place, with its default; one that starts with _ is theirs alone."""
    parameters = inspect.signature(own).parameters
    names = [one.name for one in parameters.values() if one.kind is not one.VAR_KEYWORD]
    plain = [one for one in call if one[1] not in ("VAR_KEYWORD", "VAR_POSITIONAL") and not one[0].startswith("_")]
    assert [one[0] for one in plain] == [n for n in names if n in {one[0] for one in plain}], name
    for parameter, _, optional, default in plain:
        mine = parameters[parameter]
        assert (mine.default is not mine.empty) == optional, f"{name}({parameter})"
        if optional and default != "...":
            assert getattr(mine.default, "name", mine.default) == default, f"{name}({parameter})"
    if any(one[1] == "VAR_KEYWORD" for one in call):
        assert any(one.kind is one.VAR_KEYWORD for one in parameters.values()), name


@pytest.mark.parametrize("name", sorted(ABSENT))
def test_what_is_not_here_raises_with_the_way_out_when_it_is_used(name: str) -> None:
    stand_in = getattr(compat, name)
    with pytest.raises(NotCarriedOver) as raised:
        stand_in.CACHE_DIT_LOG_LEVEL if name == "ENV" else stand_in(1, some=2)
    assert str(raised.value) == f"cachedsl.compat.cache_dit has no {name}; use {ABSENT[name]}"


def test_a_name_that_nobody_has_is_no_name() -> None:
    for module in (compat, compat.metrics, patch_functors):
        assert isinstance(module, ModuleType)
        with pytest.raises(AttributeError, match="has no attribute 'enable_cahce'"):
            module.enable_cahce  # noqa: B018


def test_every_metric_is_here_or_says_what_to_use(theirs: dict[str, Any]) -> None:
    here = [name for name in theirs["metrics"] if name in vars(compat.metrics)]
    assert sorted(here) == sorted(
        f"compute_{kind}{name}" for kind in ("", "video_") for name in ("mse", "psnr", "ssim")
    )
    for name in set(theirs["metrics"]) - set(here):
        with pytest.raises(NotImplementedError, match=rf"{name}\(\) (needs a trained model|is cache-dit's)"):
            getattr(compat.metrics, name)


def test_every_patch_functor_is_here(theirs: dict[str, Any]) -> None:
    known = [name for name in theirs["functors"] if name not in ("ImportErrorPatchFunctor",)]
    for name in known:
        assert issubclass(getattr(patch_functors, name), compat.PatchFunctor)


def test_every_name_of_the_guides_is_here() -> None:
    named = (
        *("enable_cache", "disable_cache", "refresh_context", "summary", "steps_mask", "supported_pipelines"),
        *("supported_matrix", "BlockAdapter", "ForwardPattern", "ParamsModifier", "DBCacheConfig", "DBPruneConfig"),
        *("BasicCacheConfig", "TaylorSeerCalibratorConfig", "FoCaCalibratorConfig", "DMDCalibratorConfig"),
        *("load_configs", "load_options", "block_range", "quantize", "ParallelismConfig", "ParallelismBackend"),
        *("BlockAdapterRegistry", "BlockAdapterRegister", "PatchFunctor", "CacheType", "apply_cache_on_pipe"),
        *("metrics", "default_options", "cache_type", "set_compile_configs", "set_attn_backend", "policy_of"),
    )
    assert set(named) <= set(compat.__all__)
    assert all(hasattr(compat, name) for name in compat.__all__)


def test_dataclasses_have_the_fields_of_cache_dit(theirs: dict[str, Any]) -> None:
    for name, look in theirs["names"].items():
        own = getattr(compat, name, None)
        if look["kind"] == "class" and name not in ABSENT and dataclasses.is_dataclass(own):
            fields = {one.name for one in dataclasses.fields(own)}
            assert {one[0] for one in look["call"] if not one[0].startswith("_")} <= fields, name


def test_the_page_for_those_who_come_from_cache_dit_has_every_option_and_name() -> None:
    page = (Path(__file__).parents[2] / "docs" / "from-cache-dit.md").read_text(encoding="utf-8")
    generic = {
        "calibrator_type",
        "enable_calibrator",
    }  # fields of the calibrator configs, which the page has as a whole
    assert [name for name in (*OPTIONS, *ALIASES) if f"`{name}`" not in page and name not in generic | _SHORTENED] == []


_SHORTENED = {"cache_type", "enable_encoder_calibrator"}
"""Options that stand in the page together with a value."""

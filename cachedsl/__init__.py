"""cachedsl: the policy layer for feature caching in diffusion transformers.

`load_policy("f8b0.yaml").apply(pipe)` attaches a policy to a diffusers pipeline. Importing this package imports no
torch; attaching does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cachedsl.adapter_model import Adapter, StackAdapter, TransformerAdapter
    from cachedsl.diagnostics import CachedslError, PolicyError
    from cachedsl.machine.compile import compile_policy
    from cachedsl.matching import load_adapter
    from cachedsl.policy.load import bundled_policies, load_policy
    from cachedsl.policy.model import Policy
    from cachedsl.registry import supported_matrix, supported_pipelines
    from cachedsl.runtime.attach import attached
    from cachedsl.runtime.session import Cached
    from cachedsl.summary import Summary
    from cachedsl.trace import Trace

__all__ = [
    "Adapter",
    "Cached",
    "CachedslError",
    "Policy",
    "PolicyError",
    "StackAdapter",
    "Summary",
    "Trace",
    "TransformerAdapter",
    "attached",
    "bundled_policies",
    "compile_policy",
    "load_adapter",
    "load_policy",
    "supported_matrix",
    "supported_pipelines",
]
__version__ = "0.1.0"

_HOMES = {
    "Adapter": "cachedsl.adapter_model",
    "Cached": "cachedsl.runtime.session",
    "CachedslError": "cachedsl.diagnostics",
    "Policy": "cachedsl.policy.model",
    "PolicyError": "cachedsl.diagnostics",
    "StackAdapter": "cachedsl.adapter_model",
    "Summary": "cachedsl.summary",
    "Trace": "cachedsl.trace",
    "TransformerAdapter": "cachedsl.adapter_model",
    "attached": "cachedsl.runtime.attach",
    "bundled_policies": "cachedsl.policy.load",
    "compile_policy": "cachedsl.machine.compile",
    "load_adapter": "cachedsl.matching",
    "load_policy": "cachedsl.policy.load",
    "supported_matrix": "cachedsl.registry",
    "supported_pipelines": "cachedsl.registry",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

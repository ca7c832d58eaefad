"""cachedsl: the policy layer for feature caching in diffusion transformers.

`load_policy("f8b0.yaml").apply(pipe)` attaches a policy to a diffusers pipeline. Importing this package imports no
torch; attaching does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cachedsl.language.policy import Policy
    from cachedsl.loading import bundled_policies, load_policy
    from cachedsl.lower.compile import compile_policy
    from cachedsl.matching.adapter import Adapter, StackAdapter, TransformerAdapter
    from cachedsl.matching.reading import load_adapter
    from cachedsl.matching.supported import supported_matrix, supported_pipelines
    from cachedsl.runtime.attach import attached
    from cachedsl.runtime.handle import Cached
    from cachedsl.summary import Summary
    from cachedsl.text.finding import CachedslError, PolicyError
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
    "Adapter": "cachedsl.matching.adapter",
    "Cached": "cachedsl.runtime.handle",
    "CachedslError": "cachedsl.text.finding",
    "Policy": "cachedsl.language.policy",
    "PolicyError": "cachedsl.text.finding",
    "StackAdapter": "cachedsl.matching.adapter",
    "Summary": "cachedsl.summary",
    "Trace": "cachedsl.trace",
    "TransformerAdapter": "cachedsl.matching.adapter",
    "attached": "cachedsl.runtime.attach",
    "bundled_policies": "cachedsl.loading",
    "compile_policy": "cachedsl.lower.compile",
    "load_adapter": "cachedsl.matching.reading",
    "load_policy": "cachedsl.loading",
    "supported_matrix": "cachedsl.matching.supported",
    "supported_pipelines": "cachedsl.matching.supported",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

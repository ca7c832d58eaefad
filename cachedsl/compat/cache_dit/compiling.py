"""Settings of `torch.compile` that caching needs."""

from __future__ import annotations

from typing import Any

import torch._dynamo

RECOMPILE_LIMIT, ACCUMULATED_LIMIT = 1024, 8192


def set_compile_configs(
    descent_tuning: bool = True,
    cuda_graphs: bool = False,
    force_disable_compile_caches: bool = False,
    fx_graph_cache: bool = True,
    fx_graph_remote_cache: bool = False,
    autotune_local_cache: bool = False,
    use_fast_math: bool = False,
    compute_comm_overlap: bool = True,
    ulysses_anything: bool = False,
    capture_scalar_outputs: bool | None = None,
    capture_dynamic_output_shape_ops: bool | None = None,
    cutedsl_enable_autotuning: bool | None = None,
    **kwargs: Any,
) -> None:
    """Let a model be compiled for many shapes, and set what is given of dynamo and inductor.

    `descent_tuning`, cache-dit's choice of inductor settings for one kind of GPU, is left to PyTorch's defaults.
    """
    import torch._inductor.config as inductor

    dynamo: Any = torch._dynamo.config
    dynamo.recompile_limit = RECOMPILE_LIMIT
    dynamo.accumulated_recompile_limit = ACCUMULATED_LIMIT
    if capture_scalar_outputs is not None:
        dynamo.capture_scalar_outputs = capture_scalar_outputs
    if capture_dynamic_output_shape_ops is not None:
        dynamo.capture_dynamic_output_shape_ops = capture_dynamic_output_shape_ops
    settings: Any = inductor
    settings.fx_graph_cache = fx_graph_cache
    settings.fx_graph_remote_cache = fx_graph_remote_cache
    settings.autotune_local_cache = autotune_local_cache
    settings.force_disable_caches = force_disable_compile_caches
    settings.use_fast_math = use_fast_math
    settings.triton.cudagraphs = cuda_graphs
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        settings.reorder_for_compute_comm_overlap = compute_comm_overlap

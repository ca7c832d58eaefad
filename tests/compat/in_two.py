"""Run the blocks of `parallel_blocks/` on this process of a group, and print what became of each run.

A script for `torchrun`. diffusers refuses to split models on CPUs; the three stand-ins below are what it asks for.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from tests.compat import models
from tests.compat.test_blocks import with_imports_of


def main() -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    core: Any = torch._C
    core._get_accelerator = lambda *_: torch.device("cpu")
    torch.accelerator.device_count = dist.get_world_size  # type: ignore[assignment]
    tensor: Any = import_module("diffusers.hooks.tensor_parallel")
    tensor._SUPPORTED_TP_DEVICES = (*tensor._SUPPORTED_TP_DEVICES, "cpu")
    found = {}
    for path in sorted(Path(__file__).with_name("parallel_blocks").glob("[a-z]*.py")):
        models.RUNS.clear()
        source = with_imports_of(path.read_text(encoding="utf-8"), "cachedsl.compat.cache_dit")
        exec(compile(source, str(path), "exec"), {"__name__": path.stem})
        found[path.stem] = [(run["policy"] and run["policy"].to_yaml(), run["reused"]) for run in models.RUNS]
    everywhere: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everywhere, found)
    assert all(one == found for one in everywhere), everywhere
    if dist.get_rank() == 0:
        print("FOUND " + json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()

"""Let cache-dit do what files and calls say. A script: cache-dit patches classes globally.

    python -m tests.differential.convert_runner FOLDER

reads `cases.json` there, each a name, a step count and `yaml` or `python`, and writes what `reference_runner` writes.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("CACHE_DIT_LOG_LEVEL", "error")

import cache_dit
import torch
from cache_dit import BlockAdapter, ForwardPattern

from tests.differential import reference_runner
from tests.differential.as_cache_dit import PATTERNS
from tests.differential.cases import Case


def enable(case: dict[str, Any], transformer: torch.nn.Module, folder: Path) -> None:
    """Enable the cache as a user would."""
    patterns = [getattr(ForwardPattern, PATTERNS["flux"])] * 2
    if "python" in case:
        exec(
            case["python"],
            {**vars(cache_dit), "cache_dit": cache_dit, "transformer": transformer, "PATTERNS": patterns},
        )
        return
    file = folder / "config.yaml"
    file.write_text(case["yaml"], encoding="utf-8")
    configs = {name: one for name, one in cache_dit.load_configs(str(file)).items() if one is not None}
    # its loader leaves the type a text, at which `enable_cache` stops
    config = configs["cache_config"]
    config.cache_type = type(config)().cache_type
    config.num_inference_steps = case["steps"]  # without it, a bare transformer is refreshed a call early
    blocks = [transformer.transformer_blocks, transformer.single_transformer_blocks]
    cache_dit.enable_cache(BlockAdapter(transformer=transformer, blocks=blocks, forward_pattern=patterns), **configs)


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    steps, outputs = {}, {}
    for given in json.loads((folder / "cases.json").read_text(encoding="utf-8")):
        reference_runner.attach = lambda case, transformer, given=given: enable(given, transformer, folder)
        case = Case(name=given["name"], steps=given["steps"], blocks=10)
        steps[case.name], outputs[case.name] = reference_runner.run(case)
    (folder / "steps.json").write_text(json.dumps(steps), encoding="utf-8")
    torch.save(outputs, folder / "outputs.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

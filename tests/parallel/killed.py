"""One of two processes dies in the middle of a run; see test_processes.py. Says what the other is told."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import torch.distributed as dist

from tests.parallel.common import flux, over, policy
from tests.parallel.world import drive, run_inputs

DIES_AT, DEAD = 4, 9


def run(out: Path) -> None:
    """Write what this process was told, and after how many seconds, where it lives."""
    model, calls = flux(), [0]

    def count_calls(module: Any, args: Any) -> None:
        calls[0] += 1
        if calls[0] == DIES_AT and dist.get_rank() == 1:
            os._exit(DEAD)

    model.register_forward_pre_hook(count_calls)
    began = time.monotonic()
    try:
        drive(model, over(policy(), ulysses=2), run_inputs("flux", 8))
    except Exception as error:
        told = {"error": str(error), "seconds": time.monotonic() - began, "calls": calls[0]}
        (out / "survivor.json").write_text(json.dumps(told), "utf-8")

"""Two GPUs on NCCL: Ulysses, ring with real attention, split weights, a compiled model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.combinations.registry import combination
from tests.wheel import ROOT


@combination(
    "context parallel (Ulysses, ring)",
    "tensor parallel × pruning",
    "torch.compile",
    means="two GPUs on NCCL decide alike, and as one GPU does",
    gpu=True,
)
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_gpus_decide_alike(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, "-m", "tests.parallel.gpu", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    told = [tmp_path / f"rank{rank}.json" for rank in range(2)]
    assert all(one.exists() for one in told), done.stderr[-4000:]
    failed = {
        f"rank {rank}: {name}": found["error"]
        for rank, one in enumerate(told)
        for name, found in json.loads(one.read_text("utf-8")).items()
        if found["error"]
    }
    assert not failed

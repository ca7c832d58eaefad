"""python -m tests.zoo.check PART [NAME]: build the entries of a part and run them, and say what their blocks do."""

from __future__ import annotations

import importlib
import sys
import time
from collections import Counter

import torch
from torch import nn

from tests.zoo.base import Entry


def outputs(value: object) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [tensor for part in parts for tensor in outputs(part)]


def check(entry: Entry) -> str:
    started = time.perf_counter()
    model = entry.build()
    counts: Counter[str] = Counter()
    for path, module in model.named_modules():
        if isinstance(module, nn.ModuleList):
            for block in module:
                block.register_forward_hook(lambda *_, path=path: counts.update([path]))
    with torch.no_grad():
        first = [outputs(entry_call(entry, model, step)) for step in (0, 0, 4)]
    assert all(tensor.isfinite().all() for call in first for tensor in call), "not finite"
    assert all(torch.equal(a, b) for a, b in zip(first[0], first[1], strict=True)), "not deterministic"
    assert any(not torch.allclose(a, b, atol=1e-4) for a, b in zip(first[0], first[2], strict=True)), "nothing drifts"
    lists = {path: count / 3 for path, count in counts.items()}
    return f"{entry.name}: {lists} {time.perf_counter() - started:.2f} s, {sum(p.numel() for p in model.parameters())} parameters"


def entry_call(entry: Entry, model: nn.Module, step: int, total: int = 8) -> object:
    entry.prepare(model)
    return model(**entry.inputs(step, total))


if __name__ == "__main__":
    torch.set_num_threads(1)
    part = importlib.import_module(f"tests.zoo.{sys.argv[1]}")
    for entry in part.ENTRIES:
        if len(sys.argv) < 3 or sys.argv[2] == entry.name:
            print(check(entry), flush=True)

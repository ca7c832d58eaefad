"""Compile a class of the zoo as a whole, without a policy and under one, and tell what became of it.

Dynamo with a backend that runs what it is given: what is asked is what can be traced, not what is made of it.
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import torch
from torch import nn

from cachedsl.language.masks import BitMask
from cachedsl.language.parts import Cfg, Compute, Reuse, Warmup
from cachedsl.language.policy import Policy
from tests.zoo.base import Entry, tensors

MASK = "11010"
STEPS = len(MASK)
STATIC = Policy(
    compute=Compute(1, 0), warmup=Warmup(2), reuse=Reuse("always"), steps=BitMask(MASK, "static"), cfg=Cfg("fused")
)
"""Of which a model takes two kinds of steps, computed ones and reused ones."""
MEASURING = Policy(compute=Compute(1, 0), warmup=Warmup(2), reuse=Reuse(0.2), cfg=Cfg("fused"))
"""Which looks at every step from the third on."""

Outputs = list[list[torch.Tensor]]
Steps = list[tuple[str, str]]


@attrs.frozen
class Result:
    """What became of a model under dynamo.

    Attributes:
        graphs: how many there are in the end.
        breaks: how many, in the whole run.
        error: what dynamo says where it refuses, and the line of the model that it refuses; empty where it does not.
        warned: what cachedsl says of it being compiled.
        off: the largest difference from the model that is not compiled, relative to its largest output.
        same: whether the same steps were computed and reused.
    """

    graphs: int = 0
    breaks: int = 0
    error: str = ""
    warned: tuple[str, ...] = ()
    off: float = 0.0
    same: bool = True

    @property
    def whole(self) -> bool:
        """Whether all of it was compiled, and did as it does without."""
        return self.graphs > 0 and not (self.breaks or self.error or self.warned) and self.off < 1e-4 and self.same


def run(entry: Entry, model: nn.Module, call: Any) -> Outputs:
    """Call a model as its pipeline does, at every step."""
    outputs, known = [], inspect.signature(model.forward).parameters
    plain = {"return_dict": False} if "return_dict" in known else {}
    with torch.no_grad():
        for step in range(STEPS):
            entry.prepare(model)
            outputs.append([tensor.clone() for tensor in tensors(call(**{**entry.inputs(step, STEPS), **plain}))])
    return outputs


def bare(entry: Entry, *, fullgraph: bool = True) -> Result:
    """Compile a model of the class without a policy."""
    model = entry.build()
    return _compiled(entry, model, run(entry, model, model), None, fullgraph)


def under(entry: Entry, policy: Policy, *, fullgraph: bool = True) -> Result:
    """Compile a model of the class under a policy."""
    model = entry.build()
    with policy.apply(model) as cached:
        with cached.run(steps=STEPS):
            expected = run(entry, model, model)
        steps = _steps(cached)
    return _compiled(entry, model, expected, (policy, steps), fullgraph)


def _compiled(
    entry: Entry, model: nn.Module, expected: Outputs, policy: tuple[Policy, Steps] | None, fullgraph: bool
) -> Result:
    graphs = 0

    def backend(graph: torch.fx.GraphModule, _: Any) -> Any:
        nonlocal graphs
        graphs += 1
        return graph.forward

    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    call = torch.compile(model, backend=backend, fullgraph=fullgraph)
    error, got, steps, same = "", expected, None, True
    with _warnings() as warned:
        try:
            if policy is None:
                got = run(entry, model, call)
            else:
                with policy[0].apply(model) as cached:
                    with cached.run(steps=STEPS):
                        got = run(entry, model, call)
                    steps = _steps(cached)
                same = steps == policy[1]
        except Exception as failure:  # dynamo's errors are of many kinds
            error = f"{type(failure).__name__}: {_said(failure)}"
    breaks = sum(torch._dynamo.utils.counters["graph_break"].values())
    torch._dynamo.reset()
    return Result(graphs, breaks, error, tuple(one for one in warned if "compiled" in one), _off(got, expected), same)


def _steps(cached: Any) -> Steps:
    return [(step.outcome, step.reason) for step in cached.trace.steps()]


def _off(got: Outputs, expected: Outputs) -> float:
    worst = 0.0
    for one, other in zip(got, expected, strict=True):
        for a, b in zip(one, other, strict=True):
            worst = max(worst, float((a - b).abs().max() / (b.abs().max() + 1e-3)))
    return worst


_FRAME = re.compile(r'File "[^"]*?/(diffusers/[^"]+)", line \d+, in (\w+)\n\s*(.+)')


def _said(failure: BaseException) -> str:
    """Return the first line of what dynamo says, and the innermost line of diffusers that it says it of."""
    text = str(failure)
    first, frames = text.strip().partition("\n")[0], _FRAME.findall(text)
    where = f", at {frames[-1][2].strip()} ({frames[-1][0]}, {frames[-1][1]})" if frames else ""
    return first.rstrip(". ") + where


@contextmanager
def _warnings() -> Iterator[list[str]]:
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("cachedsl")
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)

"""What a model's own loop does between its blocks happens on reused steps too."""

from __future__ import annotations

import pytest
import torch

from cachedsl.language.parts import Cfg, Compute, Reuse, Warmup
from cachedsl.language.policy import Policy
from tests.tiny import HIDDEN, LATENT, inputs, tiny_transformer

TOKENS = (LATENT // 2) ** 2


def policy(front: int = 0, back: int = 0, span: str = "joined") -> Policy:
    return Policy(
        compute=Compute(front, back),
        span=span,  # type: ignore[arg-type]
        warmup=Warmup(1),
        reuse=Reuse("always"),
        cfg=Cfg("fused"),
    )


def leaving(policy: Policy, samples: list[float]) -> list[torch.Tensor]:
    """Return what enters Flux's last norm at each step, with a ControlNet that adds `samples[step]` after every block."""
    model = tiny_transformer("flux")
    seen: list[torch.Tensor] = []
    model.norm_out.register_forward_hook(lambda module, args, output: seen.append(args[0]))  # type: ignore[union-attr, operator]
    with policy.apply(model) as cached, torch.no_grad(), cached.run(steps=len(samples)):
        for step, sample in enumerate(samples):
            added = [torch.full((1, TOKENS, HIDDEN), sample)] * 4
            model(**inputs("flux", step, 8), controlnet_block_samples=added, controlnet_single_block_samples=added)
        assert [s.outcome for s in cached.trace.steps(stack=cached.trace.steps()[0].stack)][1:] == ["reused"] * 3
    return seen


@pytest.mark.parametrize(
    ("span", "front", "back"), [("joined", 0, 0), ("stack", 0, 0), ("joined", 1, 0), ("stack", 1, 1)]
)
def test_a_controlnet_s_residuals_are_those_of_the_step(span: str, front: int, back: int) -> None:
    """Without blocks that react to it, every block's sample arrives once: four and four of them."""
    first = leaving(policy(front, back, span), [0.5, 0.5, 0.5, 0.5])
    second = leaving(policy(front, back, span), [0.5, 0.7, 0.5, 0.4])
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[2], second[2])
    for step, by in ((1, 0.2), (3, -0.1)):
        moved = second[step] - first[step]
        if front or back:
            assert float(moved.mean() / (8 * by)) == pytest.approx(1, abs=0.3)  # the blocks that run react to it
        else:
            assert torch.allclose(moved, torch.full_like(moved, 8 * by), atol=1e-5)


@pytest.mark.parametrize(("span", "front", "back"), [("joined", 0, 0), ("stack", 1, 1)])
def test_a_stationary_controlnet_gives_the_computed_output(span: str, front: int, back: int) -> None:
    model = tiny_transformer("flux")
    torch.manual_seed(0)
    added = [torch.randn(1, TOKENS, HIDDEN) for _ in range(4)]
    with policy(front, back, span).apply(model) as cached, torch.no_grad(), cached.run(steps=4):
        outputs = [
            model(
                **inputs("flux", 3, 8),
                controlnet_block_samples=added,
                controlnet_single_block_samples=added,
                return_dict=False,
            )[0]
            for _ in range(4)
        ]
        assert any(s.outcome == "reused" for s in cached.trace.steps())
    assert all(torch.allclose(output, outputs[0], atol=1e-4) for output in outputs)

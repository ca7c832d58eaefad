"""Let the front blocks tell how far to extrapolate: DiCache's trajectory alignment (arXiv 2508.17356, eq. 10)."""

from __future__ import annotations

import torch
from attrs import frozen

from cachedsl.predictors.base import Predictor, wide
from cachedsl.signals.reduce import reduced


@frozen
class _Anchor:
    value: torch.Tensor
    probe: torch.Tensor


class ProbeGainPredictor(Predictor):
    """`R₂ + γ (R₁ - R₂)` from the last two anchors R₁ and R₂, with `γ = mean|P - P₂| / mean|P₁ - P₂|`.

    P is what the front blocks add in this step, P₁ and P₂ what they added at the anchors. γ is clipped; at 1 and above
    it never goes back behind the newest anchor. With one anchor it copies.
    """

    needs_probe = True

    def __init__(self, clip: tuple[float, float]) -> None:
        self._clip = clip
        self._anchors: list[_Anchor] = []
        self._probe: torch.Tensor | None = None

    def see(self, probe: torch.Tensor) -> None:
        self._probe = probe

    def update(self, value: torch.Tensor, position: float) -> None:
        assert self._probe is not None, "the front blocks run before the unit"
        self._anchors = [*self._anchors[-1:], _Anchor(value, self._probe)]
        self._probe = None

    def predict(self, position: float) -> torch.Tensor:
        assert self._anchors, "predicted before the first anchor"
        assert self._probe is not None, "the front blocks run before the unit"
        newest, probe = self._anchors[-1], wide(self._probe)
        self._probe = None
        if len(self._anchors) == 1:
            return newest.value
        older = self._anchors[0]
        step, moved = reduced(torch.stack([(wide(p) - wide(older.probe)).abs().sum() for p in (newest.probe, probe)]))
        # a front that stood still between the anchors tells nothing: the newest anchor then
        gain = torch.where(step > 0, moved / step, 1.0).clamp(*self._clip)
        value = wide(newest.value)
        return torch.lerp(wide(older.value), value, gain.to(value.dtype)).to(newest.value.dtype)

    def tensors(self) -> tuple[torch.Tensor, ...]:
        return tuple(t for anchor in self._anchors for t in (anchor.value, anchor.probe))

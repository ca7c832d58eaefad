"""How features are held: as the blocks return them, or in another precision, or on the CPU."""

from __future__ import annotations

import torch
from attrs import frozen

from cachedsl.plan.rules import FeaturesPlan


@frozen
class Storage:
    """Takes what is to be kept, and gives it back where it is used.

    Attributes:
        dtype: that it is held in; None is its own.
        device: that it is held on; None is its own. Predictors calculate where their anchors are.
    """

    dtype: torch.dtype | None = None
    device: torch.device | None = None

    def put(self, value: torch.Tensor) -> torch.Tensor:
        """Return `value` as it is held: itself where nothing changes. To the CPU, it waits for the device."""
        dtype = value.dtype if self.dtype is None else self.dtype
        return value.to(value.device if self.device is None else self.device, dtype)

    def get(self, value: torch.Tensor, device: torch.device | None) -> torch.Tensor:
        """Return what is held on `device`; in which dtype a block returns it is for the block to say."""
        return value if device is None or self.device is None else value.to(device)


def storage_of(plan: FeaturesPlan | None) -> Storage:
    """Return the storage that a plan asks for."""
    if plan is None:
        return Storage()
    dtype = None if plan.dtype is None else getattr(torch, plan.dtype)
    return Storage(dtype, None if plan.device is None else torch.device(plan.device))

"""Signals measure relative movement of their tap."""

from __future__ import annotations

import math
from typing import get_args

import torch

from cachedsl.policy.model import SignalName
from cachedsl.signals import BLOCK_INPUT, SIGNALS, StepView, relative_l1


def test_the_registry_is_what_policies_may_name() -> None:
    assert set(SIGNALS) == set(get_args(SignalName))
    assert all(signal.name == name for name, signal in SIGNALS.items())


def test_relative_l1_is_relative_to_the_reference() -> None:
    reference = torch.tensor([[[1.0, -3.0]]])
    assert relative_l1(torch.tensor([[[2.0, -3.0]]]), reference) == 0.25
    assert relative_l1(reference, reference) == 0.0


def test_relative_l1_is_computed_in_float32() -> None:
    reference = torch.full((1, 1, 4096), 1.0, dtype=torch.bfloat16)
    now = reference.clone()
    now[..., 0] = 2.0
    assert relative_l1(now, reference) == 1 / 4096


def test_a_reference_of_zero_norm_is_not_finite() -> None:
    zero = torch.zeros(1, 2, 3)
    assert not math.isfinite(relative_l1(zero, zero))
    assert not math.isfinite(relative_l1(zero + 1, zero))


def test_taps() -> None:
    view = StepView(torch.zeros(1, 2, 3), torch.ones(1, 2, 3), torch.full((1, 2, 3), 3.0))
    assert torch.equal(SIGNALS["residual"].tap(view), torch.full((1, 2, 3), 2.0))
    kept = SIGNALS["hidden_states"].tap(view)
    assert view.front_exit is not None
    view.front_exit.add_(1)
    assert torch.equal(kept, torch.full((1, 2, 3), 3.0))
    entry = BLOCK_INPUT.tap(view)
    view.unit_entry.add_(1)
    assert torch.equal(entry, torch.zeros(1, 2, 3))

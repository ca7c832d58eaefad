"""What four processes do together; see test_processes.py."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist

from cachedsl.language.parts import Dynamic, Predict, Prune
from tests.parallel.common import STEPS, over, policy, random_case, refusal, some_of_each
from tests.parallel.world import Case, drive, equals_one, everywhere, outcomes, run_inputs
from tests.tiny import tiny_transformer

CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    CASES[function.__name__] = function
    return function


def flux(**config: Any) -> Any:
    return tiny_transformer("flux", blocks=3, **{"num_attention_heads": 4, "attention_head_dim": 16, **config})


@case
def random_policies_on_tokens_that_do_not_divide() -> None:
    found = [random_case(100 + seed, 4) for seed in range(3)]
    some_of_each([step for steps in found for step in steps])


@case
def ulysses_and_ring_together_do_what_one_process_does() -> None:
    def make() -> Any:
        model = flux()
        model.set_attention_backend("_native_cudnn")
        return model

    one, given = policy(0.2, predict=Predict("dmd")), run_inputs("flux", STEPS, text=4)
    expected, alone = drive(flux(), one, given)
    outputs, steps = drive(make(), over(one, ulysses=2, ring=2), given)
    flux().set_attention_backend("native")
    assert outcomes(steps) == outcomes(alone)
    assert all(told == steps for told in everywhere(steps))
    torch.testing.assert_close(outputs, expected, rtol=1e-3, atol=2e-4)


@case
def tensor_parallel_over_four_goes_with_pruning() -> None:
    one = policy(0.1, prune=Prune(dynamic=Dynamic()))
    some_of_each(equals_one(flux, one, over(one, tensor=4), run_inputs("flux", STEPS)))


@case
def twice_two_processes_are_two_runs_beside_each_other() -> None:
    one, mine = policy(0.3), dist.get_rank() // 2
    given = run_inputs("flux", STEPS, seed=mine)
    expected, alone = drive(flux(), one, given)
    outputs, steps = drive(flux(), over(one, ulysses=2), given)
    assert outcomes(steps) == outcomes(alone)
    torch.testing.assert_close(outputs, expected, rtol=1e-3, atol=2e-4)
    told = everywhere(steps)
    assert told[0] == told[1]
    assert told[2] == told[3]
    assert told[0] != told[2], "each run measures its own"


@case
def what_cannot_be_split_is_refused_with_the_numbers() -> None:
    small = flux(num_attention_heads=2)
    assert "ulysses 4 does not divide its 2 attention heads" in refusal(lambda: small, over(policy(), ulysses=4))
    assert "ring 3 needs 3 processes, or a multiple of it, and there are 4" in refusal(flux, over(policy(), ring=3))
    both = over(policy(), ulysses=2, ring=2, uneven=True)
    assert "not with ulysses 2 × ring 2 together" in refusal(flux, both)
    assert "not both, but ulysses 2 × tensor 2" in refusal(flux, over(policy(), ulysses=2, tensor=2))

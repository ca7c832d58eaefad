"""What is known of a finished run, and how its steps are counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import field, frozen

from cachedsl.language.policy import Policy
from cachedsl.plan.ir import Plan
from cachedsl.trace import StepRecord

CHECKS = ()


@frozen
class RunFacts:
    """A finished run.

    Attributes:
        run: its number.
        plan: its last loop's plan, None where no call came to it.
        policy: the policy that it went by.
        uncached: why calls ran uncached, and how many.
        alternated: calls were told apart by their order alone.
        doubled: calls that looked like another branch's, where `cfg: fused` says there is none.
        new_noise: it ended because the next call had a latent of new noise.
        not_finite: of each branch, the steps at which the model's output was not finite, in order.
        changed_at: the steps before which the weights of a transformer were changed.
        announced: the step count that was told, where there is no plan to say it.
        steps: what its trace has of its last loop.
        told: the caller told the step count; else the pipeline or its scheduler did.
    """

    run: int
    plan: Plan | None
    policy: Policy
    uncached: Mapping[str, int] = field(factory=dict)
    alternated: bool = False
    doubled: int = 0
    told: bool = False
    new_noise: bool = False
    steps: tuple[StepRecord, ...] = ()
    announced: int | None = None
    not_finite: Mapping[str, tuple[int, ...]] = field(factory=dict)
    changed_at: tuple[int, ...] = ()

    @property
    def num_steps(self) -> int | None:
        """The announced step count, where there was one."""
        return self.announced if self.plan is None else self.plan.num_inference_steps

    @property
    def called(self) -> dict[str, int]:
        """On how many steps each branch was called, summed over a pipeline's transformers."""
        steps: dict[str, set[int]] = {}
        for record in self.steps:
            steps.setdefault(record.branch, set()).add(record.step)
        return {branch: len(found) for branch, found in steps.items()}


def count(steps: Sequence[StepRecord]) -> int:
    """Return how many steps there are, whatever lists and branches they are of."""
    return len({s.step for s in steps})


def where(steps: Sequence[StepRecord]) -> str:
    """Say of how many lists and branches steps are, where it is more than one."""
    lists, branches = len({(s.transformer, s.stack) for s in steps}), len({s.branch for s in steps})
    several = [f"{lists} block lists"] * (lists > 1) + [f"{branches} branches"] * (branches > 1)
    return f", in each of {' and '.join(several)}" if several else ""


def in_words(steps: int) -> str:
    """Write a number of steps."""
    return f"{steps} step{'s' * (steps != 1)}"

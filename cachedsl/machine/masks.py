"""Step masks, resolved for a run's step count: strings of 0 and 1, 1 = compute."""

from __future__ import annotations

from itertools import chain, islice, zip_longest

from cachedsl.policy.model import AtMask, BitMask, Mask


class MaskMismatch(ValueError):
    """The mask does not fit the step count; the message says both numbers."""


def resolve_mask(mask: Mask, num_steps: int) -> str:
    """Write `mask` out for `num_steps` steps.

    Runs that end early are completed with computed steps, longer ones are cut.

    Raises:
        MaskMismatch: a literal mask has another length, or `at` names a step that the run does not have.
    """
    if isinstance(mask, BitMask):
        if len(mask.bits) != num_steps:
            raise MaskMismatch(f"the mask has {len(mask.bits)} steps, but the run has {num_steps}")
        return mask.bits
    if isinstance(mask, AtMask):
        beyond = [step for step in mask.at if step >= num_steps]
        if beyond:
            raise MaskMismatch(
                f"the mask computes step {beyond[0]}, but the run has {num_steps} (0 to {num_steps - 1})"
            )
        return "".join("1" if step in mask.at else "0" for step in range(num_steps))
    runs = zip_longest(mask.compute, mask.cache, fillvalue=0)
    bits = ("1" * min(computed, num_steps) + "0" * min(cached, num_steps) for computed, cached in runs)
    return "".join(islice(chain.from_iterable(bits), num_steps)).ljust(num_steps, "1")

"""Step lists as tests give them, and as messages say them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def checked_steps(name: str, steps: Iterable[int], count: int | None) -> tuple[int, ...]:
    """Return step indices, sorted. Raises ValueError where one is no step of a run of `count`."""
    found = tuple(steps)
    for step in found:
        if isinstance(step, bool) or not isinstance(step, int) or step < 0 or (count is not None and step >= count):
            most = "" if count is None else f" to {count - 1}"
            raise ValueError(f"{name}: expected steps from 0{most}, got {step!r}")
    return tuple(sorted(set(found)))


def steps_words(steps: Sequence[int]) -> str:
    """Return sorted steps in words: `step 3`, `steps 0-4, 9`."""
    runs: list[list[int]] = []
    for step in steps:
        if runs and step == runs[-1][-1] + 1:
            runs[-1].append(step)
        else:
            runs.append([step])
    said = ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return f"step{'' if len(steps) == 1 else 's'} {said}"

"""The part of `place` that finds a call's step and branch, by the best source there is."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Literal

from attrs import frozen

from cachedsl.runtime.likeness import (
    best_match,
    is_stranger,
    next_step,
    repeats,
    same_arguments,
    same_image,
    same_latent,
    same_timestep,
    shares_noise,
)
from cachedsl.runtime.observation import CallFingerprint, How, Observation, PlacedCall, PlaceState, Uncached


@frozen
class Belongs:
    """A step and a branch, by what the branch was told, and whether it looks like one that `cfg: fused` denies."""

    step: int
    branch: str
    how: How = "matched"
    doubled: bool = False


Found = Belongs | Uncached | Literal["run", "noise"]
"""Where a call belongs; "run" where it is the first of another run, "noise" where only its new noise tells so."""

_RENEWS = 2
"""Runs in a row of one step each, after which a sampler is taken for one that draws new noise at every step."""


def find_branch(state: PlaceState, call: Observation) -> Found:
    """Return the step and branch of a call of the run's own loop."""
    if call.index is not None:
        assert state.base is not None
        return _in_order(state, call, call.index - state.base)
    if _is_past(state, call):
        return Uncached("past_end")
    named = call.context is not None
    if call.schedule is not None and call.schedule.steps and not state.standing:
        return _first_step(state, call)
    if not named and (state.rules.mode != "auto" or call.fingerprint is None):
        return _alternating(state, call)
    if call.fingerprint is None:
        return _counted(state, call)
    return _by_what_it_was_given(state, call, call.fingerprint)


def _in_order(state: PlaceState, call: Observation, step: int) -> Found:
    """The step is shown: calls are told apart by their names, and by their order within the step."""
    if step < state.step:  # a run that nobody delimits is one loop, so that it is another run's
        return Uncached("again") if state.rules.delimited else "run"
    here = [one for one in state.here if one.component == call.component] if step == state.step else []
    if call.context is not None:
        return Belongs(step, _free(call.context.name, (one.branch for one in here)), "named")
    names = state.rules.branches
    place = sum(one.name is None for one in here)
    branch = names[place] if place < len(names) else f"branch_{place + 1}"
    return Belongs(step, _better(state, call, here, branch), "ordered")


def _better(state: PlaceState, call: Observation, here: list[PlacedCall], ordered: str) -> str:
    """Return the branch that is due, or the one whose arguments these are: a step may leave branches out."""
    taken = {one.branch for one in here}
    due = None if ordered in taken else state.last.get((call.component, ordered))
    waiting = [
        one
        for (component, branch), one in state.last.items()
        if component == call.component and branch not in taken and one.name is None
    ]
    now = call.fingerprint
    best = None if now is None else best_match(now, sorted(waiting, key=lambda one: one is not due))
    if now is None or best is None:
        return ordered if ordered not in taken else _named_or_free(state, call, None)
    if _same(state, now, best):
        return best.branch
    resized = due is not None and due.fingerprint is not None and due.fingerprint.shape != now.shape
    return ordered if resized or not here else _named_or_free(state, call, None)


def _same(state: PlaceState, now: CallFingerprint, known: PlacedCall) -> bool:
    """Tell whether there is no doubt; in doubt, a call is a branch of its own, which harms no other."""
    given = known.fingerprint
    return given is None or (given.shape == now.shape and same_arguments(now, given, state.moving))


def _first_step(state: PlaceState, call: Observation) -> Found:
    """The scheduler has made no step yet, or stands still, which the same image at another timestep tells.

    Another image is another window's, or a call before the loop.
    """
    now = call.fingerprint
    last = state.here[-1].fingerprint if state.here else None
    if now is not None and last is not None:
        if not same_timestep(now, last) and any(
            one.fingerprint and same_image(now, one.fingerprint) for one in state.here
        ):
            return _by_what_it_was_given(state, call, now)
    elif call.context is not None and any(
        one.name == call.context.name and one.component == call.component for one in state.here
    ):
        return _counted(state, call)
    return _in_order(state, call, max(state.step, 0))


def _counted(state: PlaceState, call: Observation) -> Found:
    """Nothing is shown but a name: it comes once a step."""
    assert call.context is not None
    known = state.last.get((call.component, call.context.name))
    step = max(state.step, 0) if known is None else known.step + 1
    if _ended(state, step):
        return "run"
    return Belongs(step, call.context.name, "named")


def _alternating(state: PlaceState, call: Observation) -> Found:
    """The calls of a step come one after the other, as `cfg` says."""
    names = state.rules.branches
    here = [one for one in state.here if one.component == call.component]
    new = not here or len(here) >= len(names)
    step = state.step + 1 if new else state.step
    branch = names[0] if new else names[len(here)]
    now, doubled = call.fingerprint, False
    if now is not None and state.here:
        other = _another_image(state, call, now)
        if other is not None:
            return other
        doubled = any(_looks_doubled(now, one.fingerprint) for one in here)
    if new and _ended(state, step):
        return Uncached("past_end") if now is not None and _goes_on(state, now) else "run"
    return Belongs(step, branch, "alternated", doubled and len(names) == 1)


def _by_what_it_was_given(state: PlaceState, call: Observation, now: CallFingerprint) -> Found:
    """A step has one timestep; a branch goes on with the arguments and the latent that it had."""
    name = None if call.context is None else call.context.name
    last = state.here[-1].fingerprint if state.here else None
    known = [one for one in state.last.values() if one.component == call.component and one.name == name]
    if last is None:
        return Belongs(state.step + 1, _named_or_free(state, call, name))
    if state.rules.delimited and is_stranger(now, known, state.moving) and not same_timestep(now, last):
        return Uncached("stranger")
    other = _another_image(state, call, now)
    if other is not None:
        return other
    if not same_timestep(now, last):
        return _next(state, call, now, known)
    here = [one for one in state.here if one.component == call.component and one.name == name]
    prints = [(one, one.fingerprint) for one in here if one.fingerprint is not None]
    again = [one for one, given in prints if repeats(now, given)]
    if again:
        return _next(state, call, now, again)
    waiting = [one for one in known if one.step < state.step]
    twins = [(one, given) for one, given in prints if same_arguments(now, given) and now.shape == given.shape]
    if twins:
        waiting = [one for one in waiting if one.fingerprint and same_arguments(now, one.fingerprint, state.moving)]
        near = [one for one, given in twins if next_step(now, given)]
        if near and not waiting:
            return _next(state, call, now, near)
    best = best_match(now, waiting)
    if best is not None and (name is not None or _same(state, now, best)):
        return Belongs(state.step, best.branch)
    return Belongs(state.step, _named_or_free(state, call, name))


def _next(state: PlaceState, call: Observation, now: CallFingerprint, goes_on_from: list[PlacedCall]) -> Found:
    """The call begins the next step, for the branch among these that it goes on from."""
    step = state.step + 1
    if _ended(state, step):
        return Uncached("past_end") if _goes_on(state, now) else "run"
    best = best_match(now, goes_on_from)
    name = None if call.context is None else call.context.name
    return Belongs(step, _named_or_free(state, call, name) if best is None else best.branch)


def _ended(state: PlaceState, step: int) -> bool:
    """Tell whether a run that nobody delimits has had its steps."""
    steps = state.rules.steps
    return not state.rules.delimited and steps is not None and step >= steps


def _is_past(state: PlaceState, call: Observation) -> bool:
    """Tell whether it is another call of a step behind the last one, of which `here` then has one without a branch."""
    if not state.here or state.here[-1].branch or state.here[-1].fingerprint is None or call.fingerprint is None:
        return False
    return same_timestep(call.fingerprint, state.here[-1].fingerprint)


def _goes_on(state: PlaceState, now: CallFingerprint) -> bool:
    """Tell whether a call goes on from the last step: the caller told another step count than the loop has."""
    prints = [one.fingerprint for one in state.here if one.fingerprint is not None]
    if not prints or not state.direction:
        return False
    onward = (now.level - prints[-1].level) * state.direction > 0
    return onward and any(same_image(now, one) for one in prints)


def _another_image(state: PlaceState, call: Observation, now: CallFingerprint) -> Literal["run", "noise"] | None:
    """Tell whether a call begins another run, where nobody delimits them: by timestep, by noise."""
    last = state.here[-1].fingerprint
    if state.rules.delimited or last is None:
        return None
    if (now.level - last.level) * state.direction < 0:
        return "run"
    known = [*state.here, *(one for one in state.last.values() if one.component == call.component)]
    prints = [one.fingerprint for one in known if one.fingerprint is not None]
    if any(same_image(now, one) for one in prints):
        return None
    if same_timestep(now, last):
        here = [one.fingerprint for one in state.here if one.fingerprint is not None]
        return None if any(same_latent(now, one) or shares_noise(now, one) for one in here) else "run"
    same = any(same_arguments(now, one, state.moving) and now.shape == one.shape for one in prints)
    if same and state.renewed >= _RENEWS:
        return None
    return "noise" if same and state.step == 0 else "run"


def _looks_doubled(now: CallFingerprint, given: CallFingerprint | None) -> bool:
    if given is None or not same_timestep(now, given) or same_arguments(now, given):
        return False
    return same_latent(now, given) or shares_noise(now, given)


def _named_or_free(state: PlaceState, call: Observation, name: str | None) -> str:
    """Return the name of a branch that has not been seen yet."""
    taken = [branch for component, branch in state.last if component == call.component]
    if name is not None:
        return _free(name, taken)
    return next((one for one in state.rules.branches if one not in taken), f"branch_{len(taken) + 1}")


def _free(name: str, taken: Iterable[str]) -> str:
    used = set(taken)
    return name if name not in used else next(f"{name}_{k}" for k in count(2) if f"{name}_{k}" not in used)

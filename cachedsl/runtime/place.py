"""Which run, step and branch a transformer call belongs to: a pure reducer, as docs/placement.md specifies it."""

from __future__ import annotations

from collections.abc import Callable

from cachedsl.runtime.branches import Belongs, find_branch
from cachedsl.runtime.errors import CfgMismatch
from cachedsl.runtime.likeness import changed, same_timestep
from cachedsl.runtime.observation import (
    FUSED_BRANCH,
    Begins,
    CallFingerprint,
    Observation,
    Placed,
    PlacedCall,
    Placement,
    PlaceState,
    Schedule,
    Uncached,
)

MOST_BRANCHES = 64
"""Of one transformer; what goes on beyond it is no branch that comes again."""

_SCALES: tuple[Callable[[float], float], ...] = (
    lambda t: t,
    lambda t: t / 1000,
    lambda t: 1 - t / 1000,
    lambda t: 1000 - t,
    lambda t: 1 - t,
)
"""What pipelines make of a scheduler's timestep before they give it to a transformer."""


def place(state: PlaceState, call: Observation) -> tuple[PlaceState, Placement]:
    """Place the call that is about to be made.

    Raises:
        CfgMismatch: the policy's explicit `cfg` contradicts the pipeline's own names.
    """
    if call.origin != "loop":
        return state, Uncached(call.origin)
    if call.owner != state.rules.owner:
        return state, Uncached("thread")
    begins: Begins = "nothing"
    if state.step < 0:
        begins, state = "run", _begun(state, call)
    elif _is_another_loop(state, call):
        begins, state = "loop", _begun(PlaceState(state.rules, schedule=state.schedule), call)
    state = _shown(state, call)
    found = find_branch(state, call)
    if found in ("run", "noise"):
        return place(PlaceState(state.rules, renewed=state.renewed + 1 if found == "noise" else _kept(state)), call)
    if not isinstance(found, Belongs):
        assert isinstance(found, Uncached)
        return (_past(state, call) if found.why == "past_end" else state), found
    key = (call.component, found.branch)
    known = state.last.get(key)
    if known is not None and known.step >= found.step:
        return state, Uncached("again")
    if known is None and sum(component == call.component for component, _ in state.last) >= MOST_BRANCHES:
        return state, Uncached("branches")
    _check_cfg(state, call, found)
    state = _taken(state, call, found)
    offset, full = state.offset, state.full
    return state, Placed(found.step, found.branch, state.num_steps, offset, full, begins, found.how)


def is_over(state: PlaceState) -> bool:
    """Tell whether the last step was taken, by every branch that was called in the step before it."""
    steps = state.num_steps
    if steps is None or state.step < steps - 1:
        return False
    called = {call.branch for call in state.here}
    if state.step > 0:
        return state.before <= called
    expected = state.rules.branches
    return called >= set(expected) or not called & set(expected)


def _kept(state: PlaceState) -> int:
    """Return what the next run is told of a sampler that draws new noise at every step."""
    return state.renewed if state.step > 0 else 0


def _begun(state: PlaceState, call: Observation) -> PlaceState:
    """Fix the schedule with the first call of a loop."""
    schedule = call.schedule
    told = state.rules.steps
    if call.context is not None and call.context.num_inference_steps is not None:
        told = call.context.num_inference_steps
    if schedule is None or schedule.length is None:
        return state._replace(num_steps=told, full=told, schedule=None if schedule is None else schedule.number)
    offset, sure = _offset(schedule, call, told)
    full = max(schedule.length, offset + (told or 0))
    steps = schedule.length - offset if told is None else told
    return state._replace(num_steps=steps, offset=offset, sure=sure, full=full, schedule=schedule.number)


def _offset(schedule: Schedule, call: Observation, told: int | None) -> tuple[int, bool]:
    """Return where in the scheduler's table the loop begins, and whether anything says so."""
    assert schedule.length is not None
    if schedule.begin_index is not None:
        return min(schedule.begin_index, schedule.length - 1), True
    table, given = schedule.timesteps, call.fingerprint
    if not table or given is None:
        return 0, call.announced == schedule.length
    counts = [count for count in (told, call.announced) if count is not None and 0 < count <= len(table)]
    places = [0, *(len(table) - count for count in counts)] if counts else list(range(len(table)))
    errors = {place: min(abs(scale(table[place]) - given.level) for scale in _SCALES) for place in places}
    best = min(places, key=lambda place: errors[place])
    tolerance = 1e-2 if counts else 1e-5  # a timestep in half precision is a little off
    sure = errors[best] <= tolerance * max(abs(given.level), 1e-3)
    return (best, True) if sure else (0, False)


def _shown(state: PlaceState, call: Observation) -> PlaceState:
    """Take note of the index that the pipeline or its scheduler shows; the first one tells which is step 0."""
    index, schedule = call.index, call.schedule
    if index is None or state.base is not None:
        return state if index == state.shown else state._replace(shown=index)
    if call.context is not None and call.context.step_index is not None:
        return state._replace(shown=index, base=0)
    assert schedule is not None
    if schedule.begin_index is not None:
        base = schedule.begin_index
    elif state.step >= 0 and not state.sure and schedule.length is not None:
        base = max(index - state.step - 1, 0)  # it has made its first step since
        base = base if schedule.length - base == call.announced else 0
    else:
        base = state.offset if state.step >= 0 or state.offset == index else 0
    if base != state.offset and schedule.length is not None and base < schedule.length:
        told = state.rules.steps
        steps = schedule.length - base if told is None else told
        state = state._replace(offset=base, num_steps=steps, full=max(schedule.length, base + steps))
    return state._replace(shown=index, base=base)


def _is_another_loop(state: PlaceState, call: Observation) -> bool:
    """Tell whether the index goes back, the timesteps are set anew, or a loop that shows no index has had its steps."""
    if not state.rules.delimited:
        return False  # of one loop each
    index = call.index or 0
    number = None if call.schedule is None else call.schedule.number
    exchanged = number is not None and state.schedule is not None and number != state.schedule
    if index < (state.shown or 0) or (exchanged and index == 0):
        return True
    if not state.standing or state.rules.steps is not None:
        return False
    last = state.here[-1].fingerprint if state.here else None
    if last is not None and call.fingerprint is not None and same_timestep(call.fingerprint, last):
        return False
    return call.announced is not None and min(state.counts.values(), default=0) >= call.announced


def _past(state: PlaceState, call: Observation) -> PlaceState:
    """Remember a call behind the last step, to see whether the next one goes on from it."""
    return state._replace(here=(_placed(call, Belongs(state.step, ""), call.fingerprint),))


def _check_cfg(state: PlaceState, call: Observation, found: Belongs) -> None:
    if call.context is None:
        return
    name = call.context.name
    if state.rules.mode == "separate" and name == FUSED_BRANCH:
        raise CfgMismatch(
            f"cfg: separate, but the pipeline runs all CFG branches in one call, which it names '{name}'; "
            "set cfg: auto or fused"
        )
    if state.rules.mode == "fused" and found.step == state.step:
        other = next((one.name for one in state.here if one.name not in (None, name)), None)
        if other is not None:
            raise CfgMismatch(
                f"cfg: fused, but the pipeline calls the transformer once per CFG branch ('{other}', '{name}'); "
                "set cfg: auto or separate"
            )


def _taken(state: PlaceState, call: Observation, found: Belongs) -> PlaceState:
    """Return the state after a call that was placed."""
    here, before = state.here, state.before
    known, moving, given = state.last.get((call.component, found.branch)), state.moving, call.fingerprint
    if known is not None and known.fingerprint is not None and given is not None:
        moving |= changed(given, known.fingerprint)
    elif known is not None:
        given = known.fingerprint
    placed = _placed(call, found, given)
    direction = state.direction
    if found.step != state.step:
        before, here = frozenset(one.branch for one in here), ()
        if not direction and state.here and call.fingerprint is not None:
            last = state.here[-1].fingerprint
            direction = 0.0 if last is None else call.fingerprint.level - last.level
    still = call.index is None and call.schedule is not None and call.schedule.steps
    standing = state.standing or (still and found.step > 0)
    announced = call.announced if state.rules.steps is None else None
    seen = any(one.branch == found.branch for one in here)
    return state._replace(
        step=found.step,
        here=(*here, placed),
        last={**state.last, (call.component, found.branch): placed},
        counts={**state.counts, found.branch: state.counts.get(found.branch, 0) + (not seen)},
        before=before,
        direction=direction,
        standing=standing,
        num_steps=announced if standing and announced is not None else state.num_steps,
        doubled=state.doubled + found.doubled,
        moving=moving,
    )


def _placed(call: Observation, found: Belongs, fingerprint: CallFingerprint | None) -> PlacedCall:
    name = None if call.context is None else call.context.name
    return PlacedCall(found.step, found.branch, call.component, name, fingerprint)

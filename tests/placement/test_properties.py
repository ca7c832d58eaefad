"""Whatever pipeline calls, `place` finds the step and the branch that the call has, or none at all."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from cachedsl.runtime.observation import Observation, Placed, PlaceState, Rules, Uncached
from cachedsl.runtime.place import is_over, place
from tests.placement.simulate import Branch, Loop, calls

SHOWN = ("scheduler", "context", "nothing", "tables", "standing")


@st.composite
def branches(draw: Any, steps: int, windows: bool) -> tuple[Branch, ...]:
    """Guidance or none, in an interval or on all steps, of one window or several, window by window or name by name."""
    names = draw(st.sampled_from([("cond",), ("cond", "uncond"), ("cond", "uncond", "perturbed")]))
    first = draw(st.integers(0, steps - 1))
    last = draw(st.integers(first, steps - 1))
    count = draw(st.integers(1, 3)) if windows else 1
    guided = [(0, steps - 1) if name == "cond" else (first, last) for name in names]
    made = [Branch(name, window, *when) for name, when in zip(names, guided, strict=True) for window in range(count)]
    return tuple(sorted(made, key=lambda one: one.window) if draw(st.booleans()) else made)


@st.composite
def loops(draw: Any, shows: tuple[str, ...] = SHOWN, windows: bool = True, **fixed: Any) -> Loop:
    steps = draw(st.integers(2, 9))
    shown = draw(st.sampled_from(shows))
    return Loop(
        shows=shown,
        named=fixed.get("named", shown == "context" or draw(st.booleans())),
        steps=steps,
        branches=draw(branches(steps, windows)),
        offset=0 if shown in ("nothing", "context") else draw(st.integers(0, 4)),
        says_begin=draw(st.booleans()),
        image=draw(st.booleans()),
        stop=draw(st.none() | st.integers(1, 3 * steps)),
        scale=draw(st.sampled_from([1.0, 0.001])),
    )


EXTRA = st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["callback", "nested", "pipeline"])), max_size=4)


def follow(state: PlaceState, made: Any) -> tuple[PlaceState, list[Placed]]:
    """Place the calls of one loop and compare each with its true place."""
    known: dict[Branch, str] = {}
    placed: list[Placed] = []
    for call in made:
        state, found = place(state, call.seen)
        if call.step is None:
            assert found == Uncached(call.seen.origin)
            continue
        assert isinstance(found, Placed), (found, call)
        assert found.step == call.step, (found, call)
        assert found.branch == known.setdefault(call.branch, found.branch), (found, call)
        assert (found.begins != "nothing") == (not placed)
        placed.append(found)
    assert len(set(known.values())) == len(known), "no two branches are one"
    return state, placed


def rules(loop: Loop) -> Rules:
    return Rules(declared="separate", steps=loop.steps if loop.shows == "nothing" else None)


@given(loops(), EXTRA)
@settings(max_examples=300)
def test_every_call_is_placed_where_it_belongs(loop: Loop, extra: list[Any]) -> None:
    state, placed = follow(PlaceState(rules(loop)), calls(loop, extra))
    for one in placed:
        assert one.num_steps == loop.steps
        if loop.shows != "context":
            assert (one.offset, one.full) == (loop.offset, loop.full)
    if loop.named:
        assert all(one.branch.startswith(call.branch.name) for one, call in zip(placed, calls(loop), strict=True))
    last, before = ({one for one in loop.branches if one.on(loop.steps - back)} for back in (1, 2))
    if loop.stop is None:
        assert is_over(state) == (before <= last)


@given(loops(), EXTRA)
@settings(max_examples=100)
def test_calls_from_outside_the_loop_change_nothing(loop: Loop, extra: list[Any]) -> None:
    alone = follow(PlaceState(rules(loop)), calls(loop))
    assert follow(PlaceState(rules(loop)), calls(loop, extra)) == alone


@given(loops(("scheduler", "nothing", "tables"), windows=False), st.booleans())
@settings(max_examples=100)
def test_arguments_that_change_at_every_step_tell_no_branches(loop: Loop, guided: bool) -> None:
    """A ControlNet's residuals; with guidance on every step, or on none."""
    pair = (Branch("cond"), Branch("uncond")) if guided else (Branch("cond"),)
    loop = evolve(loop, residuals=True, branches=pair)
    follow(PlaceState(rules(loop)), calls(loop))


@given(st.data())
@settings(max_examples=200)
def test_runs_that_nobody_delimits_do_not_mix(data: Any) -> None:
    """One image after the other, some left in the middle, some from the middle of the schedule, of one model each."""
    steps = data.draw(st.integers(2, 8))
    pair = (Branch("cond"), Branch("uncond")) if data.draw(st.booleans()) else (Branch("cond"),)
    state = PlaceState(Rules(declared="separate", steps=steps, delimited=False))
    for seed in range(data.draw(st.integers(1, 4))):
        loop = Loop(
            "nothing",
            named=data.draw(st.booleans()),
            steps=steps,
            branches=pair,
            offset=data.draw(st.integers(0, 3)),
            image=data.draw(st.booleans()),
            stop=data.draw(st.none() | st.integers(1, 2 * steps)),
            seed=seed,
        )
        state, _ = follow(state, calls(loop))


@given(loops(("nothing",), windows=False, named=False), st.sampled_from(["cond_first", "uncond_first"]))
@settings(max_examples=100)
def test_under_an_explicit_cfg_the_calls_alternate(loop: Loop, order: Any) -> None:
    pair = (Branch("cond"), Branch("uncond"))
    loop = evolve(loop, branches=pair if order == "cond_first" else pair[::-1])
    for delimited in (True, False):
        state = PlaceState(Rules("separate", order, "fused", loop.steps, delimited))
        _, placed = follow(state, calls(loop))
        assert [one.branch for one in placed] == [call.branch.name for call in calls(loop)]


@given(st.lists(st.sampled_from(["cond", "uncond", None]), max_size=12), st.data())
@settings(max_examples=200)
def test_no_call_ever_goes_back_in_its_branch(names: list[Any], data: Any) -> None:
    """Whatever is seen, in whatever order, a machine is told of every step once, and of later ones later."""
    declared, delimited = data.draw(st.sampled_from(["fused", "separate"])), data.draw(st.booleans())
    state = PlaceState(Rules(declared=declared, delimited=delimited, steps=data.draw(st.none() | st.integers(1, 4))))
    last: dict[str, int] = {}
    for name in names:
        shows, seed = data.draw(st.sampled_from(SHOWN)), data.draw(st.integers(0, 2))
        window, step = data.draw(st.integers(0, 1)), data.draw(st.integers(0, 3))
        branch = Branch(name or "cond", window, first=step)
        loop = Loop(shows, name is not None, 4, (branch,), seed=seed, number=data.draw(st.integers(1, 2)))
        seen: Observation = next(calls(loop)).seen
        if data.draw(st.booleans()):
            seen = evolve(seen, fingerprint=None)
        state, found = place(state, seen)
        if isinstance(found, Placed):
            last = {} if found.begins != "nothing" else last
            assert found.step > last.get(found.branch, -1)
            last[found.branch] = found.step

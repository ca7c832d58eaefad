"""Every transformer call is placed by the best source there is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from attrs import evolve
from diffusers import FlowMatchEulerDiscreteScheduler, HeunDiscreteScheduler, PNDMScheduler

from cachedsl.language.parts import Cfg
from cachedsl.runtime.errors import CfgMismatch, ClockUnavailable
from cachedsl.runtime.observation import CallContext, CallFingerprint, Placed, PlaceState, Rules
from cachedsl.runtime.observe import Observer
from cachedsl.runtime.place import is_over, place
from cachedsl.runtime.timeline import Timeline


class Clock:
    """Places one call after the other, seen as the executor sees them."""

    def __init__(
        self, cfg: Cfg, declared: Any, scheduler: Any = None, steps: int | None = None, announced: Any = lambda: None
    ) -> None:
        self.observer = Observer(scheduler, announced)
        self.rules = Rules(cfg.mode, cfg.order, declared, steps)
        self.state = PlaceState(self.rules)

    def place(
        self, context: CallContext | None, component: str = "transformer", given: CallFingerprint | None = None
    ) -> Any:
        seen = self.observer.observe(self.state, component, None, context, lambda: given)
        self.state, placed = place(self.state, evolve(seen, owner=0))
        return placed

    def locate(self, context: CallContext | None, component: str = "transformer") -> Placed:
        placed = self.place(context, component)
        assert isinstance(placed, Placed)
        return placed

    def finished(self) -> bool:
        return is_over(self.state)


def placed(clock: Clock, contexts: list[CallContext | None]) -> list[tuple[int, str]]:
    return [(c.step, c.branch) for c in (clock.locate(context) for context in contexts)]


def test_counting_alternates_under_separate_cfg() -> None:
    clock = Clock(Cfg("separate"), "fused", steps=2)
    assert placed(clock, [None] * 3) == [(0, "cond"), (0, "uncond"), (1, "cond")]
    assert not clock.finished()
    assert placed(clock, [None]) == [(1, "uncond")]
    assert clock.finished()


def test_order_says_which_branch_comes_first() -> None:
    assert placed(Clock(Cfg("separate", "uncond_first"), "fused"), [None] * 2) == [(0, "uncond"), (0, "cond")]


@pytest.mark.parametrize(
    ("declared", "expected"),
    [("fused", [(0, "cond_uncond"), (1, "cond_uncond")]), ("separate", [(0, "cond"), (0, "uncond")])],
)
def test_auto_takes_the_adapters_word_where_the_pipeline_says_nothing(declared: Any, expected: Any) -> None:
    assert placed(Clock(Cfg(), declared), [None, None]) == expected


def given(timestep: float, latent: float = 0.0, text: str = "cond") -> CallFingerprint:
    return CallFingerprint(timestep, timestep, (2,), latent, (1.0, latent), (), (("text", text),))


def heeded(clock: Clock, calls: list[CallFingerprint | None]) -> list[tuple[int, str] | None]:
    """Place calls that are given this, of runs that nobody delimits; None where one begins another run."""
    clock.state = PlaceState(evolve(clock.rules, delimited=False))
    found = [clock.place(None, given=call) for call in calls]
    return [None if turn and one.begins == "run" else (one.step, one.branch) for turn, one in enumerate(found)]


BOTH = [(0, "cond"), (0, "uncond"), (1, "cond"), (1, "uncond")]


def test_another_timestep_begins_a_step_where_nothing_else_shows_it() -> None:
    calls: list[CallFingerprint | None] = [given(t, t) for t in (3, 2, 1)]
    assert heeded(Clock(Cfg(), "separate", steps=3), calls) == [(0, "cond"), (1, "cond"), (2, "cond")]
    assert heeded(Clock(Cfg("separate"), "fused", steps=3), calls) == BOTH[:3], "what the policy says holds"
    assert heeded(Clock(Cfg(), "separate", steps=2), [None] * 4) == BOTH


def test_a_timestep_and_latent_that_come_again_are_another_branchs() -> None:
    calls: list[CallFingerprint | None] = [given(t, t, text) for t in (9.0, 5.0) for text in ("cond", "uncond")]
    assert heeded(Clock(Cfg(), "separate", steps=2), calls) == BOTH
    fused = [(0, "cond_uncond"), (0, "branch_2"), (1, "cond_uncond"), (1, "branch_2")]
    assert heeded(Clock(Cfg(), "fused", steps=2), calls) == fused
    third = [given(9, 1, text) for text in ("cond", "uncond", "other")] + [given(5, 2)]
    expected = [(0, "cond"), (0, "uncond"), (0, "branch_3"), (1, "cond")]
    assert heeded(Clock(Cfg(), "separate", steps=2), third) == expected  # type: ignore[arg-type]


def test_a_timestep_that_comes_again_with_another_latent_is_another_step() -> None:
    """Rounded to bfloat16, or a sampler of second order."""
    calls: list[CallFingerprint | None] = [given(9, 0.1), given(9, 0.2), given(5, 0.3), given(5, 0.4), given(1, 0.5)]
    assert heeded(Clock(Cfg(), "separate", steps=5), calls) == [(i, "cond") for i in range(5)]


def test_a_call_that_is_repeated_is_a_step_in_which_nothing_moves() -> None:
    assert heeded(Clock(Cfg(), "fused", steps=3), [given(7)] * 3) == [(i, "cond_uncond") for i in range(3)]
    both: list[CallFingerprint | None] = [given(7, text="cond"), given(7, text="uncond")]
    assert heeded(Clock(Cfg(), "separate", steps=2), both * 2) == BOTH


def test_a_run_that_was_left_is_over_when_the_timestep_goes_back() -> None:
    for cfg, declared in ((Cfg(), "separate"), (Cfg(), "fused"), (Cfg("fused"), "separate")):
        clock = Clock(cfg, declared, steps=8)  # type: ignore[arg-type]
        assert heeded(clock, [given(9, 1), given(8, 2), given(7, 3), given(9, 9)])[-1] is None
        clock = Clock(cfg, declared, steps=8)  # type: ignore[arg-type]
        assert heeded(clock, [given(0.1, 1), given(0.4, 2), given(0.1, 9)])[-1] is None, "upwards, too"


def test_a_run_that_was_left_after_its_first_call_is_over_when_the_noise_is_another() -> None:
    clock = Clock(Cfg(), "separate", steps=8)
    other = CallFingerprint(9, 9, (2,), 7.0, (-1.0, 0.0), (), (("text", "cond"),))
    assert heeded(clock, [given(9, 0.5), other]) == [(0, "cond"), None]


def test_guidance_on_some_steps_only_is_over_with_the_next_runs_first_timestep() -> None:
    clock = Clock(Cfg(), "separate", steps=3)
    early: list[CallFingerprint | None] = [given(9, 1), given(9, 1, "uncond"), given(5, 2), given(1, 3)]
    assert heeded(clock, early) == [(0, "cond"), (0, "uncond"), (1, "cond"), (2, "cond")]
    assert clock.finished(), "the step before had no call without condition either"
    again = clock.place(None, given=given(9, 1))
    assert (again.begins, again.step) == ("run", 0)


def test_names_win_over_counting() -> None:
    contexts = [CallContext("cond"), CallContext("uncond"), CallContext("cond"), CallContext("uncond_stg")]
    assert placed(Clock(Cfg(), "fused"), contexts) == [(0, "cond"), (0, "uncond"), (1, "cond"), (1, "uncond_stg")]


def test_the_contexts_index_wins_over_the_schedulers() -> None:
    scheduler = SimpleNamespace(step_index=7, begin_index=None, timesteps=range(20))
    clock = Clock(Cfg(), "separate", scheduler)
    assert placed(clock, [CallContext("cond", 3, 9)]) == [(3, "cond")]
    assert clock.locate(CallContext("uncond", 3, 9)).num_steps == 9
    assert Clock(Cfg(), "separate", scheduler).locate(None).num_steps == 20


def test_the_scheduler_is_read_from_its_begin_index() -> None:
    scheduler = SimpleNamespace(step_index=None, begin_index=4, timesteps=range(10))
    clock = Clock(Cfg(), "fused", scheduler)
    assert clock.locate(None) == Placed(0, "cond_uncond", 6, 4, 10, "run", "ordered")
    scheduler.step_index = 5
    assert placed(clock, [None]) == [(1, "cond_uncond")]


def test_a_separate_family_without_guidance_has_one_branch() -> None:
    scheduler = SimpleNamespace(step_index=None, begin_index=None, timesteps=range(3))
    clock = Clock(Cfg(), "separate", scheduler)
    calls = []
    for index in (None, 1, 2):
        scheduler.step_index = index
        calls += placed(clock, [None])
    assert calls == [(0, "cond"), (1, "cond"), (2, "cond")]


def test_more_calls_in_a_step_than_expected_are_branches_of_their_own() -> None:
    scheduler = SimpleNamespace(step_index=2, begin_index=0, timesteps=range(3))
    assert placed(Clock(Cfg(), "fused", scheduler), [None, None]) == [(2, "cond_uncond"), (2, "branch_2")]


def test_an_explicit_cfg_that_contradicts_the_names_is_an_error() -> None:
    with pytest.raises(CfgMismatch, match="cfg: separate"):
        Clock(Cfg("separate"), "fused").locate(CallContext("cond_uncond"))
    clock = Clock(Cfg("fused"), "separate")
    clock.locate(CallContext("cond"))
    with pytest.raises(CfgMismatch, match="cfg: fused"):
        clock.locate(CallContext("uncond"))


def test_a_name_that_comes_twice_in_a_step_is_another_branch() -> None:
    scheduler = SimpleNamespace(step_index=4, begin_index=0, timesteps=range(9))
    clock = Clock(Cfg(), "separate", scheduler)
    assert placed(clock, [CallContext("cond")] * 3) == [(4, "cond"), (4, "cond_2"), (4, "cond_3")]
    scheduler.step_index = 5
    assert placed(clock, [CallContext("cond")] * 2) == [(5, "cond"), (5, "cond_2")]


def test_two_transformers_may_have_a_branch_of_one_name_in_a_step() -> None:
    clock = Clock(Cfg(), "separate", SimpleNamespace(step_index=4, begin_index=0, timesteps=range(9)))
    calls = [clock.locate(CallContext("cond"), component) for component in ("transformer", "transformer_2")]
    assert [(c.step, c.branch) for c in calls] == [(4, "cond")] * 2


def test_where_the_scheduler_is_never_stepped_named_calls_are_counted() -> None:
    clock = Clock(Cfg(), "separate", SimpleNamespace(step_index=None, begin_index=None, timesteps=range(9)))
    contexts = [CallContext("cond"), CallContext("uncond")] * 2
    assert placed(clock, contexts) == [(0, "cond"), (0, "uncond"), (1, "cond"), (1, "uncond")]
    assert clock.locate(CallContext("cond")).begins == "nothing"


def test_a_loop_begins_anew_where_the_index_goes_back_or_timesteps_are_set() -> None:
    scheduler = SimpleNamespace(step_index=None, begin_index=None, timesteps=list(range(1000)))
    clock = Clock(Cfg(), "separate", scheduler)
    assert clock.locate(None) == Placed(0, "cond", 1000, 0, 1000, "run", "ordered")  # a prefill, before set_timesteps
    scheduler.timesteps = [9.0, 5.0, 1.0]
    assert clock.locate(None) == Placed(0, "cond", 3, 0, 3, "loop", "ordered")
    scheduler.step_index = 2
    scheduler.timesteps = [9.0, 5.0, 1.0]  # moved to another device on the way, say
    assert clock.locate(None) == Placed(2, "cond", 3, 0, 3, "nothing", "ordered")
    scheduler.step_index = 0
    again = [clock.locate(None), clock.locate(None)]
    assert [(one.step, one.branch, one.begins) for one in again] == [(0, "cond", "loop"), (0, "uncond", "nothing")]


def test_past_its_end_a_table_holds_its_last_value() -> None:
    clock = Timeline(SimpleNamespace(step_index=9, begin_index=0, timesteps=[3.0, 1.0], sigmas=[1.0, 0.5]))
    assert clock.position(9, "timestep") == 1.0
    assert clock.mixing(9) == (0.5, 0.5)


def test_the_pipelines_own_count_holds_where_the_scheduler_stands_still() -> None:
    scheduler = SimpleNamespace(step_index=None, begin_index=None, timesteps=range(2))
    clock = Clock(Cfg(), "separate", scheduler, announced=lambda: 3)
    for loop in range(2):
        for step in range(3):
            for name in ("cond", "uncond"):
                found = clock.locate(CallContext(name))
                assert (found.step, found.branch, found.num_steps) == (step, name, 3 if step else 2)
                begins = (step, name) == (0, "cond")
                assert found.begins == ("nothing" if not begins else "loop" if loop else "run")
    told = Clock(Cfg(), "separate", scheduler, steps=2, announced=lambda: 3)
    assert [told.locate(CallContext("cond")).num_steps for _ in range(2)] == [2, 2]


@pytest.mark.parametrize("scheduler", [PNDMScheduler(), HeunDiscreteScheduler()])
def test_steps_at_one_place_have_no_slope_between_them(scheduler: Any) -> None:
    scheduler.set_timesteps(10)
    clock = Timeline(scheduler)
    assert clock.position(3, "step") == 3
    with pytest.raises(ClockUnavailable, match=r"steps \d+ and \d+ of this run's \w+ are both at .*; use clock: step"):
        clock.position(0, "timestep")


def test_a_sigma_that_stays_zero_behind_the_last_step_is_no_step() -> None:
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(4)
    clock = Timeline(scheduler)
    assert [clock.position(i, "sigma") for i in range(4)] == sorted(
        (clock.position(i, "sigma") for i in range(4)), reverse=True
    )


@pytest.mark.parametrize(("announced", "expected"), [(None, (2, 10)), (10, (2, 10)), (9, (1, 9))])
def test_an_index_that_begins_late_is_the_middle_of_the_schedule_where_the_count_says_so(
    announced: int | None, expected: tuple[int, int]
) -> None:
    scheduler = SimpleNamespace(step_index=None, begin_index=None, timesteps=[float(t) for t in range(10)])
    clock = Clock(Cfg(), "fused", scheduler, announced=lambda: announced)
    assert clock.locate(None).step == 0
    scheduler.step_index = 2
    found = clock.locate(None)
    assert (found.step, found.num_steps) == expected

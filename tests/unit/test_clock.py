"""Every transformer call is placed by the best source there is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cachedsl.policy.model import Cfg
from cachedsl.runtime.clock import CallContext, Clock
from cachedsl.runtime.errors import CfgMismatch


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


def heeded(clock: Clock, timesteps: list[Any]) -> list[tuple[int, str] | None]:
    """Place calls with these timesteps; None where one is beyond the last step."""
    return [None if clock.heed(lambda t=t: t) else placed(clock, [None])[0] for t in timesteps]  # type: ignore[misc]


def test_another_timestep_begins_a_step_where_nothing_else_shows_it() -> None:
    assert heeded(Clock(Cfg(), "separate", steps=3), [3, 2, 1]) == [(0, "cond"), (1, "cond"), (2, "cond")]
    both = [(0, "cond"), (0, "uncond"), (1, "cond"), (1, "uncond")]
    t = [torch.tensor([900.0]), torch.tensor([500.0])]
    assert heeded(Clock(Cfg(), "separate", steps=2), [t[0], t[0].clone(), t[1], t[1].clone()]) == both
    assert heeded(Clock(Cfg(), "separate", steps=2), [None] * 4) == both
    assert heeded(Clock(Cfg(), "separate", steps=2), [7] * 4) == both, "a timestep that stands still tells nothing"
    assert heeded(Clock(Cfg("separate"), "fused", steps=2), [4, 3, 2, 1]) == both, "what the policy says holds"


def test_a_timestep_that_is_written_in_place_is_another() -> None:
    clock, t = Clock(Cfg(), "separate", steps=2), torch.tensor([900.0])
    first = heeded(clock, [t])
    assert first + heeded(clock, [t.sub_(400)]) == [(0, "cond"), (1, "cond")]
    assert clock.finished()


def test_guidance_on_some_steps_only_is_over_with_the_next_runs_first_timestep() -> None:
    clock = Clock(Cfg(), "separate", steps=3)
    early = [(0, "cond"), (0, "uncond"), (1, "cond"), (2, "cond")]
    assert heeded(clock, [9, 9, 5, 1]) == early
    assert not clock.finished(), "a call without condition might follow"
    assert heeded(clock, [9]) == [None]


def test_names_win_over_counting() -> None:
    contexts = [CallContext("cond"), CallContext("uncond"), CallContext("cond"), CallContext("uncond_stg")]
    assert placed(Clock(Cfg(), "fused"), contexts) == [(0, "cond"), (0, "uncond"), (1, "cond"), (0, "uncond_stg")]


def test_the_contexts_index_wins_over_the_schedulers() -> None:
    scheduler = SimpleNamespace(step_index=7, begin_index=None, timesteps=range(20))
    clock = Clock(Cfg(), "separate", scheduler)
    assert placed(clock, [CallContext("cond", 3, 9)]) == [(3, "cond")]
    assert clock.num_steps(CallContext("cond", 3, 9)) == 9
    assert clock.num_steps(None) == 20


def test_the_scheduler_is_read_from_its_begin_index() -> None:
    scheduler = SimpleNamespace(step_index=None, begin_index=4, timesteps=range(10))
    clock = Clock(Cfg(), "fused", scheduler)
    assert clock.num_steps(None) == 6
    assert placed(clock, [None]) == [(0, "cond_uncond")]
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
    assert not clock.begins_anew(CallContext("cond"))


def test_a_loop_begins_anew_where_the_index_goes_back_or_timesteps_are_set() -> None:
    scheduler = SimpleNamespace(step_index=None, begin_index=None, timesteps=list(range(1000)))
    clock = Clock(Cfg(), "separate", scheduler)
    assert not clock.begins_anew(None)
    assert placed(clock, [None]) == [(0, "cond")]  # a prefill, before set_timesteps
    scheduler.timesteps = [9.0, 5.0, 1.0]
    assert clock.begins_anew(None)
    assert (clock.num_steps(None), placed(clock, [None])) == (3, [(0, "cond")])
    scheduler.step_index = 2
    scheduler.timesteps = [9.0, 5.0, 1.0]  # moved to another device on the way, say
    assert not clock.begins_anew(None)
    assert placed(clock, [None]) == [(2, "cond")]
    scheduler.step_index = 0
    assert clock.begins_anew(None)
    assert placed(clock, [None, None]) == [(0, "cond"), (0, "uncond")]


def test_past_its_end_a_table_holds_its_last_value() -> None:
    clock = Clock(Cfg(), "fused", SimpleNamespace(step_index=9, begin_index=0, timesteps=[3.0, 1.0], sigmas=[1.0, 0.5]))
    assert clock.position(9, "timestep") == 1.0
    assert clock.mixing(9) == (0.5, 0.5)


def test_the_pipelines_own_count_holds_where_the_scheduler_stands_still() -> None:
    scheduler = SimpleNamespace(step_index=None, begin_index=None, timesteps=range(2))
    clock = Clock(Cfg(), "separate", scheduler, announced=lambda: 3)
    for _ in range(2):  # two loops
        assert clock.num_steps(None) == 2
        for step in range(3):
            for name in ("cond", "uncond"):
                clock.begins_anew(CallContext(name))
                assert placed(clock, [CallContext(name)]) == [(step, name)]
                assert clock.recount() == (3 if step else None)
        assert clock.begins_anew(CallContext("cond"))
    assert Clock(Cfg(), "separate", scheduler, steps=2, announced=lambda: 3).recount() is None

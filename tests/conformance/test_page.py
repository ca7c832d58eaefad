"""The page that plays the machine, in a real browser: what it shows is what the machine decides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cachedsl import compile_policy, load_policy
from cachedsl.machine.simulate import simulate
from cachedsl.matching.reading import find_adapter
from tests.browser import needs_browser, opened, started
from tests.conformance import page as made
from tests.golden import matches_golden


def test_the_committed_plans_are_those_of_today() -> None:
    matches_golden(made.make(), made.FILE)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with started() as browser:
        yield browser


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    with opened(browser, made.FOLDER / "play.html") as page:
        yield page


def cells(page: Any, stack: int) -> list[tuple[str, str]]:
    """Return verdict and reason of every step of a stack, as the page shows them."""
    found = page.eval_on_selector_all(
        f'button[data-step^="{stack} "]', "cells => cells.map(cell => [cell.dataset.verdict, cell.dataset.reason])"
    )
    return [(verdict, reason) for verdict, reason in found]


def set_value(page: Any, step: str, value: float) -> None:
    page.eval_on_selector(
        f'input[data-value="{step}"]',
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input', {bubbles: true})); }",
        value,
    )


@needs_browser
@pytest.mark.parametrize(
    ("policy", "model"), [("f8b8-taylor", "flux.1-dev"), ("dbprune", "qwen-image"), ("scm-fast", "digits-dit")]
)
def test_the_page_shows_what_the_machine_decides(page: Any, policy: str, model: str) -> None:
    page.select_option("#policy", policy)
    page.select_option("#model", model)
    plan = compile_policy(load_policy(policy), find_adapter(model).shape(), made.STEPS)
    for at, stack in enumerate(plan.stacks):
        values = page.eval_on_selector_all(
            f'button[data-step^="{at} "]', "cells => cells.map(cell => Number(cell.dataset.exactly))"
        )
        outcomes = simulate(stack, lambda step, _, values=values: values[step], made.STEPS)
        expected = [(one.verdict, one.reason) for one in outcomes]
        assert cells(page, at) == expected


@needs_browser
def test_a_dragged_value_changes_what_is_reused_and_says_why(page: Any) -> None:
    page.select_option("#policy", "f8b0")
    page.select_option("#model", "flux.1-dev")
    page.fill("#spread", "0")
    page.fill("#level", "0.1")
    assert cells(page, 0)[7:10] == [("compute", "warmup"), ("reuse", "below"), ("reuse", "below")]
    before = page.inner_text("#summary")
    set_value(page, "0 9", 0.2)
    assert cells(page, 0)[8:11] == [("reuse", "below"), ("compute", "above"), ("reuse", "below")]
    assert cells(page, 1)[9] == ("reuse", "below"), "stacks decide by themselves"
    assert "Step 9 of transformer_blocks: computed (above)" in page.inner_text("#detail")
    assert page.inner_text("#summary") != before
    page.click("#reset")
    assert page.inner_text("#summary") == before


@needs_browser
def test_it_goes_by_keyboard_and_says_in_words_what_it_shows(page: Any) -> None:
    page.select_option("#policy", "f1b0")
    page.focus('input[data-value="0 20"]')
    was = float(page.input_value('input[data-value="0 20"]'))
    page.keyboard.press("ArrowUp")
    assert float(page.input_value('input[data-value="0 20"]')) > was
    page.focus('button[data-step="0 0"]')
    assert "(no_history): nothing was computed yet" in page.inner_text("#detail")
    unnamed = page.eval_on_selector_all(
        "input, select, button", "all => all.filter(e => !e.ariaLabel && !e.labels?.length && !e.textContent).length"
    )
    assert unnamed == 0


@needs_browser
def test_every_plan_of_the_page_can_be_shown(page: Any) -> None:
    shown = page.evaluate(
        """() => {
            let shown = 0;
            for (const policy of Object.keys(CACHEDSL_PLANS)) {
                for (const model of Object.keys(CACHEDSL_PLANS[policy])) {
                    runPlan(cachedsl.readPlan(CACHEDSL_PLANS[policy][model]));
                    shown += 1;
                }
            }
            return shown;
        }"""
    )
    assert shown > 100

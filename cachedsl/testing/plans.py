"""Assert on a plan: which steps are computed, which blocks always run, what it costs, whether it is the golden one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from cachedsl.explain.cost import cost
from cachedsl.explain.diff import diff
from cachedsl.explain.diff_report import Compared, to_text
from cachedsl.explain.text import table_bits
from cachedsl.language.policy import Policy
from cachedsl.loading import as_policy
from cachedsl.lower.compile import compile_policy
from cachedsl.matching.reading import shape_called
from cachedsl.plan.ir import Plan, StackPlan
from cachedsl.plan.model_shape import ModelShape
from cachedsl.testing.words import checked_steps, steps_words
from cachedsl.text.writing import write_whole

UPDATE = "UPDATE_GOLDEN"
"""The environment variable under which a golden plan is written instead of compared."""


def plan_of(policy: Policy | str | os.PathLike[str], model: ModelShape | str, steps: int) -> Plan:
    """Compile a policy, or what `load_policy` takes, for a model as `--model` names it.

    Raises:
        PolicyError: it does not hold, or does not fit the model or the step count.
        UnsupportedModel: no model has that name.
    """
    shape = shape_called(model) if isinstance(model, str) else model
    return compile_policy(as_policy(policy), shape, steps)


def assert_plan(
    policy: Plan | Policy | str | os.PathLike[str],
    model: ModelShape | str | None = None,
    steps: int | None = None,
    *,
    stack: str | None = None,
    golden: str | os.PathLike[str] | None = None,
    computes: Iterable[int] = (),
    reuses: Iterable[int] = (),
    measures: Iterable[int] = (),
    never_reuses_before: int | None = None,
    always_runs: Iterable[int] = (),
    max_cost: float | None = None,
) -> Plan:
    """Assert what a policy comes to on a model, and return the plan.

    Args:
        policy: a plan, such as `cached.plan(28)`, or a policy, or what `load_policy` takes.
        model: a model's name as `--model` takes it, or a shape; left out with a plan.
        steps: the step count; left out with a plan.
        stack: look at this block list only, `transformer_blocks` or `transformer.transformer_blocks`; else at all.
        golden: a plan's JSON; the plan must mean the same. `UPDATE_GOLDEN=1` writes it.
        computes: steps, from 0, that are computed whatever is measured.
        reuses: steps that are reused whatever is measured.
        measures: steps that are decided by measuring.
        never_reuses_before: every step before this one is computed whatever is measured.
        always_runs: block indices, from 0, that run on every step; a negative one counts from the end.
        max_cost: the largest share of blocks that may run, from 0 to 1, were every measured step computed. It is of
            the whole plan, whatever `stack` says.

    Raises:
        AssertionError: with everything that does not hold, one a line, and the step tables.
        ValueError: nothing is asserted, or a step, block, block list or share cannot be.
        PolicyError: the policy does not compile.
        PlanError: the golden file holds no plan.
    """
    __tracebackhide__ = True
    plan = _plan(policy, model, steps)
    count = plan.num_inference_steps
    if count is None:
        raise ValueError("assert_plan: the plan has no step count; compile it with one")
    blocks = tuple(always_runs)
    wanted = {"compute": checked_steps("computes", computes, count), "reuse": checked_steps("reuses", reuses, count)}
    wanted["open"] = checked_steps("measures", measures, count)
    if never_reuses_before is not None:
        if not 0 < never_reuses_before <= count:
            raise ValueError(f"never_reuses_before: expected a step from 1 to {count}, got {never_reuses_before}")
        wanted["compute"] = tuple(sorted({*wanted["compute"], *range(never_reuses_before)}))
    if max_cost is not None and not 0 <= max_cost <= 1:
        raise ValueError(f"max_cost: expected a share from 0 to 1, got {max_cost}")
    if not any(wanted.values()) and not blocks and max_cost is None and golden is None:
        raise ValueError("assert_plan: nothing is asserted; give golden, computes, reuses, measures, ... or max_cost")
    stacks = _stacks(plan, stack)
    wrong = [line for one in stacks for line in _wrong(one, wanted, blocks)]
    if max_cost is not None and (found := cost(plan)).shares[1] > max_cost:
        wrong.append(f"blocks run: expected at most {max_cost:.1%}, the plan runs {found}")
    if golden is not None:
        wrong += _against(plan, Path(golden))
    if wrong:
        tables = [f"  {one.shape.qualified}: {table_bits(one.table or ())}" for one in stacks]
        head = f"{plan.policy_name} on {plan.model}, {count} steps:"
        lines = [head, *(f"  {line}" for line in wrong), "steps (1 computed, 0 reused, ? measured):", *tables]
        raise AssertionError("\n".join(lines))
    return plan


def _plan(policy: object, model: ModelShape | str | None, steps: int | None) -> Plan:
    if isinstance(policy, Plan):
        if model is not None or steps is not None:
            raise ValueError("assert_plan: a plan has its model and step count; leave model and steps out")
        return policy
    if model is None or steps is None:
        raise ValueError("assert_plan: a policy needs a model and a step count, as in assert_plan('f8b0', 'flux', 28)")
    return plan_of(policy, model, steps)  # type: ignore[arg-type]  # as_policy says what it takes


def _stacks(plan: Plan, name: str | None) -> tuple[StackPlan, ...]:
    found = tuple(
        one
        for one in plan.stacks
        if name is None or name in (one.name, one.shape.qualified, *(member for member, _ in one.shape.members))
    )
    if not found:
        there = ", ".join(one.shape.qualified for one in plan.stacks)
        raise ValueError(f"stack: the plan has no block list {name!r}; there are {there}")
    return found


def _wrong(stack: StackPlan, wanted: dict[str, tuple[int, ...]], blocks: tuple[int, ...]) -> Iterator[str]:
    words = {"compute": "computed", "reuse": "reused", "open": "measured"}
    table = stack.table or ()
    for verdict, steps in wanted.items():
        for other, said in words.items():
            off = [step for step in steps if table[step].verdict == other != verdict]
            if off:
                reasons = ", ".join(dict.fromkeys(table[step].reason for step in off if table[step].reason))
                why = f" ({reasons})" if reasons else ""
                yield f"{stack.shape.qualified}: {steps_words(off)}: expected {words[verdict]}, is {said}{why}"
    count = stack.blocks
    for block in blocks:
        if not -count <= block < count:
            raise ValueError(f"always_runs: {stack.shape.qualified} has {count} blocks, got {block}")
    skipped = sorted({at for b in blocks for at in [b % count] if any(u.start <= at < u.stop for u in stack.units)})
    if skipped:
        yield f"{stack.shape.qualified}: blocks {', '.join(map(str, skipped))}: expected to always run, may be reused"


def _against(plan: Plan, path: Path) -> Iterator[str]:
    if os.environ.get(UPDATE):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, plan.to_json())
        return
    if not path.is_file():
        yield f"golden: there is no {path}; run once with {UPDATE}=1, read what it wrote, and commit it"
        return
    found = diff(Plan.from_json(path.read_text(encoding="utf-8")), plan)
    if found:
        one = Compared(plan.policy_name, "changed", plan.model, plan.num_inference_steps, found)
        yield f"golden: the plan is not that of {path}; {UPDATE}=1 writes it anew"
        yield from (f"{line}" for line in to_text([one]).splitlines()[1:-2] if line)

"""Compile a policy for a model and a step count. Pure: the same arguments give the same plan."""

from __future__ import annotations

from functools import lru_cache

import attrs
from attrs import evolve

from cachedsl.language.policy import Policy
from cachedsl.language.schedule import resolve_mask
from cachedsl.lower.stacks import rules_of, units_of
from cachedsl.machine.table import step_table
from cachedsl.plan.ir import Guidance, Plan, StackPlan
from cachedsl.plan.model_shape import ModelShape, StackShape
from cachedsl.rules.base import Count, Fit, Meaning
from cachedsl.rules.registry import run_checks
from cachedsl.text.finding import Finding, PolicyError, in_file_order


def compile_policy(policy: Policy, shape: ModelShape, num_inference_steps: int | None) -> Plan:
    """Compile a policy for a model and a step count. This is a pure function: equal arguments give equal plans.

    Args:
        policy: the policy.
        shape: the model's block lists in execution order, with their block counts. `Adapter.shape` gives one.
        num_inference_steps: the run's step count. With None the plan has no step table, and a policy that needs the
            count (a mask, a tail, a share) is refused.

    Returns:
        The plan, as data: what always runs, the units that may be reused, and what is known of every step.

    Raises:
        PolicyError: the policy does not hold, or does not fit the model or the step count; all findings at once.

    Example:
        >>> from cachedsl import compile_policy, load_policy
        >>> from cachedsl.plan.model_shape import ModelShape, StackShape
        >>> shape = ModelShape([StackShape("transformer_blocks", blocks=20)])
        >>> plan = compile_policy(load_policy("static-every-4"), shape, num_inference_steps=12)
        >>> print(plan.cost())
        25.0%
    """
    _refuse(refusals(policy, shape, num_inference_steps))
    shape = spanned(policy, shape)
    stacks = [_stack_plan(policy, stack, num_inference_steps) for stack in shape.stacks]
    cfg = Guidance(**attrs.asdict(policy.cfg))
    return Plan(policy.name, shape.label, num_inference_steps, cfg, stacks)


def outline(policy: Policy, shape: ModelShape, num_inference_steps: int) -> tuple[object, ...] | None:
    """Return all that a plan's steps follow from, without simulating one; None where the policy does not compile.

    Two policies with equal outlines have the same plan but for its name.
    """
    if any(found.severity == "error" for found in refusals(policy, shape, num_inference_steps)):
        return None
    stacks = [_parts(policy, stack, num_inference_steps) for stack in spanned(policy, shape).stacks]
    return (policy.cfg, *stacks)


def refusals(policy: Policy, shape: ModelShape, num_inference_steps: int | None) -> list[Finding]:
    """Return why a policy does not hold, does not fit the model, or not the step count; nothing where it compiles."""
    count = Count(policy, spanned(policy, shape), num_inference_steps)
    return [*_meaning(policy), *run_checks("fit", count), *run_checks("count", count)]


def check_fit(policy: Policy, shape: ModelShape) -> None:
    """Check what can be checked of a policy on a model before the step count is known. Raises `PolicyError`."""
    _refuse(fit_refusals(policy, shape))


def fit_refusals(policy: Policy, shape: ModelShape) -> list[Finding]:
    """Return why a policy does not hold, or does not fit the model; nothing where it fits."""
    return [*_meaning(policy), *run_checks("fit", Fit(policy, spanned(policy, shape)))]


@lru_cache(maxsize=256)
def _meaning(policy: Policy) -> tuple[Finding, ...]:
    """Check a policy by itself: of one that was made in Python nobody has."""
    return tuple(run_checks("meaning", Meaning(policy)))


def _refuse(findings: list[Finding]) -> None:
    if any(finding.severity == "error" for finding in findings):
        raise PolicyError(in_file_order(findings))


def spanned(policy: Policy, shape: ModelShape) -> ModelShape:
    """Return the shape as the policy divides it: under `span: joined`, lists that follow each other are one."""
    return shape.joined() if policy.span == "joined" else shape


def _stack_plan(policy: Policy, shape: StackShape, num_steps: int | None) -> StackPlan:
    plan = _parts(policy, shape, num_steps)
    return plan if num_steps is None or not plan.units else evolve(plan, table=step_table(plan, num_steps))


def _parts(policy: Policy, shape: StackShape, num_steps: int | None) -> StackPlan:
    """Return the plan of a stack without its step table."""
    resolved = policy.for_stack(shape.transformer, shape.name)
    rules = rules_of(resolved, num_steps)
    front, back = resolved.compute.front, resolved.compute.back
    if front + back >= shape.blocks:
        note = f"runs in full: {front} front and {back} back blocks leave none of its {shape.blocks}"
        return StackPlan(shape, rules, shape.blocks, 0, (), note=note)
    mask = None
    if resolved.steps is not None and num_steps is not None:
        mask = resolve_mask(resolved.steps, num_steps)
    units = units_of(resolved, shape.blocks)
    if not any(unit.kind != "back" for unit in units):
        return StackPlan(shape, rules, shape.blocks, 0, (), note="runs in full: `prune.keep` leaves no block")
    return StackPlan(shape, rules, front, back, units, mask)

"""Compile a policy for a model and a step count. Pure: the same arguments give the same plan."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve, fields

from cachedsl.diagnostics import Diagnostic, PolicyError, in_file_order
from cachedsl.machine.masks import MaskMismatch, resolve_mask
from cachedsl.machine.plan import Plan, StackPlan, Unit, UnitKind
from cachedsl.machine.shape import ModelShape, StackShape
from cachedsl.machine.table import step_table
from cachedsl.policy.checks.availability import needs_front
from cachedsl.policy.checks.back_blocks import wrong_back
from cachedsl.policy.checks.parameters import of_the_middle, unread
from cachedsl.policy.model import Policy, matches_stack, specificity
from cachedsl.policy.overrides import UNSET
from cachedsl.policy.parts import Predict, StackPolicy


def compile_policy(policy: Policy, shape: ModelShape, num_inference_steps: int | None) -> Plan:
    """Work out units, masks and the step table.

    Args:
        policy: the policy.
        shape: the model's block lists, in execution order.
        num_inference_steps: the run's step count, None where it is not known.

    Raises:
        PolicyError: the policy does not fit the model or the step count; all findings at once.
    """
    shape = _spanned(policy, shape)
    findings = [*_fit_findings(policy, shape), *_step_findings(policy, shape, num_inference_steps)]
    if findings:
        raise PolicyError(in_file_order(findings))
    stacks = [_stack_plan(policy, stack, num_inference_steps) for stack in shape.stacks]
    return Plan(policy.name, shape.label, num_inference_steps, policy.cfg, stacks)


def check_fit(policy: Policy, shape: ModelShape) -> None:
    """Check what can be checked of a policy on a model before the step count is known. Raises `PolicyError`."""
    findings = _fit_findings(policy, _spanned(policy, shape))
    if findings:
        raise PolicyError(in_file_order(findings))


def _spanned(policy: Policy, shape: ModelShape) -> ModelShape:
    return shape.joined() if policy.span == "joined" else shape


def _stack_plan(policy: Policy, shape: StackShape, num_steps: int | None) -> StackPlan:
    resolved = policy.for_stack(shape.transformer, shape.name)
    front, back = resolved.compute.front, resolved.compute.back
    if front + back >= shape.blocks:
        note = f"runs in full: {front} front and {back} back blocks leave none of its {shape.blocks}"
        return StackPlan(shape, resolved, shape.blocks, 0, (), note=note)
    mask = None
    if resolved.steps is not None and num_steps is not None:
        mask = resolve_mask(resolved.steps, num_steps)
    units = tuple(_units(resolved, shape.blocks))
    if not any(unit.kind != "back" for unit in units):
        return StackPlan(shape, resolved, shape.blocks, 0, (), note="runs in full: `prune.keep` leaves no block")
    plan = StackPlan(shape, resolved, front, back, units, mask)
    return plan if num_steps is None else evolve(plan, table=step_table(plan, num_steps))


def _units(policy: StackPolicy, blocks: int) -> Iterator[Unit]:
    """Yield the middle as one unit, or each block of it that may be pruned, and the back blocks that decide."""
    front, end = policy.compute.front, blocks - policy.compute.back
    spans: list[tuple[int, int, UnitKind]] = [(front, end, "middle")]
    if policy.prune is not None:
        spans = [(i, i + 1, "pruned") for i in range(front, end) if i not in policy.prune.keep]
    always = policy.compute.back_blocks
    if always is not None:
        spans += [(end + i, end + i + 1, "back") for i in range(policy.compute.back) if i not in always]
    for index, (start, stop, kind) in enumerate(spans):
        yield Unit(index, start, stop, kind)


def _fit_findings(policy: Policy, shape: ModelShape) -> list[Diagnostic]:
    """Findings of LANGUAGE §6.5 that need no step count."""
    found = []
    listed = ", ".join(stack.qualified for stack in shape.stacks)
    for key, _ in policy.stacks:
        if not any(matches_stack(key, stack.transformer, stack.name) for stack in shape.stacks):
            message = f"stacks: {key!r} matches no stack of {shape.label}"
            found.append(Diagnostic("unknown-stack", message, policy.place("stacks", key), f"its stacks are {listed}"))
    found += _together_findings(policy, shape)
    found += _signal_findings(policy, shape)
    found += _skip_findings(policy, shape)
    full = {stack: policy.for_stack(stack.transformer, stack.name).compute for stack in shape.stacks}
    full = {stack: compute for stack, compute in full.items() if compute.front + compute.back >= stack.blocks}
    for stack, compute in full.items():
        asked = _set_by(policy, stack, "compute")
        if not asked and len(full) < len(shape.stacks):
            continue
        message = (
            f"compute: {compute.front} front and {compute.back} back blocks always run, but {stack.qualified} of "
            f"{shape.label} has {stack.blocks}, so nothing could be reused"
        )
        hint = f"front and back together must be at most {stack.blocks - 1}"
        found.append(Diagnostic("too-many-blocks", message, policy.place(*asked, "compute"), hint))
    return found


def _together_findings(policy: Policy, shape: ModelShape) -> list[Diagnostic]:
    """Repeat the checks of meaning for stacks under several entries, which meet only here where their globs overlap."""
    found = []
    for stack in shape.stacks:
        resolved = policy.for_stack(stack.transformer, stack.name)
        together = f", on {stack.qualified} with all that is said of it"
        for message, hint in wrong_back(resolved.compute):
            span = policy.place(*_set_by(policy, stack, "compute"), "compute")
            found.append(Diagnostic("back-blocks", message + together, span, hint))
        if sum(matches_stack(key, stack.transformer, stack.name) for key, _ in policy.stacks) < 2:
            continue
        predict, default = resolved.predict, Predict()
        said = [a.name for a in fields(Predict) if getattr(predict, a.name) != getattr(default, a.name)]
        for path, message, hint in (*of_the_middle(resolved), *unread(predict.method, said)):
            span = policy.place(*_set_by(policy, stack, "predict"), *path)
            found.append(Diagnostic("no-effect", message + together, span, hint))
    return found


def _signal_findings(policy: Policy, shape: ModelShape) -> list[Diagnostic]:
    """Find stacks whose overrides together leave the signal without a front block, or whose adapter lacks it."""
    found = []
    for stack in shape.stacks:
        resolved = policy.for_stack(stack.transformer, stack.name)
        if resolved.compute.front == 0 and resolved.needs_front:
            what, hint = needs_front(resolved)
            message = f"compute: {what}, but {stack.qualified} has none under F0"
            span = policy.place(*_set_by(policy, stack, "compute"), "compute")
            found.append(Diagnostic("signal-needs-front", message, span, hint))
        signal = resolved.signal
        if signal is not None and signal.tap == "modulated_input" and stack.modulated is False:
            message = (
                f"reuse.signal: the adapter of {shape.label} does not say how the modulated input of {stack.qualified} "
                "is evaluated"
            )
            hint = "take another signal, or let the adapter say it with `modulated_input`"
            span = policy.place(*_set_by(policy, stack, "reuse"), "reuse", "signal")
            found.append(Diagnostic("signal-unavailable", message, span, hint))
    return found


def _skip_findings(policy: Policy, shape: ModelShape) -> list[Diagnostic]:
    """Find blocks that always run and read by a long skip what blocks of a reused middle return, which is nothing yet.

    The last block reads what the first one returns. In one list that is a matter of its back blocks; where the skips go
    from one list to another, also of that one's front blocks.
    """
    found = []
    skipping = {s: policy.for_stack(s.transformer, s.name) for s in shape.stacks if s.long_skips}
    for stack, resolved in skipping.items():
        computes = [other.compute for s, other in skipping.items() if s.transformer == stack.transformer]
        front, back = min(c.front for c in computes), max(c.back for c in computes)
        if resolved.prune is not None or (back <= front and (len(computes) == 1 or front <= back + 1)):
            continue
        message = (
            f"compute: F{front}B{back}, but {stack.qualified} of {shape.label} has long skips, so that blocks which "
            "always run would read what reused ones return"
        )
        hint = "let at most as many back blocks run as front blocks"
        if len(computes) > 1:
            hint += ", and at most one front block more than back blocks, or take span: joined"
        span = policy.place(*_set_by(policy, stack, "compute"), "compute")
        found.append(Diagnostic("long-skips", message, span, hint))
    return found


def _set_by(policy: Policy, stack: StackShape, name: str) -> tuple[str, ...]:
    """Return the path of the `stacks` entry that sets key `name` for this stack, or nothing."""
    keys = [
        key
        for key, override in policy.stacks
        if getattr(override, name) is not UNSET and matches_stack(key, stack.transformer, stack.name)
    ]
    return ("stacks", max(keys, key=specificity)) if keys else ()


def _step_findings(policy: Policy, shape: ModelShape, num_steps: int | None) -> list[Diagnostic]:
    """Findings that need the step count, or its absence."""
    found = []
    for stack in shape.stacks:
        resolved = policy.for_stack(stack.transformer, stack.name)
        if num_steps is None:
            found += _needs_count(policy, stack, resolved)
        elif resolved.steps is not None:
            try:
                resolve_mask(resolved.steps, num_steps)
            except MaskMismatch as error:
                span = policy.place(*_set_by(policy, stack, "steps"), "steps")
                hint = "write a mask for this count, or use runs, which adapt"
                found.append(Diagnostic("mask-length", f"steps: {error}", span, hint))
    return list(dict.fromkeys(found))


def _needs_count(policy: Policy, stack: StackShape, resolved: StackPolicy) -> list[Diagnostic]:
    hint = "give num_inference_steps, or start the run with its step count"
    found = []
    if resolved.tail:
        message = f"tail: {resolved.tail} needs the run's step count, which is not known"
        span = policy.place(*_set_by(policy, stack, "tail"), "tail")
        found.append(Diagnostic("unknown-step-count", message, span, hint))
    signal = resolved.signal
    if signal is not None and signal.tap == "magnitude":
        message = "reuse.signal: magnitude ratios go by the run's step count, which is not known"
        span = policy.place(*_set_by(policy, stack, "reuse"), "reuse", "signal")
        found.append(Diagnostic("unknown-step-count", message, span, hint))
    if resolved.steps is not None:
        message = "steps: a mask needs the run's step count, which is not known"
        span = policy.place(*_set_by(policy, stack, "steps"), "steps")
        found.append(Diagnostic("unknown-step-count", message, span, hint))
    return found

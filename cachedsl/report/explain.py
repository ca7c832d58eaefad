"""Say in words what a plan does."""

from __future__ import annotations

from collections.abc import Iterator

from cachedsl.machine.plan import Plan, StackPlan
from cachedsl.policy.model import Cfg, Predict, Reuse


def explain(plan: Plan) -> str:
    """Return a few sentences for each stack, those of equal stacks said once."""
    groups: dict[tuple[str, ...], list[StackPlan]] = {}
    for stack in plan.stacks:
        groups.setdefault(tuple(_sentences(stack)), []).append(stack)
    parts = []
    for sentences, stacks in groups.items():
        names = " and ".join(f"{s.shape.qualified} ({s.blocks} blocks)" for s in stacks)
        parts.append("\n".join([f"{names}:", *(f"  - {sentence}" for sentence in sentences)]))
    return "\n".join([*parts, _cfg(plan.cfg)]) + "\n"


def _sentences(stack: StackPlan) -> Iterator[str]:
    if stack.note:
        yield f"It {stack.note}."
        return
    yield _always(stack)
    if stack.policy.reuse.threshold == 0:
        yield "The threshold is 0, so every step is computed and the output is that of the uncached model."
        return
    yield from _forced(stack)
    yield _open(stack)
    yield from _limits(stack.policy.reuse)
    yield _predicted(stack.policy.predict)


def _always(stack: StackPlan) -> str:
    parts = [f"the first {stack.front}"] if stack.front else []
    parts += [f"the last {stack.back}"] if stack.back else []
    middle = sum(unit.stop - unit.start for unit in stack.units)
    always = (
        f"{' and '.join(parts)} block{'s' if stack.front + stack.back > 1 else ''} always run"
        if parts
        else ("No block always runs")
    )
    return f"{always[0].upper()}{always[1:]}; the other {middle} are computed or reused as one."


def _forced(stack: StackPlan) -> Iterator[str]:
    policy = stack.policy
    if policy.warmup.steps:
        last = policy.warmup.steps - 1
        which = f"Steps 0 to {last} are" if last else "Step 0 is"
        every = f", every {_ordinal(policy.warmup.interval)} of them," if policy.warmup.interval > 1 else ""
        yield f"{which} warmup{every} and computed in full."
    if policy.tail:
        yield f"The last {policy.tail} steps are computed in full."
    if policy.steps is not None:
        what = "decided by measuring" if policy.steps.otherwise == "dynamic" else "reused"
        yield f"A step mask says which steps are computed; the others are {what}."
    if policy.refresh is not None:
        when = f"every {policy.refresh.at} steps" if policy.refresh.repeat else f"before step {policy.refresh.at}"
        yield f"All history is dropped {when}, and a new warmup begins."


def _open(stack: StackPlan) -> str:
    reuse = stack.policy.reuse
    if reuse.threshold == "always":
        return "Every other step is reused without measuring."
    if not stack.measures:
        return "Nothing is measured."
    tap = {
        "residual": f"what the first {stack.front} block{'s' * (stack.front > 1)} add to their input",
        "hidden_states": f"the output of the first {stack.front} block{'s' * (stack.front > 1)}",
    }[reuse.signal]
    return (
        f"Any other step is reused when {tap} has moved by less than {reuse.threshold:.4g} (relative L1) since the "
        "last computed step."
    )


def _limits(reuse: Reuse) -> Iterator[str]:
    if reuse.max_continuous is not None:
        yield f"At most {_steps(reuse.max_continuous)} in a row are reused."
    if reuse.max_total is not None:
        yield f"At most {_steps(reuse.max_total)} of a run are reused."
    if reuse.max_accumulated is not None:
        since = {"on_compute": "since the last computed step", "never": "over the whole run"}
        yield (
            f"A step is computed once the measured values {since[reuse.max_accumulated.reset]} sum up to "
            f"{reuse.max_accumulated.limit:g}."
        )


def _predicted(predict: Predict) -> str:
    if predict.method == "copy":
        return "A reused step adds the residual of the last computed one."
    return (
        f"A reused step extrapolates the residual by Taylor's formula of order {predict.order}, from up to "
        f"{predict.order + 1} computed steps."
    )


def _cfg(cfg: Cfg) -> str:
    modes = {
        "auto": "CFG: as the pipeline says, else as the adapter does; each branch has its own machine.",
        "fused": "CFG: all branches go through the transformer in one call.",
        "separate": f"CFG: one transformer call per branch ({cfg.order}), each with its own machine.",
    }
    follow = " Later branches take the verdict of the step's first." if cfg.decision == "follow_first" else ""
    return modes[cfg.mode] + follow


def _steps(count: int) -> str:
    return f"{count} step{'s' * (count != 1)}"


def _ordinal(number: int) -> str:
    if number == 2:
        return "second"
    return f"{number}rd" if number == 3 else f"{number}th"

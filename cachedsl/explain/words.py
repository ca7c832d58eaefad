"""Say in words what a plan does."""

from __future__ import annotations

from collections.abc import Iterator

from cachedsl.machine.guards import warmup_length
from cachedsl.plan.ir import Guidance, Plan, StackPlan
from cachedsl.plan.rules import FeaturesPlan, PredictPlan, PrunePlan, SignalPlan


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
    if stack.rules.exact:
        yield "The threshold is 0, so every step is computed and the output is that of the uncached model."
        return
    yield from _forced(stack)
    yield from _open(stack)
    yield from _back(stack)
    yield from _limits(stack)
    yield _predicted(stack.rules.predict)
    yield from _held(stack.rules.features)


def _always(stack: StackPlan) -> str:
    parts = [f"{end} {_blocks(count)}" for end, count in (("first", stack.front), ("last", stack.back)) if count]
    if stack.front > 1 and stack.back > 1:
        parts[0] = f"first {stack.front}"
    runs = "run" if stack.front + stack.back > 1 else "runs"
    always = f"The {' and the '.join(parts)} always {runs}" if parts else "No block always runs"
    middle = sum(unit.stop - unit.start for unit in stack.units if unit.kind != "back")
    if stack.rules.prune is not None:
        return f"{always}; of the other blocks, {middle} may be skipped, each on its own."
    return f"{always}; the other {_blocks(middle) if middle == 1 else middle} {_are(middle)} computed or reused as one."


def _forced(stack: StackPlan) -> Iterator[str]:
    rules = stack.rules
    if length := warmup_length(stack):
        which = f"Steps 0 to {length - 1} are" if length > 1 else "Step 0 is"
        if rules.warmup_interval == 1:
            yield f"{which} warmup and computed in full."
        else:
            yield f"{which} warmup: every {_ordinal(rules.warmup_interval)} of them, from step 0, is computed in full."
    if rules.tail:
        yield f"The last {_steps(rules.tail) if rules.tail > 1 else 'step'} {_are(rules.tail)} computed in full."
    if rules.otherwise is not None:
        what = "decided by measuring" if stack.signal is not None else "reused without measuring"
        yield f"A step mask says which steps are computed; the others are {what}."
    if rules.refresh is not None:
        when = f"every {_steps(rules.refresh)}" if rules.refresh_repeat else f"before step {rules.refresh}"
        yield f"All history is dropped {when}, and a new warmup begins, with fresh limits."


def _open(stack: StackPlan) -> Iterator[str]:
    rules = stack.rules
    if rules.signal is None or rules.threshold == "always":
        if rules.otherwise is None:
            yield "All other steps are reused without measuring."
    elif rules.prune is not None:
        yield from _pruning(rules.prune, rules.threshold)
    else:
        yield from _measured(stack, rules.signal, rules.threshold)


METRICS = {"relative_l1": "relative L1", "relative_l2": "relative L2", "cosine": "cosine distance"}
REFERENCES = {"last_computed": "the last computed step", "previous_step": "the step before"}


def _measured(stack: StackPlan, signal: SignalPlan, threshold: float) -> Iterator[str]:
    words = signal.words.replace("{front}", f"the first {_blocks(stack.front)}")
    parameters = signal.parameters
    compared = "metric" in parameters
    metric = METRICS.get(parameters.get("metric", ""), "")
    reference = REFERENCES.get(parameters.get("reference", ""), "")
    moved = f"the difference of {words} from {reference} ({metric})" if compared else words
    rescale = parameters.get("rescale")
    if rescale is not None:
        moved += f", rescaled by a polynomial of degree {len(rescale) - 1},"
    if signal.accumulate != "none":
        since = {"until_compute": "since the last computed step", "lifetime": "over the run"}[signal.accumulate]
        yield f"Any other step is reused while {moved} sums up {since} to less than {threshold:.4g}."
    elif compared and rescale is None:
        yield (
            f"Any other step is reused when {words} differs by less than {threshold:.4g} ({metric}) from {reference}."
        )
    else:
        yield f"Any other step is reused when {moved} is less than {threshold:.4g}."
    parts = []
    stride, floor = parameters.get("stride", 1), parameters.get("token_floor", 0)
    if stride > 1:
        parts.append(f"every {_ordinal(stride)} channel")
    if floor:
        parts.append(f"tokens that moved by more than {floor:g}")
    if parts:
        yield f"Only {' of '.join(parts)} {'is' if len(parts) == 1 and stride > 1 else 'are'} compared."


def _pruning(prune: PrunePlan, threshold: float) -> Iterator[str]:
    yield (
        f"On any other step a block is skipped when its own input differs by less than {threshold:.4g} (relative L1) "
        "from that of the step on which it last ran."
    )
    if prune.relax is not None:
        top = 2 * threshold if prune.max is None else prune.max
        yield (
            f"That threshold grows to {prune.relax:g} times the mean of what was measured in the step so far, up to "
            f"{top:.4g}."
        )
    if prune.update_interval > 1:
        every = _ordinal(prune.update_interval)
        yield f"Only on every {every} step does a computed block replace what it is reused with."


def _back(stack: StackPlan) -> Iterator[str]:
    count = sum(unit.kind == "back" for unit in stack.units)
    if count:
        yield (
            f"On reused steps {_blocks(count)} of the back {_are(count)} skipped, each unless its own input moved by "
            f"at least {stack.rules.back_threshold:.4g}."
        )


def _limits(stack: StackPlan) -> Iterator[str]:
    rules = stack.rules
    if rules.max_continuous is not None:
        yield f"At most {_steps(rules.max_continuous)} in a row {_are(rules.max_continuous)} reused."
    if rules.max_total is not None:
        yield f"At most {_steps(rules.max_total)} of a run {_are(rules.max_total)} reused."
    # what back blocks measure does not count; a limit of 0 is reached without a measurement
    if rules.max_accumulated is not None and (stack.signal is not None or not rules.max_accumulated):
        since = {"on_compute": "since the last computed step", "never": "over the whole run"}
        yield (f"A step is computed once the measured values {since[rules.reset]} sum up to {rules.max_accumulated:g}.")


def _predicted(predict: PredictPlan) -> str:
    what = {"residual": "residual", "hidden_states": "output"}[predict.target]
    repaid = (
        f"; {predict.repay:.0%} of what the last gap was off by is taken back on each reused step"
        if predict.repay
        else ""
    )
    if not predict.words:
        return (
            f"A reused step {'adds' if what == 'residual' else 'returns'} the {what} of the last computed one{repaid}."
        )
    streams = "" if predict.streams is None else f" of the {' and '.join(predict.streams)} stream"
    clock = "" if predict.clock == "step" else f" over the {predict.clock}"
    far = "" if predict.horizon is None else f"; beyond {_steps(predict.horizon)} it copies"
    extrapolates = f"A reused step extrapolates the {what}{streams} by {predict.words}{clock}"
    return f"{extrapolates}, from up to {predict.anchors} computed steps{far}{repaid}."


def _held(features: FeaturesPlan | None) -> Iterator[str]:
    if features is not None:
        dtype = "" if features.dtype is None else f" in {features.dtype}"
        yield f"What is kept for that is held{dtype}{'' if features.device is None else ' on the CPU'}."


def _cfg(cfg: Guidance) -> str:
    modes = {
        "auto": "CFG: as the pipeline says, else as the adapter does; each branch has its own machine.",
        "fused": "CFG: all branches go through the transformer in one call.",
        "separate": f"CFG: one transformer call per branch ({cfg.order}), each with its own machine.",
    }
    follow = " Later branches take the verdict of the step's first." if cfg.decision == "follow_first" else ""
    return modes[cfg.mode] + follow


def _blocks(count: int) -> str:
    return f"{count} blocks" if count != 1 else "block"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _steps(count: int) -> str:
    return f"{count} step{'s' * (count != 1)}"


def _ordinal(number: int) -> str:
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}" + {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")

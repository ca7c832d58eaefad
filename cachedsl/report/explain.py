"""Say in words what a plan does."""

from __future__ import annotations

from collections.abc import Iterator

from cachedsl.machine.plan import Plan, StackPlan
from cachedsl.machine.transition import warmup_length
from cachedsl.policy.parts import Cfg, Predict, Prune
from cachedsl.policy.signal import Signal


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
    yield from _open(stack)
    yield from _back(stack)
    yield from _limits(stack)
    yield _predicted(stack.policy.predict)


def _always(stack: StackPlan) -> str:
    parts = [f"{end} {_blocks(count)}" for end, count in (("first", stack.front), ("last", stack.back)) if count]
    if stack.front > 1 and stack.back > 1:
        parts[0] = f"first {stack.front}"
    runs = "run" if stack.front + stack.back > 1 else "runs"
    always = f"The {' and the '.join(parts)} always {runs}" if parts else "No block always runs"
    middle = sum(unit.stop - unit.start for unit in stack.units if unit.kind != "back")
    if stack.policy.prune is not None:
        return f"{always}; of the other blocks, {middle} may be skipped, each on its own."
    return f"{always}; the other {_blocks(middle) if middle == 1 else middle} {_are(middle)} computed or reused as one."


def _forced(stack: StackPlan) -> Iterator[str]:
    policy = stack.policy
    if length := warmup_length(stack):
        which = f"Steps 0 to {length - 1} are" if length > 1 else "Step 0 is"
        if policy.warmup.interval == 1:
            yield f"{which} warmup and computed in full."
        else:
            yield f"{which} warmup: every {_ordinal(policy.warmup.interval)} of them, from step 0, is computed in full."
    if policy.tail:
        yield f"The last {_steps(policy.tail) if policy.tail > 1 else 'step'} {_are(policy.tail)} computed in full."
    if policy.steps is not None:
        what = "decided by measuring" if stack.signal is not None else "reused without measuring"
        yield f"A step mask says which steps are computed; the others are {what}."
    if policy.refresh is not None:
        when = f"every {_steps(policy.refresh.at)}" if policy.refresh.repeat else f"before step {policy.refresh.at}"
        yield f"All history is dropped {when}, and a new warmup begins, with fresh limits."


def _open(stack: StackPlan) -> Iterator[str]:
    reuse = stack.policy.reuse
    if not stack.policy.measures:
        if stack.policy.steps is None:
            yield "All other steps are reused without measuring."
        return
    assert reuse.threshold != "always", "nothing is measured then"
    if stack.policy.prune is not None:
        yield from _pruning(stack.policy.prune, reuse.threshold)
        return
    yield from _measured(stack, reuse.signal, reuse.threshold)


def _measured(stack: StackPlan, signal: Signal, threshold: float) -> Iterator[str]:
    front = f"the first {_blocks(stack.front)}"
    metric = {"relative_l1": "relative L1", "relative_l2": "relative L2", "cosine": "cosine distance"}[signal.metric]
    reference = {"last_computed": "the last computed step", "previous_step": "the step before"}[signal.reference]
    tap = {
        "residual": f"what {front} added to the input",
        "hidden_states": f"the output of {front}",
        "probe": f"the output of {front}",
        "block_input": "what enters the blocks that may be skipped",
        "modulated_input": "the first block's modulated input",
        "filtered_latent": f"the model's input behind a filter for spectra of power {signal.exponent:g}",
    }
    moved = {
        "magnitude": "the error of the calibrated ratios' running product",
        "transform_rate": "the change of the model's output that the change of its input makes likely",
    }.get(signal.tap) or f"the difference of {tap[signal.tap]} from {reference} ({metric})"
    if signal.rescale is not None:
        moved += f", rescaled by a polynomial of degree {len(signal.rescale) - 1},"
    if signal.accumulate != "none":
        since = {"until_compute": "since the last computed step", "lifetime": "over the run"}[signal.accumulate]
        yield f"Any other step is reused while {moved} sums up {since} to less than {threshold:.4g}."
    elif signal.tap in tap and signal.rescale is None:
        yield (
            f"Any other step is reused when {tap[signal.tap]} differs by less than {threshold:.4g} ({metric}) from "
            f"{reference}."
        )
    else:
        yield f"Any other step is reused when {moved} is less than {threshold:.4g}."
    parts = []
    if signal.stride > 1:
        parts.append(f"every {_ordinal(signal.stride)} channel")
    if signal.token_floor:
        parts.append(f"tokens that moved by more than {signal.token_floor:g}")
    if parts:
        yield f"Only {' of '.join(parts)} {'is' if len(parts) == 1 and signal.stride > 1 else 'are'} compared."


def _pruning(prune: Prune, threshold: float) -> Iterator[str]:
    yield (
        f"On any other step a block is skipped when its own input differs by less than {threshold:.4g} (relative L1) "
        "from that of the step on which it last ran."
    )
    if prune.dynamic is not None:
        top = 2 * threshold if prune.dynamic.max is None else prune.dynamic.max
        yield (
            f"That threshold grows to {prune.dynamic.relax:g} times the mean of what was measured in the step so far, "
            f"up to {top:.4g}."
        )
    if prune.update_interval > 1:
        every = _ordinal(prune.update_interval)
        yield f"Only on every {every} step does a computed block replace what it is reused with."


def _back(stack: StackPlan) -> Iterator[str]:
    count = sum(unit.kind == "back" for unit in stack.units)
    if count:
        yield (
            f"On reused steps {_blocks(count)} of the back {_are(count)} skipped, each unless its own input moved by "
            f"at least {stack.policy.compute.back_threshold:.4g}."
        )


def _limits(stack: StackPlan) -> Iterator[str]:
    reuse = stack.policy.reuse
    if reuse.max_continuous is not None:
        yield f"At most {_steps(reuse.max_continuous)} in a row {_are(reuse.max_continuous)} reused."
    if reuse.max_total is not None:
        yield f"At most {_steps(reuse.max_total)} of a run {_are(reuse.max_total)} reused."
    # what back blocks measure does not count; a limit of 0 is reached without a measurement
    if reuse.max_accumulated is not None and (stack.signal is not None or not reuse.max_accumulated.limit):
        since = {"on_compute": "since the last computed step", "never": "over the whole run"}
        yield (
            f"A step is computed once the measured values {since[reuse.max_accumulated.reset]} sum up to "
            f"{reuse.max_accumulated.limit:g}."
        )


def _predicted(predict: Predict) -> str:
    what = {"residual": "residual", "hidden_states": "output"}[predict.target]
    repaid = (
        f"; {predict.repay:.0%} of what the last gap was off by is taken back on each reused step"
        if predict.repay
        else ""
    )
    if predict.method == "copy":
        return (
            f"A reused step {'adds' if what == 'residual' else 'returns'} the {what} of the last computed one{repaid}."
        )
    how = {
        "taylor": f"Taylor's formula of order {predict.order}",
        "newton": f"Newton's divided differences of order {predict.order}",
        "hermite": f"a Hermite basis of order {predict.order}",
        "foca": "FoCa's predictor and corrector",
        "dmd": "Dynamic Mode Decomposition",
        "probe_gain": f"the front blocks' own movement, with a gain from {predict.clip[0]:g} to {predict.clip[1]:g}",
    }[predict.method]
    anchors = {"foca": 3, "dmd": predict.history, "probe_gain": 2}.get(predict.method, predict.order + 1)
    streams = "" if predict.streams is None else f" of the {' and '.join(predict.streams)} stream"
    clock = "" if predict.clock == "step" else f" over the {predict.clock}"
    far = "" if predict.horizon is None else f"; beyond {_steps(predict.horizon)} it copies"
    extrapolates = f"A reused step extrapolates the {what}{streams} by {how}{clock}"
    return f"{extrapolates}, from up to {anchors} computed steps{far}{repaid}."


def _cfg(cfg: Cfg) -> str:
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

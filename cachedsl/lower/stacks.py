"""What a policy comes to on one stack: its units, and the rules that govern it."""

from __future__ import annotations

from collections.abc import Iterator

from cachedsl.language.parts import Features, Predict, Prune, Signal
from cachedsl.language.policy import StackPolicy
from cachedsl.language.ratios import RatiosKind
from cachedsl.language.schedule import resolve_steps
from cachedsl.language.taps import PRUNED
from cachedsl.plan.frozen import Frozen
from cachedsl.plan.ir import Unit, UnitKind
from cachedsl.plan.rules import FeaturesPlan, PredictPlan, PrunePlan, Rules, SignalPlan


def units_of(policy: StackPolicy, blocks: int) -> tuple[Unit, ...]:
    """Return the middle as one unit, or each block of it that may be pruned, and the back blocks that decide."""
    return tuple(Unit(index, *span) for index, span in enumerate(_spans(policy, blocks)))


def _spans(policy: StackPolicy, blocks: int) -> Iterator[tuple[int, int, UnitKind]]:
    front, end = policy.compute.front, blocks - policy.compute.back
    if policy.prune is None:
        yield front, end, "middle"
    else:
        yield from ((i, i + 1, "pruned") for i in range(front, end) if i not in policy.prune.keep)
    always = policy.compute.back_blocks
    if always is not None:
        yield from ((end + i, end + i + 1, "back") for i in range(policy.compute.back) if i not in always)


def rules_of(policy: StackPolicy, num_steps: int | None) -> Rules:
    """Return what governs a stack; shares of the run are counts where the step count is known, else none."""
    reuse, bound, decides = policy.reuse, policy.reuse.max_accumulated, policy.compute.back_threshold is not None
    return Rules(
        threshold=reuse.threshold,
        signal=None if policy.signal is None else signal_plan(policy.signal),
        warmup=_steps(policy.warmup.steps, num_steps),
        warmup_interval=policy.warmup.interval,
        tail=_steps(policy.tail, num_steps),
        otherwise=None if policy.steps is None else policy.steps.otherwise,
        max_total=reuse.max_total,
        max_continuous=reuse.max_continuous,
        max_accumulated=None if bound is None else bound.limit,
        reset="on_compute" if bound is None else bound.reset,
        refresh=None if policy.refresh is None else policy.refresh.at,
        refresh_repeat=policy.refresh is not None and policy.refresh.repeat,
        prune=None if policy.prune is None else _prune_plan(policy.prune),
        back_threshold=policy.compute.back_threshold,
        back_signal=signal_plan(Signal(PRUNED)) if decides else None,
        predict=predict_plan(policy.predict),
        features=_features_plan(policy.features),
    )


def _steps(count: int | str, num_steps: int | None) -> int:
    if num_steps is None:
        return count if isinstance(count, int) else 0  # a share without a step count is refused
    return resolve_steps(count, num_steps)


def _features_plan(features: Features) -> FeaturesPlan | None:
    return None if features == Features() else FeaturesPlan(features.dtype, features.device)


def _prune_plan(prune: Prune) -> PrunePlan:
    dynamic = prune.dynamic
    return PrunePlan(
        None if dynamic is None else dynamic.relax, None if dynamic is None else dynamic.max, prune.update_interval
    )


def signal_plan(signal: Signal) -> SignalPlan:
    """Return what a plan says of a signal."""
    spec = signal.spec
    parameters = {name: value for name, value in signal.parameters.items() if value is not None}
    if signal.ratios is not None:
        parameters["ratios"] = RatiosKind().write(signal.ratios)
    return SignalPlan(
        tap=signal.tap,
        source=spec.source,
        accumulate=signal.accumulate,
        observes=signal.observes,
        anchors=spec.anchors,
        parameters=Frozen(parameters),
        words=_filled(spec.words, parameters),
        holds=spec.holds,
    )


def predict_plan(predict: Predict) -> PredictPlan:
    """Return what a plan says of a predictor."""
    spec = predict.spec
    parameters = {name: value for name, value in predict.parameters.items() if value is not None}
    return PredictPlan(
        method=predict.method,
        parameters=Frozen(parameters),
        words=_filled(spec.words, parameters),
        anchors=spec.anchors(predict),
        repay_anchors=spec.repay_anchors(predict) if predict.repay else 0,
        probes=spec.probes,
        target=predict.target,
        streams=predict.streams,
        clock=predict.clock,
        repay=predict.repay,
        horizon=predict.horizon,
    )


def _filled(words: str, parameters: dict[str, object]) -> str:
    """Fill parameters into words; what the stack alone knows stays to be filled in."""
    return words.format(**parameters, front="{front}")

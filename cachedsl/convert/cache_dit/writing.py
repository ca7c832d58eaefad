"""A policy → cache-dit's options, where they can say it."""

from __future__ import annotations

from typing import Any

from attrs import define, field

from cachedsl.convert.notes import NOT_CARRIED, Exported, Note
from cachedsl.language.misfit import Path
from cachedsl.language.parts import Predict, Reuse, Signal
from cachedsl.language.policy import Policy, StackPolicy
from cachedsl.language.schedule import MaskMismatch, resolve_mask, resolve_steps
from cachedsl.text.finding import Severity

Options = dict[str, Any]


def options_from_policy(policy: Policy, *, steps: int | None = None) -> Exported:
    """Return the options with which cache-dit decides as `policy` does.

    Args:
        policy: the policy.
        steps: the run's step count; masks that are no bits, shares of the run and a tail need it.

    Returns:
        The flat options, those that are different for entries of `stacks`, and a note for each key that cache-dit
        cannot say. Nothing is raised: such a key is an error among the notes, and missing in the options.
    """
    writer = _Writer(policy, steps)
    options = writer.stack(policy.under(()), ()) | writer.cfg()
    stacks = {}
    for name, _ in policy.stacks:
        own = writer.stack(policy.under((name,)), ("stacks", name))
        stacks[name] = {key: own.get(key) for key in {**options, **own} if own.get(key) != options.get(key)}
    writer.whole()
    if steps is not None:
        options["num_inference_steps"] = steps
    if policy.prune is not None:
        options = {"cache_type": "DBPrune", **options}
    kept = {name: {key: value for key, value in entry.items() if key not in _WHOLE} for name, entry in stacks.items()}
    return Exported(options, {name: entry for name, entry in kept.items() if entry}, tuple(writer.notes))


_WHOLE = ("enable_separate_cfg", "cfg_compute_first", "cfg_diff_compute_separate", "num_inference_steps", "cache_type")


@define
class _Writer:
    """Writes one policy; `notes` is what cache-dit cannot say."""

    policy: Policy
    steps: int | None
    notes: list[Note] = field(factory=list)

    def refuse(self, path: Path, message: str, hint: str | None = None, severity: Severity = "error") -> None:
        said = ".".join(str(step) for step in path)
        self.notes.append(Note(NOT_CARRIED, path, f"{said}: {message}", hint, severity))

    def whole(self) -> None:
        """Name what is said of the policy as a whole and cannot be carried over."""
        if self.policy.span != "stack":
            self.refuse(("span",), "cache-dit decides for each block list by itself", "use `span: stack`")

    def stack(self, of: StackPolicy, at: Path) -> Options:
        static = of.steps is not None and of.steps.otherwise == "static"
        return {
            **self.compute(of, at),
            **self.reuse(of, at, static),
            **self.steps_of(of, at),
            **self.predict(of.predict, at),
            **self.refresh(of),
            **self.prune(of, at),
        }

    def compute(self, of: StackPolicy, at: Path) -> Options:
        compute = of.compute
        if compute.front < 1:
            hint = "at least one front block runs there; write `F1`"
            self.refuse((*at, "compute"), "cache-dit has no F0", hint)
        if compute.back_blocks is not None:
            message = "releases from 1.0 on run every back block"
            self.refuse((*at, "compute", "back_blocks"), message, "leave it out")
        return {"Fn_compute_blocks": max(compute.front, 1), "Bn_compute_blocks": compute.back}

    def reuse(self, of: StackPolicy, at: Path, static: bool) -> Options:
        reuse = of.reuse
        found: Options = {"residual_diff_threshold": self.threshold(reuse, at)}
        limits = {"max_total": "max_cached_steps", "max_continuous": "max_continuous_cached_steps"}
        for key, name in limits.items():
            limit = getattr(reuse, key)
            if limit is not None and static:
                self.refuse((*at, "reuse", key), "cache-dit reads no limit under a static mask", "put it into the mask")
            elif limit is not None:
                found[name] = limit
        accumulated = reuse.max_accumulated
        if accumulated is not None:
            path = (*at, "reuse", "max_accumulated")
            if accumulated.reset != "never" or of.prune is not None or static:
                message = "cache-dit has a budget for the whole run only, and none for pruning or a static mask"
                self.refuse(path, message, "write `reset: never`, or leave it out")
            else:
                found["max_accumulated_residual_diff_threshold"] = accumulated.limit
        if of.signal is not None and of.prune is None:
            found |= self.signal(of, at)
        return found

    def threshold(self, reuse: Reuse, at: Path) -> float:
        if reuse.threshold == "always":
            return 1.0
        if reuse.threshold >= 1:
            message = "cache-dit takes 1 and more for `always` and measures nothing"
            self.refuse((*at, "reuse", "threshold"), message, "write a threshold below 1, or `always`")
        return reuse.threshold

    def signal(self, of: StackPolicy, at: Path) -> Options:
        signal, path = of.reuse.signal, (*at, "reuse", "signal")
        found: Options = {}
        if signal.tap == "hidden_states":
            found["l1_hidden_states_diff_threshold"] = of.reuse.threshold
        elif signal.tap != "residual":
            self.refuse(path, f"cache-dit does not measure `{signal.tap}`", "use `residual` or `hidden_states`")
            return found
        for key, name in (("stride", "downsample_factor"), ("token_floor", "important_condition_threshold")):
            if getattr(signal, key) != getattr(Signal(signal.tap), key):
                found[name] = getattr(signal, key)
        if Signal(signal.tap, stride=signal.stride, token_floor=signal.token_floor) != signal:
            self.refuse(path, "cache-dit compares with the last computed step, by the relative L1 distance, only")
        if found:
            message = "in 1.5.3 this is `ExtraCacheConfig`, which neither its files nor `DBCacheConfig` say"
            self.refuse(path, message, "pass it as `extra_cache_config`", "warning")
        return found

    def steps_of(self, of: StackPolicy, at: Path) -> Options:
        """Return warmup, mask and tail, which share one mask there."""
        found: Options = {}
        warmup = self.count(of.warmup.steps, (*at, "warmup", "steps"))
        found["max_warmup_steps"] = warmup
        if of.warmup.interval != 1:
            found["warmup_interval"] = of.warmup.interval
        tail = self.count(of.tail, (*at, "tail"))
        bits = self.mask(of, at)
        if tail and self.steps is None:
            self.refuse((*at, "tail"), "cache-dit says a tail by a mask, for which the step count must be known")
        elif tail and self.steps is not None and bits is None and of.warmup.interval != 1:
            self.refuse((*at, "tail"), "its mask and a warmup with an interval exclude each other", "write a mask")
        elif tail and self.steps is not None:
            head = bits or ("1" * warmup).ljust(self.steps, "0")
            bits = head[: max(self.steps - tail, 0)].ljust(self.steps, "1")
        if bits is not None:
            found["steps_computation_mask"] = [int(bit) for bit in bits]
            if of.steps is not None and of.steps.otherwise == "static":
                found["steps_computation_policy"] = "static"
        return found

    def count(self, count: int | str, path: Path) -> int:
        if isinstance(count, int):
            return count
        if self.steps is None:
            self.refuse(path, f"{count} of the run is a number there, for which the step count must be known")
            return 0
        return resolve_steps(count, self.steps)

    def mask(self, of: StackPolicy, at: Path) -> str | None:
        if of.steps is None:
            return None
        bits = getattr(of.steps, "bits", None)
        if bits is not None and self.steps is None:
            return str(bits)
        if self.steps is None:
            self.refuse((*at, "steps"), "it is written as bits there, for which the step count must be known")
            return None
        try:
            return resolve_mask(of.steps, self.steps)
        except MaskMismatch as error:
            self.refuse((*at, "steps"), str(error))
            return None

    def predict(self, predict: Predict, at: Path) -> Options:
        path = (*at, "predict")
        for name in ("repay", "horizon", "clock"):
            if getattr(predict, name) != getattr(Predict(predict.method), name):
                self.refuse((*path, name), "cache-dit has no such setting", "leave it out")
        if predict.method == "copy":
            if predict.target != "residual":
                self.refuse((*path, "target"), "without a calibrator cache-dit keeps residuals", "leave it out")
            return {}
        spelt = {"taylor": "taylorseer", "dmd": "dmd", "foca": "foca"}.get(predict.method)
        if spelt is None:
            self.refuse((*path, "method"), f"cache-dit has no `{predict.method}`", "use `taylor`, `dmd` or `foca`")
            return {}
        found: Options = {f"enable_{spelt}": True}
        streams = predict.streams
        if streams is not None and "hidden" not in streams:
            self.refuse(
                (*path, "streams"), "cache-dit's files extrapolate `hidden` wherever they extrapolate `encoder`"
            )
        found[f"enable_encoder_{spelt}"] = streams is None or "encoder" in streams
        target = "taylorseer_cache_type" if spelt == "taylorseer" else "calibrator_cache_type"
        if predict.target != "residual":
            found[target] = predict.target
        own = {"taylorseer": self._taylorseer, "dmd": self._dmd, "foca": self._foca}
        return found | own[spelt](predict, path)

    def _taylorseer(self, predict: Predict, path: Path) -> Options:
        if predict.order > 1 and predict.form != "published":
            message = "from order 2 on cache-dit weighs differences as they were published"
            self.refuse((*path, "form"), message, "write `form: published`")
        return {"taylorseer_order": predict.order}

    def _dmd(self, predict: Predict, path: Path) -> Options:
        self.refuse(path, "cache-dit decides alike and predicts otherwise", severity="warning")
        return {"dmd_history": predict.history, "dmd_rank": predict.rank, "dmd_ridge": predict.ridge}

    def _foca(self, predict: Predict, path: Path) -> Options:
        self.refuse(path, "cache-dit predicts otherwise, from its own predictions too", severity="warning")
        return {}

    def refresh(self, of: StackPolicy) -> Options:
        if of.refresh is None:
            return {}
        calls = 2 if self.policy.cfg.mode == "separate" else 1
        found: Options = {"force_refresh_step_hint": of.refresh.at * calls}
        if of.refresh.repeat:
            found["force_refresh_step_policy"] = "repeat"
        if self.policy.cfg.mode == "auto":
            message = "cache-dit counts calls of the transformer; with guidance in two calls a step, double it"
            self.refuse(("refresh",), message, "say `cfg: fused` or `cfg: separate`", "warning")
        return found

    def prune(self, of: StackPolicy, at: Path) -> Options:
        if (of.prune is None) != (self.policy.prune is None):
            self.refuse((*at, "prune"), "cache-dit prunes all block lists or none")
        if of.prune is None:
            return {}
        found: Options = {}
        if of.prune.keep:
            found["non_prune_block_ids"] = list(of.prune.keep)
        if of.prune.update_interval != 1:
            message = "releases from 1.0 on update what a block is reused with on every step"
            self.refuse((*at, "prune", "update_interval"), message, "leave it out")
        if of.prune.dynamic is not None:
            found["enable_dynamic_prune_threshold"] = True
            found["dynamic_prune_threshold_relax_ratio"] = of.prune.dynamic.relax
            if of.prune.dynamic.max is not None:
                found["max_dynamic_prune_threshold"] = of.prune.dynamic.max
        return found

    def cfg(self) -> Options:
        cfg = self.policy.cfg
        found: Options = {} if cfg.mode == "auto" else {"enable_separate_cfg": cfg.mode == "separate"}
        if cfg.order == "uncond_first":
            found |= {"cfg_compute_first": True, "cfg_diff_compute_separate": False}
            if cfg.decision == "follow_first":
                message = "cache-dit lets the second branch follow only where the conditional one comes first"
                self.refuse(("cfg", "decision"), message, "use `per_branch`")
        elif cfg.decision == "follow_first":
            found["cfg_diff_compute_separate"] = False
        return found

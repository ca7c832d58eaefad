"""cache-dit's options → a policy tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import define, field

from cachedsl.convert.cache_dit.calibrators import predict_of
from cachedsl.convert.cache_dit.masks import steps_mask
from cachedsl.convert.cache_dit.options import CACHE_TYPES, Read, read_options
from cachedsl.convert.notes import BAD_OPTION, DIFFERS, IDLE_OPTION, NOT_CARRIED, Converted, Note
from cachedsl.text.finding import Severity

Tree = dict[str, Any]
OFF = {"reuse": {"threshold": 0}}
"""What `cache_type: NONE` comes to: every step is computed."""


SAY_STEPS = "set `num_inference_steps`"


def policy_from_options(
    options: Mapping[str, Any],
    *,
    steps: int | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> Converted:
    """Return the policy that decides as cache-dit does with `options`.

    Args:
        options: flat options, as `cache_config` has them in YAML, or Python keywords; None is an option's default.
        steps: the run's step count, where `options` does not say it; a preset and a mask of another length need it.
        overrides: per block list (its own name, or `transformer.list`), the options that are different there.

    Returns:
        The tree, and a note for each option that is read differently, not read, or wrong. Nothing is raised: an
        option that is wrong, or cannot be carried over, is an error among the notes and is missing in the tree.
    """
    read = read_options(options)
    count = read["num_inference_steps"] or steps
    reader = _Reader(read, count)
    tree = reader.stack() | reader.cfg()
    notes = [*read.notes, *reader.notes]
    stacks = {}
    for name, changes in (overrides or {}).items():
        stacks[name], more = _override(options, changes, tree, count)
        notes += [note.under(name) for note in more if note not in (*read.notes, *reader.notes)]
    if stacks:
        tree["stacks"] = {name: entry for name, entry in stacks.items() if entry}
    return Converted({"version": 1, **tree}, tuple(notes), count)


def _override(
    options: Mapping[str, Any], changes: Mapping[str, Any], base: Tree, steps: int | None
) -> tuple[Tree, list[Note]]:
    """Return what is different for one block list; what is as in `base` is left out, what is not there is null."""
    read = read_options({**options, **{name: value for name, value in changes.items() if value is not None}})
    reader = _Reader(read, steps)
    own = reader.stack()
    notes = [*read.notes, *reader.notes]
    for name in ("enable_separate_cfg", "cfg_compute_first", "cfg_diff_compute_separate"):
        if changes.get(name) not in (None, options.get(name)):
            message = f"{name}: how guidance reaches a transformer is the same for all of its block lists here"
            notes.append(Note(NOT_CARRIED, (name,), message, "set it for all block lists"))
    keys = (key for key in {**base, **own} if key not in ("cfg", "stacks"))
    entry = {key: _over(base.get(key), own.get(key)) for key in keys if own.get(key) != base.get(key)}
    return entry, notes


def _over(below: Any, value: Any) -> Any:
    """Return a value that replaces `below`, which entries of `stacks` are laid over key by key."""
    if isinstance(below, dict) and isinstance(value, dict):
        return {**{key: None for key in below if key not in value}, **value}
    return value


@define
class _Reader:
    """Makes one policy of options that were read; `notes` is what there is to say."""

    read: Read
    steps: int | None
    notes: list[Note] = field(factory=list)

    def stack(self) -> Tree:
        """Return all keys that may be different for each block list."""
        kind = self.cache_type()
        if kind == "NONE":
            return dict(OFF)
        self.idle_sections(kind)
        mask = self.mask()
        static = mask is not None and self.read["steps_computation_policy"] == "static"
        prune = self.prune(static) if kind == "DBPrune" else None
        reuse = self.reuse(static, pruned=prune is not None)
        predict, notes = predict_of(self.read)
        self.notes += notes
        found = {
            "compute": self.compute() if kind != "FBCache" else "F1B0",
            "warmup": self.warmup(),
            "reuse": reuse or None,
            "predict": predict,
            "steps": mask,
            "refresh": self.refresh(),
            "prune": prune,
        }
        return {key: value for key, value in found.items() if value is not None}

    def note(
        self, rule: Any, name: str, message: str, hint: str | None = None, severity: Severity | None = None
    ) -> None:
        """Add a note at the key that says option `name`."""
        key = self.read.keys.get(name, name)
        self.notes.append(
            Note(rule, (key,), f"{key}: {message}", hint, rule.severity if severity is None else severity)
        )

    def cache_type(self) -> str:
        said = str(self.read["cache_type"])
        for kind, spellings in CACHE_TYPES.items():
            if said.upper() in (kind.upper(), *spellings):
                if said not in (kind, spellings[0].title()):
                    message = f"cache-dit's files take `{kind}` only, as which `{said}` is read here"
                    self.note(DIFFERS, "cache_type", message, f"write `{kind}`")
                return kind
        self.note(BAD_OPTION, "cache_type", f"expected `DBCache`, `DBPrune` or `FBCache`, got `{said}`")
        return "DBCache"

    def idle_sections(self, kind: str) -> None:
        """Name what is said of pruning where nothing is pruned, and of blocks where FBCache has chosen them."""
        if self.read["enable_alter_cache"]:
            message = "a fixed pattern of computed and reused steps is a mask here"
            self.note(NOT_CARRIED, "enable_alter_cache", message, "write a `steps_computation_mask` such as 1,0,1,0")
        for name in ("max_Fn_compute_blocks", "max_Bn_compute_blocks", "alter_residual_diff_threshold"):
            if self.read.says(name):
                self.note(IDLE_OPTION, name, "nothing reads it in 1.5.3, nor here")
        if kind == "FBCache":
            for name in ("Fn_compute_blocks", "Bn_compute_blocks"):
                if self.read.says(name):
                    self.note(IDLE_OPTION, name, "`FBCache` is F1B0")
        if kind == "DBPrune":
            return
        for name in self.read.said_of("prune"):
            self.note(IDLE_OPTION, name, "only `cache_type: DBPrune` reads it", "leave it out, or prune")

    def compute(self) -> Any:
        front, back = self.read["Fn_compute_blocks"], self.read["Bn_compute_blocks"]
        if self.read["Fn_compute_blocks_ids"]:
            message = "every front block always runs here"
            self.note(NOT_CARRIED, "Fn_compute_blocks_ids", message, "give `Fn_compute_blocks` alone")
        ids = self.read["Bn_compute_blocks_ids"]
        if not ids or not back:
            for name in ("Bn_compute_blocks_ids", "non_compute_blocks_diff_threshold"):
                if self.read.says(name):
                    self.note(IDLE_OPTION, name, "it chooses among back blocks, and there is no choice to make")
            return None if (front, back) == (8, 0) else f"F{front}B{back}"
        at = self.read["non_compute_blocks_diff_threshold"]
        return {"front": front, "back": back, "back_blocks": list(ids), "back_threshold": at}

    def warmup(self) -> Any:
        steps, interval = self.read["max_warmup_steps"], self.read["warmup_interval"]
        if interval != 1:
            return {"steps": steps, "interval": interval}
        return None if steps == 8 else steps

    def reuse(self, static: bool, pruned: bool) -> Tree:
        found: Tree = {}
        signal = None if pruned else self.signal()
        name = "residual_diff_threshold"
        if self.read["l1_hidden_states_diff_threshold"] is not None:
            if self.read.says(name):
                self.note(IDLE_OPTION, name, "`l1_hidden_states_diff_threshold` is the threshold then")
            name = "l1_hidden_states_diff_threshold"
        threshold = self.read[name]
        if threshold < 0:
            self.note(DIFFERS, name, "cache-dit computes every step below 0, which is 0 here")
        threshold = "always" if threshold >= 1 else max(threshold, 0)
        if threshold != 0.08:
            found["threshold"] = threshold
        if signal is not None and not static and threshold not in ("always", 0):
            found["signal"] = signal
        elif signal is not None:
            for extra in self.read.said_of("extra"):
                self.note(IDLE_OPTION, extra, "nothing is measured beside these options")
        if pruned:
            self.extras_of_prune()
        limits = {"max_total": "max_cached_steps", "max_continuous": "max_continuous_cached_steps"}
        for key, name in limits.items():
            if self.read[name] >= 0:
                if static:
                    self.note(IDLE_OPTION, name, "under a static mask cache-dit reads no limit")
                else:
                    found[key] = self.read[name]
        accumulated = self.read["max_accumulated_residual_diff_threshold"]
        if accumulated is not None and accumulated > 0:
            reason = "under a static mask nothing is measured" if static else "while pruning cache-dit sums up nothing"
            if static or pruned:
                self.note(IDLE_OPTION, "max_accumulated_residual_diff_threshold", reason)
            else:
                found["max_accumulated"] = {"limit": accumulated, "reset": "never"}
        return found

    def signal(self) -> Any:
        """Return what is measured, None for the default."""
        found: Tree = {}
        hidden = (self.read["l1_hidden_states_diff_threshold"] or 0) > 0
        if self.read["downsample_factor"] > 1:
            found["stride"] = self.read["downsample_factor"]
        if self.read["important_condition_threshold"] > 0:
            found["token_floor"] = self.read["important_condition_threshold"]
        tap = "hidden_states" if hidden else "residual"
        if not found:
            return tap if hidden else None
        return {"tap": tap, **found}

    def extras_of_prune(self) -> None:
        for name in self.read.said_of("extra"):
            self.note(
                NOT_CARRIED,
                name,
                "a pruned block compares all channels and tokens of its own input here",
                "leave it out; a threshold near its value decides nearly alike",
                severity="warning",
            )
        calibrated = self.read.said_of("taylorseer", "dmd", "foca", "calibrator")
        if self.read["force_reduce_calibrator_vram"] and calibrated:
            message = "there every fourth channel is compared then, here all of them"
            self.note(DIFFERS, "force_reduce_calibrator_vram", message, "tune the threshold anew")

    def mask(self) -> Any:
        """Return the mask as a tree, None where there is none."""
        value = self.read["steps_computation_mask"]
        if value is None:
            if self.read.says("steps_computation_policy"):
                self.note(IDLE_OPTION, "steps_computation_policy", "there is no `steps_computation_mask`")
            return None
        bits = self.bits(value)
        if bits is None:
            return None
        return {"bits": bits, "otherwise": "static"} if self.read["steps_computation_policy"] == "static" else bits

    def bits(self, value: Any) -> str | None:
        name = "steps_computation_mask"
        if isinstance(value, tuple):
            bits = "".join(map(str, value))
        elif set(value) <= {"0", "1"}:
            bits = value
            self.note(DIFFERS, name, "cache-dit takes a text for a preset's name; here it is read as a mask")
        else:
            if self.steps is None:
                message = f"the preset `{value}` is written as bits, for which the step count must be known"
                self.note(BAD_OPTION, name, message, SAY_STEPS)
                return None
            try:
                return steps_mask(value, self.steps)
            except ValueError as error:
                self.note(BAD_OPTION, name, str(error))
                return None
        if self.steps is None or len(bits) == self.steps:
            return bits
        fitted = bits[: self.steps].ljust(self.steps, "0")
        what = "cut" if len(bits) > self.steps else "completed with 0, as cache-dit reads it"
        self.note(DIFFERS, name, f"it has {len(bits)} steps and the run {self.steps}; it is {what}")
        return fitted

    def refresh(self) -> Any:
        hint, name = self.read["force_refresh_step_hint"], "force_refresh_step_hint"
        if hint is None:
            if self.read.says("force_refresh_step_policy"):
                self.note(IDLE_OPTION, "force_refresh_step_policy", f"there is no `{name}`")
            return None
        separate = self.read["enable_separate_cfg"]
        if separate and hint % 2:
            message = f"cache-dit counts calls of the transformer, two a step here, so {hint} is the middle of a step"
            self.note(NOT_CARRIED, name, message, f"{hint + 1} is before step {(hint + 1) // 2}")
            return None
        if separate is None:
            message = f"cache-dit counts calls of the transformer; {hint} is taken for a step, as with one call a step"
            self.note(DIFFERS, name, message, "say `enable_separate_cfg`, and it is read as there")
        at = hint // 2 if separate else hint
        return {"at": at, "repeat": True} if self.read["force_refresh_step_policy"] == "repeat" else at

    def prune(self, static: bool) -> Tree:
        found: Tree = {}
        if self.read["non_prune_block_ids"]:
            found["keep"] = list(self.read["non_prune_block_ids"])
        if self.read["residual_cache_update_interval"] != 1:
            found["update_interval"] = self.read["residual_cache_update_interval"]
        at = self.read["residual_diff_threshold"]
        parts = {"relax": "dynamic_prune_threshold_relax_ratio", "max": "max_dynamic_prune_threshold"}
        if not self.read["enable_dynamic_prune_threshold"]:
            for name in parts.values():
                if self.read.says(name):
                    self.note(IDLE_OPTION, name, "only `enable_dynamic_prune_threshold: true` reads it")
            return found
        most = self.read["max_dynamic_prune_threshold"]
        if static or not 0 < at < 1 or (most is not None and most <= at):
            for name in ("enable_dynamic_prune_threshold", *parts.values()):
                if self.read.says(name):
                    self.note(IDLE_OPTION, name, "the threshold cannot move beside these options")
            return found
        found["dynamic"] = {key: self.read[name] for key, name in parts.items() if self.read.says(name)}
        if self.read["enable_separate_cfg"]:
            message = "there the second branch adapts to what the first one measured, here each to its own"
            self.note(DIFFERS, "enable_dynamic_prune_threshold", message)
        return found

    def cfg(self) -> Tree:
        """Return how guidance reaches the transformer."""
        separate = self.read["enable_separate_cfg"]
        if separate is False:
            for name in ("cfg_compute_first", "cfg_diff_compute_separate"):
                if self.read.says(name):
                    self.note(IDLE_OPTION, name, "with `enable_separate_cfg: false` one call serves all branches")
            return {"cfg": "fused"}
        found: Tree = {} if separate is None else {"mode": "separate"}
        first, apart = self.read["cfg_compute_first"], self.read["cfg_diff_compute_separate"]
        if first:
            found["order"] = "uncond_first"
            if apart and separate:
                message = "cache-dit stops there unless `cfg_diff_compute_separate` is false; here it holds as it is"
                self.note(DIFFERS, "cfg_compute_first", message)
        elif not apart:
            found["decision"] = "follow_first"
        if set(found) == {"mode"}:
            return {"cfg": "separate"}
        return {"cfg": found} if found else {}

"""SGLang: `SGLANG_CACHE_DIT_…` in the environment, and the fields of a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cachedsl.convert.cache_dit.masks import bins_mask
from cachedsl.convert.dbcache import SERVING, bins, from_options, to_options
from cachedsl.convert.engine import Asked, Engine, Written, names, plain
from cachedsl.convert.forms import Settings
from cachedsl.convert.notes import BAD_OPTION, DIFFERS, IDLE_OPTION, NOT_CARRIED, Converted, Note
from cachedsl.convert.options import Option, Options, read_options
from cachedsl.convert.whole_steps import OFF, coefficients_of, models_with_coefficients, teacache
from cachedsl.language.kinds import Either, Flag, Kind, ListOf, Number, Text, Whole, word
from cachedsl.language.misfit import Misfit, Path
from cachedsl.language.policy import Policy

NAME = "SGLang"
PREFIX, SECOND = "SGLANG_CACHE_DIT_", "SGLANG_CACHE_DIT_SECONDARY_"


class Switch(Kind):
    """True or false as environments have it."""

    def read(self, value: Any) -> bool:
        text = str(value).strip().lower()
        if text in ("1", "true", "yes", "y", "on", "t"):
            return True
        if text in ("0", "false", "no", "n", "off", "f", "", "none"):
            return False
        raise Misfit(self.title, value)


class Bins(Kind):
    """Run lengths as environments have them: `8,3,3`."""

    def read(self, value: Any) -> list[int]:
        cells = [cell.strip() for cell in str(value).split(",")]
        if not all(cell.isdecimal() and int(cell) for cell in cells):
            raise Misfit(self.title, value)
        return [int(cell) for cell in cells]


SWITCH, BINS = Switch("true or false"), Bins("run lengths with commas between, such as 8,3,3")
_LIMIT = Whole("a whole number of at least -1, which is no limit", least=-1)
SPELT = {
    "FN": ("Fn_compute_blocks", Whole(least=1)),
    "BN": ("Bn_compute_blocks", Whole()),
    "WARMUP": ("max_warmup_steps", Whole()),
    "RDT": ("residual_diff_threshold", Number()),
    "MC": ("max_continuous_cached_steps", _LIMIT),
    "TAYLORSEER": ("enable_taylorseer", SWITCH),
    "TS_ORDER": ("taylorseer_order", Whole(most=10)),
    "DMD": ("enable_dmd", SWITCH),
    "DMD_HISTORY": ("dmd_history", Whole(least=4, most=64)),
    "DMD_RANK": ("dmd_rank", Whole(most=64)),
    "DMD_RIDGE": ("dmd_ridge", Number(least=0, most=1)),
    "DMD_SVD_PRECISION": ("dmd_svd_precision", word("low", "medium", "high")),
}
"""What stands behind the prefix, and cache-dit's option of that meaning."""

SCM = {
    "SCM_PRESET": Option(word("none", "slow", "medium", "fast", "ultra"), "none"),
    "SCM_COMPUTE_BINS": Option(BINS),
    "SCM_CACHE_BINS": Option(BINS),
    "SCM_POLICY": Option(word("dynamic", "static"), "dynamic"),
}
ENVIRONMENT: dict[str, Option] = {
    f"{PREFIX}ENABLED": Option(SWITCH, False),
    **{f"{PREFIX}{name}": Option(kind) for name, (_, kind) in SPELT.items()},
    **{f"{PREFIX}{name}": option for name, option in SCM.items()},
    **{f"{SECOND}{name}": Option(kind) for name, (_, kind) in SPELT.items()},
}
REQUEST = ("enable_cache_dit", "cache_dit_params", "enable_teacache", "teacache_params", "TeaCacheParams")
OTHERS = ("spectrum_params", "SpectrumParams", "enable_spectrum", "dpcache_budget", "sea_cache_params")


def knows(settings: Settings) -> bool:
    """Tell whether settings are SGLang's."""
    found = names(settings)
    return any(name.startswith(PREFIX) for name in found) or bool(found & {*REQUEST, *OTHERS})


def read(settings: Settings, asked: Asked) -> Converted:
    """Return the policy of an environment, or of a request."""
    given = plain(settings)
    own = {name: value for name, value in given.items() if name.startswith(PREFIX)}
    return _environment(own, asked) if own or settings.form == "env" else _request(given, asked)


def _environment(given: Mapping[str, Any], asked: Asked) -> Converted:
    read = read_options(given, ENVIRONMENT, NAME)
    on = f"{PREFIX}ENABLED"
    if not read[on]:
        said = on in read.values
        hint = "set it to true" if not said else None
        read.note(DIFFERS, on, "it is off" if said else "it is not set, so that SGLang caches nothing", hint)
        if said:
            return Converted({"version": 1, **OFF}, tuple(read.notes))
    options, where = _options(read, PREFIX)
    _scm(read, options, where, asked)
    second, places = _options(read, SECOND)
    overrides = {"transformer_2.*": {**options, **second}} if second else None
    found = from_options({**SERVING, **options}, {**places, **where}, asked, overrides)
    notes = [*read.notes, *found.notes]
    if not options.get("enable_taylorseer") and "taylorseer_order" in options:
        read.note(IDLE_OPTION, f"{PREFIX}TS_ORDER", "TaylorSeer is off")
    return Converted(found.tree, tuple(dict.fromkeys(notes)), found.steps)


def _options(read: Options, prefix: str) -> tuple[dict[str, Any], dict[str, Path]]:
    """Return cache-dit's options of one transformer. TaylorSeer and DMD extrapolate every stream, as in Python."""
    options: dict[str, Any] = {}
    where: dict[str, Path] = {}
    for name, (option, _) in SPELT.items():
        if f"{prefix}{name}" in read.values:
            options[option] = read[f"{prefix}{name}"]
            where[option] = (*read.path, f"{prefix}{name}")
    if options.get("enable_taylorseer"):
        options["enable_encoder_taylorseer"] = True
    return options, where


def _scm(read: Options, options: dict[str, Any], where: dict[str, Path], asked: Asked) -> None:
    """Add the mask: bins before the preset, as SGLang reads them."""
    names = [f"{PREFIX}{name}" for name in SCM]
    preset, compute, cache, policy = names
    runs = read[compute], read[cache]
    if None not in runs:
        total = asked.steps if asked.steps is not None else sum(runs[0]) + sum(runs[1])
        where["steps_computation_mask"] = (compute,)
        try:
            options["steps_computation_mask"] = [int(bit) for bit in bins_mask(*runs, total)]
        except ValueError as error:
            read.note(BAD_OPTION, compute, str(error))
        if read[preset] != "none":
            read.note(IDLE_OPTION, preset, "the bins say which steps are computed")
    elif runs != (None, None):
        given = compute if runs[0] is not None else cache
        read.note(BAD_OPTION, given, "computed and reused runs must both be given")
    elif read[preset] != "none":
        options["steps_computation_mask"] = read[preset]
        where["steps_computation_mask"] = (preset,)
    if policy in read.values:
        options["steps_computation_policy"] = read[policy]
        where["steps_computation_policy"] = (policy,)


_NUMBER_OF_STEPS = Either(
    "a step, a negative one from the end, or a share of the run such as 0.1", (Whole(least=-10_000), Number())
)
TEACACHE: dict[str, Option] = {
    "teacache_thresh": Option(Number(least=0), 0.0),
    "start_skipping": Option(_NUMBER_OF_STEPS, 5),
    "end_skipping": Option(_NUMBER_OF_STEPS, -1),
    "coefficients": Option(Either("a list of coefficients, or a model", (ListOf("a list", Number()), Text("a model")))),
    "use_ret_steps": Option(Flag()),
    "cache_type": Option(word("teacache"), "teacache"),
}
_PARAMS: dict[str, Option] = {
    **{option: Option(kind) for option, kind in SPELT.values()},
    "scm_preset": Option(word("none", "slow", "medium", "fast", "ultra")),
    "scm_policy": Option(word("dynamic", "static")),
}


def _request(given: Mapping[str, Any], asked: Asked) -> Converted:
    """Return the policy of a request's fields; those that are no matter of caching are passed over."""
    notes: list[Note] = []
    for name in OTHERS:
        if given.get(name) not in (None, False):
            sea = "SeaCache there filters the first block's modulated input, and not the latent"
            what = sea if name.startswith("sea") else "it has no counterpart here"
            notes.append(Note(NOT_CARRIED, (name,), f"{name}: {what}", "use another cache"))
    steps = given.get("num_inference_steps")
    asked = Asked(steps, asked.model) if asked.steps is None and type(steps) is int else asked
    for name in ("teacache_params", "TeaCacheParams"):
        if given.get(name) is not None or (name == "teacache_params" and given.get("enable_teacache")):
            found = _teacache(given.get(name) or {}, name, asked)
            return Converted(found.tree, (*notes, *found.notes), asked.steps)
    if given.get("cache_dit_params") is None and not given.get("enable_cache_dit"):
        return Converted({"version": 1, **OFF}, tuple(notes), asked.steps)
    if given.get("enable_cache_dit") is False:
        notes.append(Note(DIFFERS, ("enable_cache_dit",), "enable_cache_dit: it is off, so that nothing is cached"))
        return Converted({"version": 1, **OFF}, tuple(notes), asked.steps)
    read = read_options(given.get("cache_dit_params") or {}, _PARAMS, NAME, ("cache_dit_params",))
    options = {name: value for name, value in read.values.items() if not name.startswith("scm_")}
    where: dict[str, Path] = {name: ("cache_dit_params", name) for name in options}
    if read["scm_preset"] not in (None, "none"):
        options["steps_computation_mask"] = read["scm_preset"]
        where["steps_computation_mask"] = ("cache_dit_params", "scm_preset")
    if read["scm_policy"] is not None:
        options["steps_computation_policy"] = read["scm_policy"]
    if options.get("enable_taylorseer"):
        options["enable_encoder_taylorseer"] = True
    found = from_options({**SERVING, **options}, where, asked)
    return Converted(found.tree, (*notes, *read.notes, *found.notes), found.steps)


def _teacache(given: Any, name: str, asked: Asked) -> Converted:
    read = read_options(given, TEACACHE, NAME, (name,))
    said = read["coefficients"]
    polynomial = None if said is None or isinstance(said, str) else said
    if polynomial is None and (said or asked.model):
        polynomial = coefficients_of(str(said or asked.model), bool(read["use_ret_steps"]))
    if not polynomial:
        message = "TeaCache needs the coefficients of the model"
        read.note(NOT_CARRIED, "coefficients", message, f"write them, or name one of {models_with_coefficients()}")
        return Converted({}, tuple(read.notes), asked.steps)
    head, tail = _bound(read, "start_skipping", asked), _bound(read, "end_skipping", asked)
    if head is None or tail is None:
        return Converted({}, tuple(read.notes), asked.steps)
    tree = teacache(read["teacache_thresh"], polynomial, head=max(head - 1, 1), tail=tail)
    return Converted({"version": 1, **tree}, tuple(read.notes), asked.steps)


def _bound(read: Options, name: str, asked: Asked) -> int | None:
    """Return the step at which skipping begins, counted from 1, or how many steps are computed at the tail."""
    value, steps = read[name], asked.steps
    start = name == "start_skipping"
    if (isinstance(value, float) and not value.is_integer()) or (start and value < 0) or (not start and value >= 0):
        if steps is None:
            read.note(
                BAD_OPTION, name, "it is a share of the run, for which the step count must be known", "say --steps"
            )
            return None
        value = int(steps * value) if isinstance(value, float) else value
        value = steps + value if value < 0 else value
        return int(value) if start else max(steps - int(value) + 1, 0)
    return int(value) if start else int(1 - value)


_FIXED: dict[str, Any] = {
    "max_cached_steps": -1,
    "warmup_interval": 1,
    "enable_encoder_taylorseer": True,
    "enable_encoder_dmd": True,
    "steps_computation_mask": None,
    "num_inference_steps": None,
}


def write(policy: Policy, asked: Asked) -> Written:
    """Return an environment: `export` lines."""
    spelt = {option: f"{PREFIX}{name}" for name, (option, _) in SPELT.items()}
    spelt |= {"steps_computation_mask": "mask", "steps_computation_policy": f"{PREFIX}SCM_POLICY"}
    options, exported = to_options(policy, asked, NAME, spelt, _FIXED)
    options.pop("num_inference_steps", None)
    notes = [note for note in exported.notes if "num_inference_steps" not in note.message]
    mask = options.pop("mask", None)
    if mask is not None:
        compute, cache = bins(mask)
        if not mask[0] or not cache:
            notes.append(
                Note(NOT_CARRIED, ("steps",), "steps: SGLang's masks begin with computed steps and reuse some")
            )
        options[f"{PREFIX}SCM_COMPUTE_BINS"] = ",".join(map(str, compute))
        options[f"{PREFIX}SCM_CACHE_BINS"] = ",".join(map(str, cache))
    options.setdefault(f"{PREFIX}MC", -1)
    second: dict[str, Any] = {}
    for stack, changes in exported.stacks.items():
        if stack == "transformer_2.*" and set(changes) <= {option for option, _ in SPELT.values()}:
            second = {f"{SECOND}{name}": changes[option] for name, (option, _) in SPELT.items() if option in changes}
            continue
        message = f"stacks.{stack}: SGLang has settings for whole transformers only, `transformer_2.*` the second"
        notes.append(Note(NOT_CARRIED, ("stacks", stack), message))
    lines = {f"{PREFIX}ENABLED": True, **options, **second}
    text = "".join(f"export {name}={_said(value)}\n" for name, value in lines.items())
    return Written(text, tuple(notes))


def _said(value: Any) -> str:
    if value is None:
        return "-1"
    return str(value).lower() if isinstance(value, bool) else str(value)


ENGINE = Engine(
    "sglang",
    "SGLang",
    "environment; fields of a request in JSON or YAML",
    knows,
    read,
    write,
    refused=("Spectrum, DPCache, its SeaCache", "TeaCache without coefficients or a model that has them"),
)

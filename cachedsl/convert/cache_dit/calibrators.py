"""cache-dit's calibrators → `predict`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cachedsl.convert.cache_dit.options import Read
from cachedsl.convert.notes import BAD_OPTION, DIFFERS, IDLE_OPTION, NOT_CARRIED, Note

Tree = dict[str, Any]
NAMES = ("taylorseer", "dmd", "foca")


def predict_of(read: Read) -> tuple[Any, list[Note]]:
    """Return `predict` as a tree, None where nothing is extrapolated, and what there is to say."""
    notes: list[Note] = []

    def note(rule: Any, name: str, message: str, hint: str | None = None, **more: Any) -> None:
        key = read.keys.get(name, name)
        notes.append(Note(rule, (key,), f"{key}: {message}", hint, **more))

    chosen = [name for name in NAMES if read[f"enable_{name}"]]
    generic = read["enable_calibrator"] or read["enable_encoder_calibrator"]
    if len(chosen) + bool(generic) > 1:
        also = " and ".join(f"`enable_{name}`" for name in chosen) or "`enable_calibrator`"
        note(BAD_OPTION, f"enable_{chosen[-1]}", f"{also} exclude each other", "keep one calibrator")
        return None, notes
    method = read["calibrator_type"] if generic else chosen[0] if chosen else None
    _name_idle(read, method, bool(generic), note)
    if method is None:
        return None, notes
    hidden, encoder = _streams(read, method, bool(generic))
    of_taylor = method == "taylorseer" and not generic
    target = read["taylorseer_cache_type" if of_taylor else "calibrator_cache_type"]
    found = METHODS[method](read, note)
    if target == "hidden_states":
        found["target"] = target
    if not (hidden and encoder):
        found["streams"] = ["hidden"] if hidden else ["encoder"]
        if target == "hidden_states":
            name = "taylorseer_cache_type" if of_taylor else "calibrator_cache_type"
            message = "the stream that is not extrapolated returns what it did here, and there its input and a residual"
            note(DIFFERS, name, message, "on models with one stream there is no difference")
    if found["method"] == "copy":
        found = {key: value for key, value in found.items() if key in ("method", "target")}
    return (found["method"] if len(found) == 1 else found) if found != {"method": "copy"} else None, notes


def _streams(read: Read, method: str, generic: bool) -> tuple[bool, bool]:
    """Return whether the hidden and the encoder stream are extrapolated."""
    if generic:
        return read["enable_calibrator"], read["enable_encoder_calibrator"]
    encoder = read[f"enable_encoder_{method}"]
    return True, True if encoder is None else encoder  # DMD's default is that of the hidden stream


def _name_idle(read: Read, method: str | None, generic: bool, note: Callable[..., None]) -> None:
    """Name every option of a calibrator that is not the one in use."""
    for name in read.said_of("taylorseer", "dmd", "foca", "calibrator"):
        mine = method is not None and method in name
        if mine or (generic and "calibrator" in name) or name == f"enable_{method}":
            continue
        if name == "calibrator_cache_type" and method in ("dmd", "foca"):
            continue
        note(IDLE_OPTION, name, "no calibrator that is in use reads it")


def _taylor(read: Read, note: Callable[..., None]) -> Tree:
    order = read["taylorseer_order"]
    if order == 0:
        return {"method": "copy"}
    if _head(read) < 3 + order:
        name = "max_warmup_steps" if read.says("max_warmup_steps") else "taylorseer_order"
        message = (
            "cache-dit takes no difference before step 3 and copies until then; here two computed steps are enough"
        )
        hint = f"from {3 + order} warmup steps on, with a mask that computes as many, both do the same"
        note(DIFFERS, name, message, "from 4 warmup steps on both do the same" if order == 1 else hint)
    found: Tree = {"method": "taylor"}
    if order > 1:
        found |= {"order": order, "form": "published"}
    return found


def _head(read: Read) -> int:
    """Return how many steps are computed at the head: the warmup, at most the mask's leading ones."""
    mask = read["steps_computation_mask"]
    leading = {"ultra": 4}.get(mask, 6) if mask in ("slow", "medium", "fast", "ultra") else None
    if mask is not None and leading is None:
        bits = "".join(map(str, mask))
        leading = len(bits) - len(bits.lstrip("1"))
    warmup: int = read["max_warmup_steps"]
    return warmup if leading is None else min(warmup, leading)


def _dmd(read: Read, note: Callable[..., None]) -> Tree:
    found: Tree = {"method": "dmd"}
    message = "it decides alike and predicts otherwise: here the modes are those of differences, there of the features"
    note(DIFFERS, "enable_dmd" if read["enable_dmd"] else "calibrator_type", message)
    for key in ("history", "rank", "ridge"):
        if read.says(f"dmd_{key}"):
            found[key] = read[f"dmd_{key}"]
    if read.says("dmd_svd_precision"):
        message = "how precisely the matrix is decomposed is no setting here; it is done in float64"
        note(NOT_CARRIED, "dmd_svd_precision", message, "leave it out", severity="warning")
    return found


def _foca(read: Read, note: Callable[..., None]) -> Tree:
    message = "it predicts otherwise: here from computed steps at their true distances, there from predictions too"
    note(DIFFERS, "enable_foca" if read["enable_foca"] else "calibrator_type", message)
    return {"method": "foca"}


METHODS: dict[str, Callable[[Read, Callable[..., None]], Tree]] = {"taylorseer": _taylor, "dmd": _dmd, "foca": _foca}

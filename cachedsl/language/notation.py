"""Compact notation, as benchmarks name policies: `F8B0_W4MC3_R0.12_T1`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import attrs

from cachedsl.language.kinds import MAX_NUMBER
from cachedsl.language.masks import BitMask
from cachedsl.language.methods import BUNDLED
from cachedsl.language.parts import Cfg, Compute, Features, Predict, Reuse, Signal, Warmup
from cachedsl.language.policy import Policy
from cachedsl.text.finding import CachedslError, PolicyError, Rule, Span

RULE = Rule(
    "notation",
    "text",
    "compact notation that cannot be read",
    why="Notation is a fixed set of letters, each followed by its number.",
    bad="F8B0_X4",
    good="F8B0_W4",
)
_HEAD = re.compile(r"F(\d{1,4})B(\d{1,4})", re.ASCII)
_NUMBER = r"\d+(?:\.\d+)?(?:e-?\d+)?"
# Longer letters first: MC before M, SCM before S.
_PARTS: tuple[tuple[str, str], ...] = (
    ("SCM", r"[01]+"),
    ("CFG", r"[01]"),
    ("MC", r"\d{1,7}"),
    ("W", r"\d{1,7}"),
    ("I", r"\d{1,7}"),
    ("M", r"\d{1,7}"),
    ("R", _NUMBER),
    ("T", r"\d{1,2}(?:O\d{1,2})?"),
    ("S", ""),
)
LETTERED = {method.letter: method.name for method in BUNDLED if method.letter}
_LETTERS = "W I M MC R T S SCM CFG"


def looks_like_notation(text: str) -> bool:
    """Tell whether `text` begins as notation does, so that its errors are worth showing."""
    return _HEAD.match(text) is not None


def parse_notation(text: str) -> Policy:
    """Read notation. Raises `PolicyError` that points at the column."""
    head = _HEAD.match(text)
    if head is None:
        raise _error(text, 0, "expected F<n>B<n>, such as F8B0", None)
    found: dict[str, tuple[str, int]] = {}
    at = head.end()
    while at < len(text):
        if text[at] == "_" and at + 1 < len(text):
            at += 1
        for letters, value in _PARTS:
            match = re.compile(f"{letters}({value})", re.ASCII).match(text, at)
            if match is not None:
                break
            if text.startswith(letters, at):
                what = f"`{letters}` lacks its value"
                raise _error(text, at, what, f"after F<n>B<n> come {_LETTERS}, in groups joined by `_`")
        else:
            what = f"unknown letter `{text[at]}`"
            raise _error(text, at, what, f"after F<n>B<n> come {_LETTERS}, in groups joined by `_`")
        if letters in found:
            raise _error(text, at, f"`{letters}` stands twice", "keep one of the two")
        found[letters] = (match[1], at)
        at = match.end()
    return _build(text, Compute(int(head[1]), int(head[2])), found)


def _build(text: str, compute: Compute, found: dict[str, tuple[str, int]]) -> Policy:
    def number(letters: str, convert: Callable[[str], Any], default: Any) -> Any:
        return convert(found[letters][0]) if letters in found else default

    if "S" in found and "R" in found:
        raise _error(text, found["S"][1], "`S` and `R` contradict each other", "static reuse measures nothing")
    if number("I", int, 1) == 0:
        raise _error(text, found["I"][1], "a warmup interval is at least 1", None)
    for letters in ("W", "I", "M", "MC", "R"):
        if number(letters, float, 0) > MAX_NUMBER:
            what = "threshold" if letters == "R" else "number"
            raise _error(text, found[letters][1], f"a {what} is at most {MAX_NUMBER}", None)
    threshold: Any = "always" if "S" in found else number("R", float, 0.08)
    mask = found.get("SCM")
    name = re.sub(r"[^a-z0-9._-]+", "-", text.lower())
    policy = Policy(
        name=name,
        compute=compute,
        warmup=Warmup(number("W", int, 8), number("I", int, 1)),
        reuse=Reuse(
            threshold=threshold,
            max_total=number("M", int, 0) or None,
            max_continuous=number("MC", int, 0) or None,
        ),
        predict=_predict(text, found.get("T")),
        cfg=Cfg({"1": "separate", "0": "fused", None: "auto"}[found.get("CFG", (None,))[0]]),  # type: ignore[arg-type]
        steps=BitMask(mask[0]) if mask else None,
    )
    if compute.front == 0 and policy.for_stack("", "").measures:
        raise _error(text, 0, "F0 has no front block whose movement could be measured", "compute at least F1, or add S")
    return policy


def _predict(text: str, part: tuple[str, int] | None) -> Predict:
    """Read `T<order>`, or the published `T1O<order>` (and `T0O<order>`, Taylor off)."""
    if part is None:
        return Predict()
    first, _, order = part[0].partition("O")
    if order and first not in ("0", "1"):
        raise _error(text, part[1], "before O<order>, T is 0 or 1", None)
    meant = int(order or first) if first != "0" else 0
    if meant > 10:
        raise _error(text, part[1], f"order {meant} is above 10", None)
    return Predict(LETTERED["T"], meant) if meant else Predict()


def to_notation(policy: Policy) -> str:
    """Write notation; see `Policy.notation`."""
    lost = list(_inexpressible(policy))
    if lost:
        raise CachedslError(f"policy {policy.name}: notation cannot express {', '.join(lost)}; use to_yaml()")
    reuse, warmup = policy.reuse, policy.warmup
    groups = [f"F{policy.compute.front}B{policy.compute.back}"]
    run = f"W{warmup.steps}" + (f"I{warmup.interval}" if warmup.interval != 1 else "")
    run += f"M{reuse.max_total}" if reuse.max_total is not None else ""
    run += f"MC{reuse.max_continuous}" if reuse.max_continuous is not None else ""
    groups += [run, "S" if reuse.threshold == "always" else f"R{reuse.threshold!r}"]
    if policy.predict.spec.letter:
        groups.append(f"{policy.predict.spec.letter}{policy.predict.order}")
    if isinstance(policy.steps, BitMask):
        groups.append(f"SCM{policy.steps.bits}")
    if policy.cfg.mode != "auto":
        groups.append("CFG1" if policy.cfg.mode == "separate" else "CFG0")
    return "_".join(groups)


def _inexpressible(policy: Policy) -> list[str]:
    reuse, warmup = policy.reuse, policy.warmup
    numbers = (warmup.steps, warmup.interval, reuse.max_total, reuse.max_continuous, reuse.threshold)
    facts = {
        "a share of the run": isinstance(warmup.steps, str),
        "tail": policy.tail != 0,
        "refresh": policy.refresh is not None,
        "prune": policy.prune is not None,
        "span": policy.span != "stack",
        "back_blocks": policy.compute.back_blocks is not None or policy.compute.back_threshold is not None,
        "stacks": bool(policy.stacks),
        "features": policy.features != Features(),
        "runtime": bool(policy.runtime.asked()),
        f"signal {reuse.signal.tap}": reuse.signal != Signal(),
        "max_accumulated": reuse.max_accumulated is not None,
        "max_total 0": reuse.max_total == 0,
        "max_continuous 0": reuse.max_continuous == 0,
        "cfg order and decision": attrs.evolve(policy.cfg, mode="auto") != Cfg(),
        "a mask that is no bit string": policy.steps is not None and not isinstance(policy.steps, BitMask),
        "a static mask": policy.steps is not None and policy.steps.otherwise == "static",
        "more than 4 digits of blocks": max(policy.compute.front, policy.compute.back) > 9999,
        f"a number above {MAX_NUMBER}": any(
            not isinstance(number, str) and number is not None and not number <= MAX_NUMBER for number in numbers
        ),
        f"predict {policy.predict.method} with these parameters": policy.predict
        not in (
            Predict(),
            *(Predict(name, min(policy.predict.order, 10)) for name in LETTERED.values()),
        ),
    }
    return [name for name, lost in facts.items() if lost]


def _error(text: str, at: int, message: str, hint: str | None) -> PolicyError:
    return PolicyError([RULE.finding(f"`{text}`: {message}", Span("<notation>", 1, at + 1), hint)])

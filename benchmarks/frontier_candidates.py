"""cachedsl's side of the frontier: policies as YAML text, from a grid over what the language has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import product
from typing import Any

import yaml
from frontier_masks import POWERS, Tree, bits, intervals, is_plain, most_steps, reachable, static_masks
from frontier_search import Candidate, Side

from cachedsl.loading import parse_policy

THRESHOLD = ("reuse", "threshold")
ACCUMULATED = ("reuse", "max_accumulated")
PLAIN: tuple[Tree, ...] = (
    {"method": "taylor", "order": 1},
    {"method": "taylor", "order": 2},
    {"method": "foca"},
    {"method": "dmd", "history": 6},
    {"method": "taylor", "order": 1, "repay": 0.7},
    {"method": "taylor", "order": 2, "form": "published", "repay": 0.7},
    {"method": "foca", "repay": 1.0},
)

_REPAYING: tuple[Tree, ...] = (
    {"method": "copy"},
    {"method": "taylor", "order": 1},
    {"method": "taylor", "order": 2, "form": "published"},
    {"method": "hermite", "order": 2, "scale": 0.6},
    {"method": "foca"},
    {"method": "dmd", "history": 6},
)


def grid(target: float) -> list[Candidate]:
    """Return every candidate policy for a target fraction."""
    return [*_static(target), *_measured(target), *_accumulated(target), *_masked(target), *_pruned(target)]


def _predictors() -> list[Tree]:
    """Return every predictor, on what it extrapolates and the clocks that it can read."""
    found: list[Tree] = [{"method": "copy"}]
    for clock in ({}, {"clock": "sigma"}):
        found += [{"method": "taylor", "order": order, **clock} for order in (1, 2, 3)]
        found += [{"method": "newton", "order": order, **clock} for order in (2, 3)]
        found += [{"method": "hermite", "order": order, **clock} for order in (2, 3)]
        found += [{"method": "foca", **clock}]
    found += [{"method": "taylor", "order": order, "form": "published"} for order in (2, 3)]
    found += [{"method": "hermite", "order": 2, "scale": scale} for scale in (0.7, 1.0)]
    found += [{"method": "dmd", "history": history} for history in (4, 6, 8)]
    both = [{**predict, **target} for predict in found for target in ({}, {"target": "hidden_states"})]
    return [*both, *({**predict, "repay": share} for predict in _REPAYING for share in (0.5, 0.7, 1.0))]


def _static(target: float) -> Iterator[Candidate]:
    """Yield static masks; without a front block nothing at all runs on reused steps."""
    for (compute, always), predict in product((("F0B0", 0), ("F1B0", 1), ("F0B1", 1)), _predictors()):
        for mask in static_masks(target, always):
            yield Candidate(
                family(predict),
                "static",
                {
                    "compute": compute,
                    "warmup": 0,
                    "reuse": {"threshold": "always"},
                    "steps": {**mask, "otherwise": "static"},
                    "predict": predict,
                },
                plain=compute == "F0B0" and predict in PLAIN and is_plain(mask, target, always),
            )


def _guards(target: float) -> Iterator[tuple[str, Tree, Tree]]:
    """Yield front and back blocks, reuse guards and the rest of a policy that measures."""
    for (compute, always), signal, warmup, most in product(
        (("F1B0", 1), ("F2B0", 2), ("F1B1", 2), ("F4B0", 4)),
        ({}, {"signal": "hidden_states"}),
        (2, 3, 4, 5),
        (2, 3, 4, 5, None),
    ):
        if reachable(target, always, warmup, most):
            limit = {} if most is None else {"max_continuous": most}
            yield compute, {**limit, **signal}, {"warmup": warmup}


def _measured(target: float) -> Iterator[Candidate]:
    """Yield a bisected threshold under limits."""
    for (compute, reuse, rest), predict, tail in product(_guards(target), _predictors(), ({}, {"tail": 1})):
        settings = {"compute": compute, **rest, **tail, "reuse": reuse, "predict": predict}
        yield Candidate(family(predict), "dynamic", settings, THRESHOLD)


def _accumulated(target: float) -> Iterator[Candidate]:
    """Yield a bisected bound on the sum of what was measured since the last computed step."""
    for (compute, reuse, rest), predict in product(_guards(target), _predictors()):
        settings = {"compute": compute, **rest, "reuse": {"threshold": 10.0, **reuse}, "predict": predict}
        yield Candidate(family(predict), "dynamic", settings, ACCUMULATED, (1e-3, 10.0))


def _masked(target: float) -> Iterator[Candidate]:
    """Yield masks that compute fewer steps than allowed and leave the others to a bisected threshold."""
    for fewer, power, predict in product((3, 6), POWERS, _predictors()):
        budget = most_steps(target, 1) - fewer
        if budget >= 4:
            settings = {
                "compute": "F1B0",
                "reuse": {},
                "steps": {"budget": budget, "power": power, "otherwise": "dynamic"},
                "predict": predict,
            }
            yield Candidate(family(predict), "dynamic", settings, THRESHOLD)


def _pruned(target: float) -> Iterator[Candidate]:
    """Yield policies under which every block decides for itself."""
    prunes: tuple[Tree, ...] = ({}, {"dynamic": {"relax": 1.25}}, {"update_interval": 2})
    predicts: tuple[Tree, ...] = ({"method": "copy"}, {"method": "taylor", "order": 1})
    for front, warmup, most, prune, predict in product((0, 1, 2), (2, 3, 5, 8), (3, 5, None), prunes, predicts):
        if reachable(target, front, warmup, most):
            reuse = {} if most is None else {"max_continuous": most}
            settings = {
                "compute": f"F{front}B0",
                "warmup": warmup,
                "reuse": reuse,
                "prune": prune,
                "predict": predict,
            }
            yield Candidate("prune", "prune", settings, THRESHOLD)


def family(predict: Tree) -> str:
    """Name a predictor without its parameters, but for `repay`, which makes another one of it."""
    return str(predict["method"]) + " repaying" * ("repay" in predict)


def mask(settings: Tree) -> str | None:
    """Return the static mask of settings as a string of 0 and 1."""
    return bits(settings["steps"]) if "steps" in settings else None


def always(settings: Tree) -> int:
    """Return how many blocks run on reused steps too."""
    return sum(int(count) for count in re.findall(r"\d+", settings["compute"]))


def masked(settings: Tree, changed: str) -> Tree:
    """Return settings with another static mask."""
    at = [i for i, bit in enumerate(changed) if bit == "1"]
    return {**settings, "steps": {"at": at, "otherwise": "static"}}


def plain_intervals(target: float) -> list[Candidate]:
    """Return plain intervals under two predictors that repay, without any block on reused steps."""
    settings: Tree = {"compute": "F0B0", "warmup": 0, "reuse": {"threshold": "always"}}
    predicts: tuple[Tree, ...] = (
        {"method": "taylor", "order": 2, "form": "published", "repay": 0.7},
        {"method": "foca", "repay": 1.0},
    )
    return [
        Candidate(
            family(predict), "static", {**settings, "predict": predict, "steps": {"at": at, "otherwise": "static"}}
        )
        for at, predict in product(intervals(target, 0), predicts)
    ]


def write(settings: Tree) -> str:
    """Write settings as the text of a policy."""
    return yaml.safe_dump({"version": 1, **settings}, sort_keys=False)


def attach(pipe: Any, settings: str) -> AbstractContextManager[Any]:
    """Attach a policy given as text."""
    return parse_policy(settings, "candidate.yaml").apply(pipe)


def label(settings: str) -> str:
    """Name a policy in a few words."""
    tree = yaml.safe_load(settings)
    words, steps, reuse = [tree["compute"]], tree.get("steps"), tree["reuse"]
    if steps is not None:
        form = "" if "at" in steps else "".join(f", {k} {v}" for k, v in steps.items() if k != "otherwise")
        words.append(f"{steps['otherwise']} mask of {bits(steps).count('1')} steps{form},")
    else:
        words.append(f"W{tree['warmup']} MC{reuse.get('max_continuous', 0)}")
    if "max_accumulated" in reuse:
        words.append(f"accumulated {reuse['max_accumulated']:.3g}")
    elif reuse["threshold"] != "always":
        words.append(f"R{reuse['threshold']:.3g}")
    words += [f"on {reuse['signal']}"] if "signal" in reuse else []
    words += [f"tail {tree['tail']}"] if "tail" in tree else []
    words += [" ".join(["prune", *tree["prune"]])] if "prune" in tree else []
    predict = dict(tree["predict"])
    repay = predict.pop("repay", None)
    words += map(str, predict.values())
    return " ".join([*words, *([] if repay is None else [f"repay {repay:g}"])])


OURS = Side("cachedsl", grid, write, attach, label, mask, always, masked, plain_intervals)

"""Write a policy as YAML that loads as an equal policy."""

from __future__ import annotations

from typing import Any

import attrs
import yaml

from cachedsl.policy.merge import Tree
from cachedsl.policy.model import Policy
from cachedsl.policy.overrides import UNSET, PartialPredict, Unset
from cachedsl.policy.parts import PREDICT_PARAMETERS, Predict
from cachedsl.policy.signal import Signal, written


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.2 and 1.1 read differently, and writes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    from cachedsl.source import resolve_scalar

    plain = isinstance(resolve_scalar(text), str) and "\x85" not in text  # a line break in YAML 1.1 only
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


def _float(dumper: yaml.SafeDumper, number: float) -> yaml.ScalarNode:
    text = repr(number)
    if "." not in text:
        text = text.replace("e", ".0e")  # `1e-05` is a float in YAML 1.2 only
    return dumper.represent_scalar("tag:yaml.org,2002:float", text)


_Dumper.add_representer(str, _string)
_Dumper.add_representer(float, _float)


def to_yaml(policy: Policy, *, full: bool = False) -> str:
    """Write `policy` as YAML.

    Args:
        policy: the policy.
        full: write every default out too; else only what differs from it.
    """
    tree: Tree = {"version": policy.version, "name": policy.name}
    if policy.description or full:
        tree["description"] = policy.description
    default = Policy()
    for key in ("compute", "warmup", "tail", "reuse", "predict", "cfg", "steps", "refresh", "prune", "span"):
        value = getattr(policy, key)
        if full or value != getattr(default, key):
            tree[key] = _tree(value)
    if policy.prune is not None and policy.reuse.signal == default.reuse.signal:
        tree.get("reuse", {}).pop("signal", None)  # a pruned block measures its own input, whatever this says
    if policy.stacks or full:
        tree["stacks"] = {key: _tree(override) for key, override in policy.stacks}
    text: str = yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text


def expand(policy: Policy) -> Policy:
    """Read back what `to_yaml(full=True)` writes: an equal policy in which everything is written out."""
    from cachedsl.policy.load import parse_policy

    return parse_policy(to_yaml(policy, full=True), f"{policy.name}.yaml")


def _tree(value: Any) -> Any:
    if isinstance(value, (Predict, PartialPredict)):
        return _predict(value)
    if isinstance(value, Signal):
        return _signal(value)
    if attrs.has(type(value)):
        return {
            field.name.rstrip("_"): _tree(getattr(value, field.name))
            for field in attrs.fields(type(value))
            if getattr(value, field.name) is not UNSET
        }
    return list(value) if isinstance(value, tuple) else value


def _signal(value: Signal) -> Any:
    """Write the tap's name, and what differs from what it stands for."""
    differs = written(value)
    if not differs:
        return value.tap
    tree = {name: list(part) if isinstance(part, tuple) else part for name, part in differs.items()}
    if value.ratios is not None:
        ratios = value.ratios
        tree["ratios"] = {b: list(row) for b, row in ratios.branches} if ratios.branches else list(ratios.values)
    return {"tap": value.tap, **tree}


def _predict(value: Predict | PartialPredict) -> Any:
    """Write a predictor without the parameters that its method does not read."""
    named = attrs.asdict(value, recurse=False)
    if isinstance(value, PartialPredict) and all(
        part == getattr(Predict(), name) for name, part in named.items() if name != "method"
    ):
        return value.method  # only the shorthand also resets what the method does not read
    read = tuple(named) if isinstance(value.method, Unset) else PREDICT_PARAMETERS[value.method]
    kept = {name: part for name, part in named.items() if part is not UNSET and name in ("method", *read)}
    return {name: list(part) if isinstance(part, tuple) else part for name, part in kept.items()}

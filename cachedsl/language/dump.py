"""Write a policy as YAML that loads as an equal policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from cachedsl.language.part import declared_keys, keys_of
from cachedsl.language.parts import Signal
from cachedsl.language.policy import Policy
from cachedsl.language.taps import PRUNED
from cachedsl.plan.frozen import thaw
from cachedsl.text.scalars import is_text


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.2 and 1.1 read differently, and writes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    plain = is_text(text) and "\x85" not in text  # a line break in YAML 1.1 only
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
    text: str = yaml.dump(to_tree(policy, full=full), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text


class _TerseDumper(_Dumper):
    """Writes lists in one line."""


_TerseDumper.add_representer(
    list, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)
)


def written_tree(tree: Mapping[str, Any]) -> str:
    """Write a policy's tree as it is, shorthands and all."""
    text: str = yaml.dump(thaw(tree), Dumper=_TerseDumper, sort_keys=False, allow_unicode=True, width=100)
    return text


def to_tree(policy: Policy, *, full: bool = False) -> dict[str, Any]:
    """Return what `to_yaml` writes, as a tree; what nothing reads is left out."""
    default, keys = Policy(), keys_of(Policy)
    tree: dict[str, Any] = {}
    for name in (name for name in declared_keys(Policy) if name in keys):
        value = getattr(policy, name)
        if full or value != getattr(default, name) or name in ("version", "name"):
            tree[name] = _tree(value, keys[name].metadata["key"].kind)
    if policy.prune is not None and policy.reuse.signal != Signal(PRUNED):
        tree.get("reuse", {}).pop("signal", None)  # a pruned block measures its own input, whatever this says
    return {name: value for name, value in tree.items() if full or value != {}}


def _tree(value: Any, kind: Any) -> Any:
    """Return a value as it is written: a predictor without what its method does not read, a signal by its tap."""
    if value is None:
        return None
    if hasattr(value, "written"):
        return value.written()
    if hasattr(type(value), "PART") and hasattr(kind, "cls"):
        keys = keys_of(type(value))
        return {name: _tree(getattr(value, one.name), one.metadata["key"].kind) for name, one in keys.items()}
    return kind.write(value)

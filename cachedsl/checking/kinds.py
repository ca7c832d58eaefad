"""Tell by what a file holds, else by its name, which of the formats it is, or that it is another tool's."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Literal

from cachedsl.checking.sources import Source
from cachedsl.language.part import declared_keys
from cachedsl.language.policy import Policy
from cachedsl.language.schemas import ENDINGS
from cachedsl.plan.codec import FORMAT
from cachedsl.text.tree import Node

FileKind = Literal["policy", "adapter", "ratios", "plan", "stranger"]

POLICY = frozenset(declared_keys(Policy))
OWN = POLICY - {"version", "name", "description", "extends", "steps", "runtime", "features"}
"""Keys of policies that no other format is known to have at its top."""
ADAPTER = frozenset({"family", "transformers"})
KUBERNETES = frozenset({"apiVersion", "kind"})

_COMMENT = re.compile(r"^\ufeff?#[ \t]*yaml-language-server:[ \t]*\$schema=(\S+)", re.MULTILINE)
_SCHEMA = re.compile(r"(?:^|/)(policy|adapter)\.schema\.json#?")
_JSON_SCHEMA = re.compile(r'"\$schema"\s*:\s*"([^"\s]*)"')
_FORMAT = re.compile(rf"""^[\s{{]*["']?format["']?\s*:\s*["']?{re.escape(FORMAT)}["']?\s*,?\s*$""", re.MULTILINE)
_KEY = re.compile(r"""^\ufeff?(["']?)([A-Za-z_$][\w$-]*)\1[ \t]*:(?=\s|$)""", re.MULTILINE)


def classify(source: Source) -> FileKind:
    """Return which format a file holds; of a broken one, what its tree and its lines at the margin still show."""
    root = source.document.root
    whole = root is not None and not source.document.broken
    if _is_plan(root) or (not whole and _FORMAT.search(source.text)):
        return "plan"
    declared = _declared(root, source.text, whole)
    if declared is not None:
        return declared
    names = set() if root is None else set(root.mapping)
    if not whole:
        names |= {found[2] for found in _KEY.finditer(source.text)}
    held = _by_keys(names - {"$schema"}, source.text)
    return _by_name(source.file) if held == "stranger" else held


def _by_name(file: str) -> FileKind:
    """Return what a name says that is ours alone; `policies/fast.yaml` may be anybody's."""
    if file.endswith(ENDINGS["policy"]):
        return "policy"
    return "adapter" if file.endswith(ENDINGS["adapter"]) else "stranger"


def _by_keys(names: set[str], text: str) -> FileKind:
    if names >= KUBERNETES:
        return "stranger"
    own, adapter = names & OWN, names & ADAPTER
    if adapter and len(adapter) >= len(own):
        return "adapter"
    if own:
        return "policy"
    if "version" in names and all(name in POLICY or _is_near(name) for name in names):
        return "policy" if "{{" not in text else "stranger"
    if not names - {"ratios"} <= POLICY:
        return "stranger"
    if "ratios" in names:
        return "ratios"
    # Braces as templates have them, beside keys that any tool may have.
    return "policy" if names and "{{" not in text else "stranger"


def _is_near(name: str) -> bool:
    """Tell whether a key is hardly anything but one of ours, misspelt."""
    return bool(get_close_matches(name, OWN, 1, 0.8))


def _is_plan(root: Node | None) -> bool:
    node = None if root is None else root.mapping.get("format")
    return node is not None and node.value == FORMAT


def _declared(root: Node | None, text: str, whole: bool) -> FileKind | None:
    """Return what a schema that the file names says it is."""
    named = [found[1] for found in _COMMENT.finditer(text)]
    node = None if root is None else root.mapping.get("$schema")
    if node is not None and isinstance(node.value, str):
        named.append(node.value)
    elif not whole:
        named += [found[1] for found in _JSON_SCHEMA.finditer(text)]
    for name in named:
        if found := _SCHEMA.search(name):
            return "policy" if found[1] == "policy" else "adapter"
    return None

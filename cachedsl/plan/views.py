"""What can be made of a plan elsewhere: its JSON, texts, memory and cost."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import Any

VIEWS = {
    "json": "cachedsl.plan.codec:to_json",
    "read": "cachedsl.plan.codec:from_json",
    "text": "cachedsl.explain.text:to_text",
    "mermaid": "cachedsl.explain.mermaid:to_mermaid",
    "words": "cachedsl.explain.words:explain",
    "memory": "cachedsl.explain.memory:memory",
    "cost": "cachedsl.explain.cost:cost",
}
"""What can be made of a plan, by name; looked up when asked for, because a plan knows none of it."""


def view(name: str) -> Any:
    """Return the function that makes this of a plan."""
    return resolve_name(VIEWS[name])

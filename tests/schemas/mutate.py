"""Small changes to a tree of JSON: what a careless hand, or another program, makes of it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 12),
    st.sampled_from(
        [0.5, -0.5, 10**7, "", "x", "01", "0x", "always", "all", "whole", "compute", "reused", "nan", "inf"]
    ),
)
values = scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.sampled_from(["x", "tap", "front"]), scalars)


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Return every container with a key, or an index, of it."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    found = []
    for key, inner in items:
        found += [(tree, key), *places(inner)]
    return found


def mutate(tree: Any, draw: st.DrawFn, names: st.SearchStrategy[str], values: st.SearchStrategy[Any] = values) -> None:
    """Replace, drop, add or rename one thing in the tree, if it holds any; `names` are keys that may be added."""
    found = places(tree)
    if not found:
        return
    holder, key = draw(st.sampled_from(found))
    how = draw(st.sampled_from(["replace", "replace", "drop", "add", "rename"]))
    if how == "replace":
        holder[key] = draw(values)
    elif how == "drop":
        del holder[key]
    elif isinstance(holder, list):
        holder.append(draw(values))
    elif how == "add":
        holder[draw(names)] = draw(values)
    else:
        holder[draw(names)] = holder.pop(key)

"""Which names of a Python program stand for one value, told from its text alone."""

from __future__ import annotations

import ast


def assigned_once(tree: ast.Module) -> dict[str, ast.expr]:
    """Return the value of each name that is bound once, by `name = value` or `name: type = value`.

    A name that is also a parameter, a loop's variable, an import or the like, anywhere in the program, is left out:
    which value it has where it is read cannot be told.
    """
    bound: dict[str, int] = {}
    values: dict[str, ast.expr] = {}
    for one in ast.walk(tree):
        for name in _bound(one):
            bound[name] = bound.get(name, 0) + 1
        targets = one.targets if isinstance(one, ast.Assign) else [one.target] if isinstance(one, ast.AnnAssign) else []
        value = one.value if isinstance(one, (ast.Assign, ast.AnnAssign)) else None
        for target in targets:
            if isinstance(target, ast.Name) and value is not None:
                values[target.id] = value
    return {name: value for name, value in values.items() if bound[name] == 1}


def _bound(one: ast.AST) -> list[str]:
    if isinstance(one, ast.Name):
        return [] if isinstance(one.ctx, ast.Load) else [one.id]
    if isinstance(one, ast.arg):
        return [one.arg]
    if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [one.name]
    if isinstance(one, ast.alias):
        return [(one.asname or one.name).partition(".")[0]]
    if isinstance(one, (ast.Global, ast.Nonlocal)):
        return one.names * 2  # another scope binds it as well
    if isinstance(one, ast.ExceptHandler) and one.name:
        return [one.name]
    captured = getattr(one, "name", None) if type(one).__name__.startswith("Match") else None
    return [captured] if isinstance(captured, str) else []


CHANGES = frozenset(
    ("update", "setdefault", "pop", "popitem", "clear", "append", "extend", "insert", "remove", "reset")
)
"""Methods that change what they are called on."""


def alterations(tree: ast.Module) -> dict[str, ast.expr]:
    """Return, for each name whose value is changed in place, the first place that does: `c.x = 1`, `c.update(...)`."""
    found: dict[str, ast.expr] = {}
    for one in ast.walk(tree):
        target: ast.expr | None = None
        if isinstance(one, (ast.Attribute, ast.Subscript)) and not isinstance(one.ctx, ast.Load):
            target = one.value
        elif isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute) and one.func.attr in CHANGES:
            target = one.func.value
        if isinstance(target, ast.Name) and isinstance(one, ast.expr):
            found.setdefault(target.id, one)
        elif (
            isinstance(one, ast.Call)
            and isinstance(one.func, ast.Name)
            and one.func.id == "setattr"
            and one.args
            and isinstance(one.args[0], ast.Name)
        ):
            found.setdefault(one.args[0].id, one)
    return found

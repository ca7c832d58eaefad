"""What an editor shows about the key under the pointer."""

from __future__ import annotations

from cachedsl.language.keys import default_words
from cachedsl.language.kinds import Key
from cachedsl.loading import bundled_path, load_policy
from cachedsl.lsp.cursor import Cursor
from cachedsl.lsp.desk import Looked
from cachedsl.lsp.keys import key_at
from cachedsl.plan.ir import Plan
from cachedsl.text.finding import CachedslError

NO_MODEL = (
    "*No model is named, so no plan is shown: name one in `[[tool.cachedsl.plans]]` of pyproject.toml, or in the "
    "editor's setting `model`.*"
)


def hover(cursor: Cursor, looked: Looked) -> str | None:
    """Return Markdown on the key at the place, and what the policy comes to; None where no key is."""
    path = cursor.path if cursor.value else (*cursor.path, cursor.word)
    declared = key_at(looked.declared, path)
    if declared is None:
        return None
    parts = [_words(".".join(path), declared)]
    if path == ("extends",) and (parent := _bundled(cursor.word)):
        parts.append(parent)
    if looked.kind == "policy":
        parts += _plan(looked)
    return "\n\n".join(parts)


def _words(path: str, declared: Key) -> str:
    expected = getattr(declared.kind, "expected", declared.kind.title)
    default = "required" if declared.required else f"default: {default_words(declared)}"
    return f"**`{path}`** – {expected} ({default})\n\n{declared.words}"


def _bundled(name: str) -> str | None:
    if bundled_path(name) is None:
        return None
    try:
        return f"`{name}`: {load_policy(bundled_path(name) or name).description}"
    except CachedslError:
        return None


def _plan(looked: Looked) -> list[str]:
    plan = looked.plan()
    if isinstance(plan, Plan):
        return [f"---\n\n**Plan on {plan.model}**\n\n```text\n{plan.explain().rstrip()}\n```"]
    if isinstance(plan, str):
        return [f"---\n\nno plan: {plan}"]
    return [NO_MODEL] if looked.policy is not None else []

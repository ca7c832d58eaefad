"""What pyproject.toml says of the check can be used; `cachedsl/checking/config.py` reads it."""

from __future__ import annotations

from cachedsl.text.finding import Rule

BAD_CONFIG = Rule(
    "bad-config",
    "shape",
    "a key of `[tool.cachedsl]` in pyproject.toml that cannot be used",
    why="A misspelt key, code or category would leave the check at its defaults, and nobody would notice.",
    bad='[tool.cachedsl]\nignroe = ["style"]',
    good='[tool.cachedsl]\nignore = ["style"]',
)
RULES = (BAD_CONFIG,)

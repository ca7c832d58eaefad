"""Documents in every style that a person may write one in."""

from __future__ import annotations

import random
import string
from typing import Any

from hypothesis import strategies as st

from cachedsl.text.scalars import written

WORDS = st.text(string.ascii_lowercase + "_", min_size=1, max_size=5).filter(
    lambda word: word not in ("true", "false", "null", "y", "n", "on", "off", "yes", "no")
)
STRINGS = WORDS | st.sampled_from(
    ["", "#", "a # b", "x: y", "- a", "é", "two words", "😀", "it's", 'a"b', "\n", "~", "1"]
)
SCALARS = st.none() | st.booleans() | st.integers(-99, 99) | st.floats(allow_nan=False, width=16) | STRINGS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(STRINGS, inner, max_size=3),
    max_leaves=8,
)
TREES = st.dictionaries(STRINGS, VALUES, min_size=1, max_size=4)


class Writer:
    """Writes values with comments, blank lines and styles as `dice` fall."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice

    def document(self, tree: dict[str, Any]) -> str:
        dice = self.dice
        text = self.flow(tree) + "\n" if dice.random() < 0.15 else self.block(tree, 0)
        text = dice.choice(["", "# head\n", "\n\n", "---\n", "\ufeff"]) + text + dice.choice(["", "# foot", "\n\n"])
        return text.replace("\n", "\r\n") if dice.random() < 0.2 else text

    def scalar(self, value: Any) -> str:
        if isinstance(value, str) and value.isprintable() and self.dice.random() < 0.3:
            return "'" + value.replace("'", "''") + "'"
        return written(value)

    def gap(self) -> str:
        return self.dice.choice(["", "", "", " ", "  # in # brackets\n  ", "\n"])

    def flow(self, value: Any) -> str:
        if isinstance(value, dict):
            pairs = [f"{self.gap()}{self.scalar(key)}: {self.flow(inner)}{self.gap()}" for key, inner in value.items()]
            return "{" + ",".join(pairs) + self.dice.choice(["", ","] if pairs else [""]) + "}"
        if isinstance(value, list):
            return "[" + ",".join(f"{self.gap()}{self.flow(inner)}{self.gap()}" for inner in value) + "]"
        return self.scalar(value)

    def end(self) -> str:
        return self.dice.choice(["", "", " # said: so"]) + "\n"

    def lines(self, indent: int) -> str:
        return self.dice.choice(["", "", "", "\n", f"{' ' * indent}# c:\n", "# left\n\n"])

    def value(self, value: Any, indent: int) -> str:
        """Write what stands behind a colon or a dash, which ends lines of at least `indent` spaces."""
        dice = self.dice
        if value is None and dice.random() < 0.5:
            return self.end()
        if isinstance(value, dict | list) and value and dice.random() < 0.7:
            deeper = indent + dice.choice([1, 2, 4])
            return self.end() + self.block(value, deeper)
        if isinstance(value, str) and value.isprintable() and value.strip() and dice.random() < 0.2:
            tail = dice.choice(["", "\n"]) if not value.endswith("\n") else ""
            return f" |{'-'}{dice.choice(['', ' # c'])}\n{' ' * (indent + 1)}{value}\n{tail}"
        return f" {self.flow(value)}{self.end()}"

    def block(self, value: Any, indent: int) -> str:
        blanks = " " * indent
        out = []
        if isinstance(value, dict):
            for key, inner in value.items():
                out.append(f"{self.lines(indent)}{blanks}{self.scalar(key)}:{self.value(inner, indent)}")
            return "".join(out)
        for inner in value:
            out.append(self.lines(indent))
            if isinstance(inner, dict) and inner and self.dice.random() < 0.5:
                out.append(f"{blanks}- {self.block(inner, indent + 2).lstrip() if self.plain_head() else ''}")
                if out[-1].endswith("- "):
                    out[-1] = f"{blanks}-\n{self.block(inner, indent + 2)}"
            else:
                out.append(f"{blanks}-{self.value(inner, indent)}")
        return "".join(out)

    def plain_head(self) -> bool:
        return self.dice.random() < 0.7


@st.composite
def documents(draw: Any) -> tuple[str, dict[str, Any]]:
    """Draw a text and what it holds."""
    tree = draw(TREES)
    return Writer(random.Random(draw(st.integers(0, 2**32)))).document(tree), tree
